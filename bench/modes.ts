import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import {
  HmacKey,
  parseIpAddress,
  randomDigits,
  readCertificates,
  readSecretKeys,
  type Sealing,
  SymmetricKey,
  sealPacket,
} from 'spa-core';
import { addresses, createGnupgHome, type GnupgHome, type Scratch } from 'spa-lab';

/** How a client is told its keys. */
export interface ClientKeys {
  /** Where the secret lies. */
  readonly where: 'rc file' | 'GnuPG home' | 'key files';
  /** Lines of ~/.fwknoprc. */
  readonly lines: readonly string[];
  /** Stock fwknop takes them too, and a stock fwknopd its packet. */
  readonly isStock: boolean;
}

/** One way to make packets, and the stanza that opens them. */
export interface Mode {
  readonly name: string;
  /** The same keys for a client, in every place where they may lie. */
  readonly clientKeys: readonly ClientKeys[];
  /** Lines of access.conf, the same for every daemon. */
  readonly access: readonly string[];
  /** A fresh packet that asks for tcp/22, for the operator's own address unless another is named. */
  seal(address?: string): Promise<string>;
}

/** The modes, and the end of what they need. */
export interface Modes {
  readonly all: readonly Mode[];
  /** The OpenPGP modes without HMAC: any packet to the bastion's key costs it public-key work. */
  readonly unguarded: readonly Mode[];
  /** Ends the agents of the GnuPG homes. */
  dispose(): void;
}

/** A door stays open until it is shut by force: none closes, and no daemon sweeps, while something is measured. */
const DOOR_SECONDS = 300;

/** Makes keys for AES, OpenPGP with RSA and OpenPGP with elliptic curves, all of them with HMAC-SHA256. */
export async function createModes(scratch: Scratch): Promise<Modes> {
  const homes: GnupgHome[] = [];
  const createHome = async (name: string, algorithm: 'rsa2048' | 'ecc'): Promise<GnupgHome> => {
    const path = scratch.path(`${algorithm}-${name}`);
    const home = await createGnupgHome(path, `${name} <${name}@${algorithm}.example>`, algorithm);
    homes.push(home);
    return home;
  };
  const openPgp = async (name: string, algorithm: 'rsa2048' | 'ecc'): Promise<Pair> => {
    const bastion = await createHome('bastion', algorithm);
    const operator = await createHome('operator', algorithm);
    await bastion.certify(operator);
    await operator.certify(bastion);
    const secretKey = await operator.exportSecretKey();
    const certificate = await bastion.exportCertificate();
    const [signer] = await readSecretKeys(Buffer.from(secretKey));
    const [recipient] = await readCertificates(Buffer.from(certificate));
    if (signer === undefined || recipient === undefined) throw new Error('gpg exported no key');
    const files = { signer: scratch.path(`${algorithm}.key`), recipient: scratch.path(`${algorithm}.asc`) };
    writeFileSync(files.signer, secretKey, { mode: 0o600 });
    writeFileSync(files.recipient, certificate);
    const inHome = [
      ...['USE_GPG Y', `GPG_HOMEDIR ${operator.path}`, 'GPG_NO_SIGNING_PW Y'],
      ...[`GPG_SIGNER ${operator.fingerprint}`, `GPG_RECIPIENT ${bastion.fingerprint}`],
    ];
    const inFiles = [
      'USE_GPG Y',
      ...[`GPG_SIGNER_KEY_FILE ${files.signer}`, `GPG_RECIPIENT_KEY_FILE ${files.recipient}`],
    ];
    const clientKeys: readonly ClientKeys[] = [
      { where: 'GnuPG home', lines: inHome, isStock: algorithm === 'rsa2048' },
      { where: 'key files', lines: inFiles, isStock: false },
    ];
    const encryption = { kind: 'openpgp', signer, recipient } as const;
    const access = [
      `GPG_HOME_DIR ${bastion.path}`,
      `GPG_DECRYPT_ID ${bastion.fingerprint}`,
      'GPG_ALLOW_NO_PW Y',
      'GPG_REQUIRE_SIG Y',
      `GPG_FINGERPRINT_ID ${operator.fingerprint}`,
    ];
    return {
      guarded: createGuardedMode(name, encryption, clientKeys, access),
      unguarded: createMode(`${name}, no HMAC`, encryption, null, clientKeys, access),
    };
  };
  const dispose = (): void => {
    for (const home of homes) home.close();
  };
  try {
    const key = randomBytes(32);
    const line = `KEY_BASE64 ${key.toString('base64')}`;
    const clientKeys = [{ where: 'rc file', lines: [line], isStock: true }] as const;
    const aes = createGuardedMode('AES', { kind: 'aes', key: new SymmetricKey(key) }, clientKeys, [line]);
    const rsa = await openPgp('GPG, RSA-2048', 'rsa2048');
    const ecc = await openPgp('GPG, ed25519/cv25519', 'ecc');
    const all = [aes, rsa.guarded, ecc.guarded];
    return { all, unguarded: [rsa.unguarded, ecc.unguarded], dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** The same keys with HMAC and without. */
interface Pair {
  readonly guarded: Mode;
  readonly unguarded: Mode;
}

function createGuardedMode(
  name: string,
  encryption: Sealing,
  clientKeys: readonly ClientKeys[],
  keyLines: readonly string[],
): Mode {
  const key = randomBytes(64);
  const line = `HMAC_KEY_BASE64 ${key.toString('base64')}`;
  const toldKeys = clientKeys.map((keys) => ({ ...keys, lines: [...keys.lines, 'USE_HMAC Y', line] }));
  const hmac = new HmacKey(key, 'sha256');
  return createMode(`${name}, HMAC`, encryption, hmac, toldKeys, [...keyLines, line]);
}

function createMode(
  name: string,
  encryption: Sealing,
  hmac: HmacKey | null,
  clientKeys: readonly ClientKeys[],
  keyLines: readonly string[],
): Mode {
  return {
    name,
    clientKeys,
    access: ['SOURCE ANY', ...keyLines, 'OPEN_PORTS tcp/22', `FW_ACCESS_TIMEOUT ${DOOR_SECONDS}`],
    seal: (address = addresses.client4) => {
      const nowSeconds = Math.floor(Date.now() / 1000);
      return sealPacket(
        {
          randomValue: randomDigits(randomBytes),
          username: 'operator',
          timestampSeconds: nowSeconds,
          version: '3.0.0',
          request: {
            kind: 'access',
            source: parseIpAddress(address),
            ports: [{ protocol: 'tcp', port: 22 }],
          },
          clientTimeoutSeconds: null,
          digest: 'sha256',
        },
        { encryption, hmac },
        { nowSeconds, random: randomBytes },
      );
    },
  };
}
