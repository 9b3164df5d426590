import { randomBytes } from 'node:crypto';
import { addresses, createGnupgHome, type GnupgHome, PROGRAMS, type Scratch } from 'spa-lab';

/** One way to make a packet, as both sides of it have to be told. */
export interface Mode {
  readonly name: string;
  /** The lines of the stanza that say which keys open the packet. */
  readonly access: readonly string[];
  /** The options of fwknop's command line, and of ours, that name the keys. */
  readonly clientOptions: readonly string[];
}

/** The modes, and the end of what they need. */
export interface Modes {
  readonly aesHmac: Mode;
  readonly rsa: Mode;
  readonly rsaHmac: Mode;
  readonly ecc: Mode;
  readonly eccHmac: Mode;
  dispose(): void;
}

/** Makes keys for all modes: shared secrets, and pairs of GnuPG homes that have certified each other. */
export async function createModes(scratch: Scratch): Promise<Modes> {
  const homes: GnupgHome[] = [];
  const pairOf = async (
    algorithm: 'rsa2048' | 'ecc',
  ): Promise<{ bastion: GnupgHome; operator: GnupgHome }> => {
    const name = (who: string): string => `${who} <${who}@${algorithm}.example>`;
    const [bastion, operator] = await Promise.all([
      createGnupgHome(scratch.path(`${algorithm}-b`), name('bastion'), algorithm),
      createGnupgHome(scratch.path(`${algorithm}-o`), name('operator'), algorithm),
    ]);
    homes.push(bastion, operator);
    await bastion.certify(operator);
    await operator.certify(bastion);
    return { bastion, operator };
  };
  const rsa = await pairOf('rsa2048');
  const ecc = await pairOf('ecc');
  const hmacKey = randomBytes(64).toString('base64');
  const hmac: Omit<Mode, 'name'> = {
    access: [`HMAC_KEY_BASE64 ${hmacKey}`],
    clientOptions: ['--use-hmac', '--key-base64-hmac', hmacKey],
  };
  return {
    aesHmac: join('AES with HMAC', aes(randomBytes(32).toString('base64')), hmac),
    rsa: join('GPG RSA-2048', gpg(rsa)),
    rsaHmac: join('GPG RSA-2048 with HMAC', gpg(rsa), hmac),
    ecc: join('GPG ed25519/cv25519', gpg(ecc)),
    eccHmac: join('GPG ed25519/cv25519 with HMAC', gpg(ecc), hmac),
    dispose: () => {
      for (const home of homes) home.close();
    },
  };
}

/** The stock client's command line that asks for tcp/22 for the client's own address. */
export function stockKnock(mode: Mode): readonly string[] {
  return ['fwknop', ...COMMON_OPTIONS, ...mode.clientOptions];
}

/** Our client's command line for the same. */
export function ourKnock(mode: Mode): readonly string[] {
  return [process.execPath, PROGRAMS.spaClient, ...COMMON_OPTIONS, ...mode.clientOptions];
}

/** A stanza that opens tcp/22 for `seconds`. */
export function stanza(mode: Mode, seconds: number): readonly string[] {
  return ['SOURCE ANY', ...mode.access, 'OPEN_PORTS tcp/22', `FW_ACCESS_TIMEOUT ${seconds}`];
}

const COMMON_OPTIONS: readonly string[] = [
  ...['-A', 'tcp/22', '-a', addresses.client4, '-D', addresses.server4],
  ...['--no-rc-file', '--no-save-args'],
];

function aes(key: string): Omit<Mode, 'name'> {
  return { access: [`KEY_BASE64 ${key}`], clientOptions: ['--key-base64-rijndael', key] };
}

function gpg({ bastion, operator }: { bastion: GnupgHome; operator: GnupgHome }): Omit<Mode, 'name'> {
  return {
    access: [
      `GPG_HOME_DIR ${bastion.path}`,
      `GPG_DECRYPT_ID ${bastion.fingerprint}`,
      'GPG_ALLOW_NO_PW Y',
      'GPG_REQUIRE_SIG Y',
      `GPG_FINGERPRINT_ID ${operator.fingerprint}`,
    ],
    clientOptions: [
      ...['--gpg-encryption', '--gpg-home-dir', operator.path, '--gpg-no-signing-pw'],
      ...['--gpg-recipient-key', bastion.fingerprint, '--gpg-signer-key', operator.fingerprint],
    ],
  };
}

function join(name: string, ...parts: readonly Omit<Mode, 'name'>[]): Mode {
  return {
    name,
    access: parts.flatMap(({ access }) => access),
    clientOptions: parts.flatMap(({ clientOptions }) => clientOptions),
  };
}
