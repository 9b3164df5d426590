import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { promisify } from 'node:util';

/** A GnuPG home with one key pair without passphrase. */
export interface GnupgHome {
  readonly path: string;
  /** 40 upper-case hexadecimal digits. */
  readonly fingerprint: string;
  /** The certificate, armored. */
  exportCertificate(): Promise<string>;
  /** The secret key, armored. */
  exportSecretKey(): Promise<string>;
  /** Takes somebody's certificate and certifies it locally with the key of this home. */
  certify(other: GnupgHome): Promise<void>;
  /** Ends the home's gpg-agent; the files are the caller's. */
  close(): void;
}

/** Kinds of keys, as GnuPG names them: for signing, for encryption. */
const ALGORITHMS = {
  ecc: { primary: 'ed25519', subkey: 'cv25519' },
  rsa2048: { primary: 'rsa2048', subkey: 'rsa2048' },
  rsa3072: { primary: 'rsa3072', subkey: 'rsa3072' },
  rsa4096: { primary: 'rsa4096', subkey: 'rsa4096' },
  nistp256: { primary: 'nistp256/ecdsa', subkey: 'nistp256/ecdh' },
  nistp384: { primary: 'nistp384/ecdsa', subkey: 'nistp384/ecdh' },
  nistp521: { primary: 'nistp521/ecdsa', subkey: 'nistp521/ecdh' },
} as const;

/** Makes a home in the folder `path` with a key pair for `userId`. */
export async function createGnupgHome(
  path: string,
  userId: string,
  algorithm: keyof typeof ALGORITHMS,
): Promise<GnupgHome> {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  try {
    return await fillGnupgHome(path, userId, algorithm);
  } catch (error) {
    endAgent(path);
    throw error;
  }
}

async function fillGnupgHome(
  path: string,
  userId: string,
  algorithm: keyof typeof ALGORITHMS,
): Promise<GnupgHome> {
  const gpg = async (args: readonly string[], input?: string): Promise<string> => {
    const running = run('gpg', [
      '--homedir',
      path,
      '--batch',
      '--quiet',
      '--pinentry-mode',
      'loopback',
      ...args,
    ]);
    running.child.stdin?.end(input);
    return (await running).stdout;
  };
  const { primary, subkey } = ALGORITHMS[algorithm];
  await gpg(['--passphrase', '', '--quick-generate-key', userId, primary, 'cert,sign', '1y']);
  const listed = await gpg(['--with-colons', '--list-secret-keys']);
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(listed)?.[1];
  if (fingerprint === undefined) throw new Error(`gpg made no key for ${userId}`);
  await gpg(['--passphrase', '', '--quick-add-key', fingerprint, subkey, 'encrypt', '1y']);
  const exportCertificate = (): Promise<string> => gpg(['--armor', '--export', fingerprint]);
  return {
    path,
    fingerprint,
    exportCertificate,
    exportSecretKey: () => gpg(['--passphrase', '', '--armor', '--export-secret-keys', fingerprint]),
    certify: async (other) => {
      await gpg(['--import'], await other.exportCertificate());
      await gpg(['--yes', '--quick-lsign-key', other.fingerprint]);
    },
    close: () => endAgent(path),
  };
}

/** The agent's sockets may lie in a folder of their own below /run/user. */
function endAgent(path: string): void {
  for (const order of [['--kill', 'all'], ['--remove-socketdir']]) {
    spawnSync('gpgconf', ['--homedir', path, ...order], { stdio: 'ignore' });
  }
}

const run = promisify(execFile);
