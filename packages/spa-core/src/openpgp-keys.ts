import { createPrivateKey, type KeyObject } from 'node:crypto';
import type { PrivateKey, PublicKey } from 'openpgp';
import type { Brand } from './brand.ts';

/** A fingerprint (RFC 9580 section 5.5.4) in upper-case hexadecimal: 40 digits (version 4) or 64 (version 6). */
export type Fingerprint = Brand<string, 'Fingerprint'>;

/** OpenPGP key material that cannot be used. The message is one line and holds no secret. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
}

/** A fingerprint as people write it: case and blanks ignored, `0x` allowed. Null if it is none. */
export function parseFingerprint(text: string): Fingerprint | null {
  const hex = text.replaceAll(/\s+/g, '').replace(/^0x/i, '').toUpperCase();
  return /^([0-9A-F]{40}|[0-9A-F]{64})$/.test(hex) ? (hex as Fingerprint) : null;
}

/** An OpenPGP certificate ("public key"): somebody to encrypt to, or whose signatures to verify. */
export class Certificate {
  readonly fingerprint: Fingerprint;
  /** 16 upper-case hexadecimal digits each: the primary key's, then its subkeys'. */
  readonly keyIds: readonly string[];
  readonly userIds: readonly string[];
  readonly #key: PublicKey;

  constructor(key: PublicKey) {
    this.fingerprint = key.getFingerprint().toUpperCase() as Fingerprint;
    this.keyIds = key.getKeys().map((part) => part.getKeyID().toHex().toUpperCase());
    this.userIds = key.getUserIDs();
    this.#key = key;
  }

  /** The key of the OpenPGP library. */
  openpgpKey(): PublicKey {
    return this.#key;
  }

  toJSON(): string {
    return this.fingerprint;
  }
}

/** An OpenPGP secret key: whose packets to open, or whom to sign as. It cannot be printed. */
export class SecretKey {
  readonly fingerprint: Fingerprint;
  /** 16 upper-case hexadecimal digits each: the primary key's, then its subkeys'. */
  readonly keyIds: readonly string[];
  readonly userIds: readonly string[];
  /** True if a passphrase is needed before the key can be used: see {@link unlockSecretKey}. */
  readonly isLocked: boolean;
  readonly #key: PrivateKey;
  readonly #rsaKeys: ReadonlyMap<string, KeyObject>;

  constructor(key: PrivateKey) {
    this.fingerprint = key.getFingerprint().toUpperCase() as Fingerprint;
    this.keyIds = key.getKeys().map((part) => part.getKeyID().toHex().toUpperCase());
    this.userIds = key.getUserIDs();
    this.isLocked = !key.isDecrypted();
    this.#key = key;
    this.#rsaKeys = this.isLocked ? new Map() : nativeRsaKeys(key);
  }

  /** The key of the OpenPGP library. */
  openpgpKey(): PrivateKey {
    return this.#key;
  }

  /** Node's own form of the RSA (sub)key with that key ID; null if there is none. */
  rsaKey(keyId: string): KeyObject | null {
    return this.#rsaKeys.get(keyId) ?? null;
  }

  toJSON(): string {
    return this.fingerprint;
  }
}

/**
 * The certificates in `data`: one or more, binary or armored.
 * @throws KeyError if there is none, or one that cannot be read.
 */
export async function readCertificates(data: Uint8Array): Promise<readonly Certificate[]> {
  const openpgp = await import('openpgp');
  const keys = await readAll(data, openpgp.readKeys);
  return keys.map((key) => new Certificate(key.toPublic()));
}

/**
 * The secret keys in `data`: one or more, binary or armored.
 * @throws KeyError if there is none, or one that cannot be read.
 */
export async function readSecretKeys(data: Uint8Array): Promise<readonly SecretKey[]> {
  const openpgp = await import('openpgp');
  const keys = await readAll(data, openpgp.readPrivateKeys);
  return keys.map((key) => new SecretKey(key));
}

/** The key, unlocked. @throws KeyError if the passphrase is wrong. */
export async function unlockSecretKey(key: SecretKey, passphrase: string): Promise<SecretKey> {
  const openpgp = await import('openpgp');
  try {
    return new SecretKey(await openpgp.decryptKey({ privateKey: key.openpgpKey(), passphrase }));
  } catch {
    throw new KeyError(`wrong passphrase for the secret key ${key.fingerprint}`);
  }
}

type ReadKeys<Key> = {
  (options: { armoredKeys: string }): Promise<Key[]>;
  (options: { binaryKeys: Uint8Array }): Promise<Key[]>;
};

async function readAll<Key>(data: Uint8Array, read: ReadKeys<Key>): Promise<readonly Key[]> {
  const keys: Key[] = [];
  try {
    for (const block of splitArmor(data)) {
      keys.push(
        ...(await (typeof block === 'string' ? read({ armoredKeys: block }) : read({ binaryKeys: block }))),
      );
    }
  } catch (error) {
    throw new KeyError(
      `no OpenPGP key can be read here: ${(error as Error).message.replaceAll(/\s+/g, ' ')}`,
    );
  }
  if (keys.length === 0) throw new KeyError('no OpenPGP key is here');
  return keys;
}

/** The armored blocks of `data`, or `data` itself if it is binary. */
function splitArmor(data: Uint8Array): readonly (string | Uint8Array)[] {
  const isBinary = ((data[0] ?? 0) & 0x80) !== 0;
  if (isBinary) return [data];
  return (
    Buffer.from(data)
      .toString('utf8')
      .match(/-----BEGIN PGP[\s\S]*?-----END PGP[^\n]*-----/g) ?? []
  );
}

interface RsaParams {
  readonly n: Uint8Array;
  readonly e: Uint8Array;
  readonly d: Uint8Array;
  readonly p: Uint8Array;
  readonly q: Uint8Array;
  readonly u: Uint8Array;
}

/** Node decrypts a session key with RSA 25 times as fast as the library, and needs the key in its own form. */
function nativeRsaKeys(key: PrivateKey): ReadonlyMap<string, KeyObject> {
  const keys = new Map<string, KeyObject>();
  for (const part of key.getKeys()) {
    const packet = part.keyPacket;
    const params = { ...packet.publicParams, ...('privateParams' in packet ? packet.privateParams : null) };
    if (isRsaParams(params)) {
      keys.set(
        packet.getKeyID().toHex().toUpperCase(),
        createPrivateKey({ key: rsaJwk(params), format: 'jwk' }),
      );
    }
  }
  return keys;
}

function isRsaParams(params: object): params is RsaParams {
  return ['n', 'e', 'd', 'p', 'q', 'u'].every((name) => name in params);
}

/** RFC 7517's form. OpenPGP keeps u = 1/p mod q, so p and q change places. */
function rsaJwk({ n, e, d, p, q, u }: RsaParams): Record<string, string> {
  const exponent = (prime: Uint8Array): Uint8Array => bigIntBytes(bytesBigInt(d) % (bytesBigInt(prime) - 1n));
  const parts = { n, e, d, p: q, q: p, dp: exponent(q), dq: exponent(p), qi: u };
  const encoded = Object.entries(parts).map(([name, bytes]) => [
    name,
    Buffer.from(bytes).toString('base64url'),
  ]);
  return { kty: 'RSA', ...Object.fromEntries(encoded) };
}

function bytesBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
}

function bigIntBytes(value: bigint): Buffer {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}
