import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Scratch } from 'spa-lab';

/** The GnuPG homes of a bastion and an operator that have keys of all kinds. No key has a passphrase. */
export interface OpenPgpHomes {
  readonly bastion: string;
  readonly operator: string;
  /** The same two with the certificates only: their agents are those of the two, which sign and decrypt and hand nothing out. */
  readonly forwarded: { readonly bastion: string; readonly operator: string };
  /** Fingerprints by the names of keys. Of `subkeys` the subkey's that signs: fwknopd compares with that. */
  readonly signers: Readonly<Record<string, string>>;
  /** Of primary keys. */
  readonly recipients: Readonly<Record<string, string>>;
  /** Ends the agents; the files are the caller's. */
  close(): void;
}

/**
 * Makes the homes. The bastion has certified all signers but `uncertified`; `expired` and `revoked` are so for the bastion only,
 * and `elsewhere` is a recipient whose secret key it has not.
 */
export async function createOpenPgpHomes(scratch: Scratch): Promise<OpenPgpHomes> {
  const names = ['ob', 'oo', 'oe', 'fb', 'fo'];
  const [bastion, operator, elsewhere, forwardedBastion, forwardedOperator] = names.map((name) => {
    const path = scratch.path(name);
    mkdirSync(path, { mode: 0o700 });
    return path;
  }) as [string, string, string, string, string];
  const close = (): void => {
    for (const home of [bastion, operator, elsewhere, forwardedBastion, forwardedOperator]) {
      for (const order of [['--kill', 'all'], ['--remove-socketdir']]) {
        spawnSync('gpgconf', ['--homedir', home, ...order], { stdio: 'ignore' });
      }
    }
  };
  try {
    const [own, signers, others] = await Promise.all([
      addKeys(bastion, RECIPIENTS),
      addKeys(operator, SIGNERS),
      addKeys(elsewhere, { elsewhere: RECIPIENTS.cv25519 ?? [] }),
    ]);
    // Before the bastion hears of the revocation, which is not to come back.
    for (const home of [bastion, elsewhere]) {
      await gpg(operator, ['--import'], await gpg(home, ['--armor', '--export']));
    }
    await introduce(bastion, operator, signers);
    await forward(bastion, forwardedBastion);
    await forward(operator, forwardedOperator);
    const [, signingSubkey = ''] = await listFingerprints(operator, signers.subkeys ?? '');
    return {
      ...{ bastion, operator, close },
      forwarded: { bastion: forwardedBastion, operator: forwardedOperator },
      signers: { ...signers, subkeys: signingSubkey },
      recipients: { ...own, ...others },
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** The keys of one certificate, the primary key first, as gpg's `--quick-add-key` takes them. */
type Parts = readonly (readonly [algorithm: string, usage: string, madeDaysAgo?: number, expiry?: string])[];

const RECIPIENTS: Readonly<Record<string, Parts>> = {
  rsa2048: [
    ['ed25519', 'cert'],
    ['rsa2048', 'encrypt'],
  ],
  rsa4096: [
    ['ed25519', 'cert'],
    ['rsa4096', 'encrypt'],
  ],
  rsa3072: [
    ['ed25519', 'cert'],
    ['rsa3072', 'encrypt'],
  ],
  cv25519: [
    ['ed25519', 'cert'],
    ['cv25519', 'encrypt'],
  ],
  nistp256: [
    ['nistp256/ecdsa', 'cert'],
    ['nistp256/ecdh', 'encrypt'],
  ],
  nistp384: [
    ['nistp384/ecdsa', 'cert'],
    ['nistp384/ecdh', 'encrypt'],
  ],
  nistp521: [
    ['nistp521/ecdsa', 'cert'],
    ['nistp521/ecdh', 'encrypt'],
  ],
  kept: [
    ['ed25519', 'cert'],
    ['cv25519', 'encrypt'],
  ],
  subkeys: [
    ['ed25519', 'cert'],
    ['nistp256/ecdh', 'encrypt', 15],
    ['cv25519', 'encrypt', 10],
  ],
};

const SIGNERS: Readonly<Record<string, Parts>> = {
  rsa2048: [['rsa2048', 'cert,sign']],
  rsa3072: [['rsa3072', 'cert,sign']],
  rsa4096: [['rsa4096', 'cert,sign']],
  ed25519: [['ed25519', 'cert,sign']],
  nistp256: [['nistp256/ecdsa', 'cert,sign']],
  nistp384: [['nistp384/ecdsa', 'cert,sign']],
  nistp521: [['nistp521/ecdsa', 'cert,sign']],
  subkeys: [
    ['ed25519', 'cert'],
    ['ed25519', 'sign', 10],
  ],
  expired: [['ed25519', 'cert,sign', 20, '10d']],
  revoked: [['ed25519', 'cert,sign']],
  uncertified: [['ed25519', 'cert,sign']],
};

async function addKeys(
  home: string,
  keys: Readonly<Record<string, Parts>>,
): Promise<Readonly<Record<string, string>>> {
  const made: Record<string, string> = {};
  for (const [name, [primary, ...subkeys]] of Object.entries(keys)) {
    if (primary === undefined) continue;
    const [algorithm, usage, daysAgo, expiry = 'never'] = primary;
    const userId = `${name} <${name}@keys.example>`;
    await gpg(home, [...daysBefore(daysAgo), '--quick-generate-key', userId, algorithm, usage, expiry]);
    const [fingerprint = ''] = await listFingerprints(home, `${name}@keys.example`);
    for (const [kind, use, ago] of subkeys) {
      await gpg(home, [...daysBefore(ago), '--quick-add-key', fingerprint, kind, use, 'never']);
    }
    made[name] = fingerprint;
  }
  return made;
}

/** The bastion takes the operator's certificates and certifies them, and hears of a revocation, but not of a renewal. */
async function introduce(
  bastion: string,
  operator: string,
  signers: Readonly<Record<string, string>>,
): Promise<void> {
  const { uncertified, expired = '', revoked = '', ...others } = signers;
  await gpg(bastion, ['--import'], await gpg(operator, ['--armor', '--export']));
  for (const fingerprint of [...Object.values(others), revoked]) await certify(bastion, fingerprint);
  await certify(bastion, expired, daysBefore(15));
  await gpg(operator, ['--quick-set-expire', expired, '0']);
  const revocation = readFileSync(join(operator, 'openpgp-revocs.d', `${revoked}.rev`), 'utf8');
  await gpg(bastion, ['--import'], revocation.replace(/^:---/m, '---'));
}

/** As `ssh -R` forwards an agent: by its restricted socket. */
async function forward(from: string, to: string): Promise<void> {
  await gpg(to, ['--import'], await gpg(from, ['--armor', '--export']));
  const socketOf = async (home: string, name: string): Promise<string> =>
    (await promisify(execFile)('gpgconf', ['--homedir', home, '--list-dirs', name])).stdout.trim();
  const socket = await socketOf(to, 'agent-socket');
  spawnSync('gpgconf', ['--homedir', to, '--kill', 'all']);
  rmSync(socket, { force: true });
  writeFileSync(socket, `%Assuan%\nsocket=${await socketOf(from, 'agent-extra-socket')}\n`);
}

async function certify(home: string, fingerprint: string, options: readonly string[] = []): Promise<void> {
  await gpg(home, [...options, '--yes', '--quick-lsign-key', fingerprint]);
}

async function listFingerprints(home: string, name: string): Promise<readonly string[]> {
  const listed = await gpg(home, ['--with-colons', '--list-keys', name]);
  return Array.from(listed.matchAll(/^fpr:+([0-9A-F]{40}):/gm), ([, fingerprint]) => fingerprint ?? '');
}

/** All keys are some days old, so that what is between them is in order. */
function daysBefore(days = 20): readonly string[] {
  return ['--faked-system-time', String(Math.floor(Date.now() / 1000) - days * 86_400)];
}

async function gpg(home: string, args: readonly string[], input = ''): Promise<string> {
  const fixed = ['--homedir', home, '--batch', '--quiet', '--no-tty', '--pinentry-mode', 'loopback'];
  const running = promisify(execFile)('gpg', [...fixed, '--passphrase', '', ...args]);
  // gpg may end before it has read what it does not need.
  running.child.stdin?.on('error', () => {}).end(input);
  return (await running).stdout;
}
