import type { KeyObject } from 'node:crypto';
import type { PrivateKey, PublicKey } from 'openpgp';
import type { Brand } from './brand.ts';
import {
  type DecryptionKey,
  decryptionKeys,
  encryptionKeyIds,
  hasDecryptionKeys,
  unsupportedCurve,
  verificationKeys,
} from './native-keys.ts';
import { packetsFor, type SessionKey } from './session-key.ts';

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
  /** All fingerprints: the primary key's, then its subkeys'. */
  readonly fingerprints: readonly Fingerprint[];
  /** A curve of its keys that nothing can be done with: brainpoolP256r1 and the like. Null: there is none. */
  readonly unsupportedCurve: string | null;
  readonly #key: PublicKey;
  readonly #verificationKeys: ReadonlyMap<string, KeyObject>;

  constructor(key: PublicKey) {
    this.fingerprint = key.getFingerprint().toUpperCase() as Fingerprint;
    this.keyIds = key.getKeys().map((part) => part.getKeyID().toHex().toUpperCase());
    this.userIds = key.getUserIDs();
    this.fingerprints = key.getKeys().map((part) => part.getFingerprint().toUpperCase() as Fingerprint);
    this.unsupportedCurve = unsupportedCurve(key);
    this.#key = key;
    this.#verificationKeys = verificationKeys(key);
  }

  /** The key of the OpenPGP library. */
  openpgpKey(): PublicKey {
    return this.#key;
  }

  /** The (sub)key with that key ID as Node takes it; null if there is none, or none that Node verifies with. */
  verificationKey(keyId: string): KeyObject | null {
    return this.#verificationKeys.get(keyId) ?? null;
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
  /** True if a (sub)key that others encrypt to is elsewhere, such as on a card: see {@link KeptKey}. */
  readonly isStub: boolean;
  readonly #key: PrivateKey;
  readonly #decryptionKeys: ReadonlyMap<string, DecryptionKey>;

  constructor(key: PrivateKey) {
    this.fingerprint = key.getFingerprint().toUpperCase() as Fingerprint;
    this.keyIds = key.getKeys().map((part) => part.getKeyID().toHex().toUpperCase());
    this.userIds = key.getUserIDs();
    this.isLocked = !key.isDecrypted();
    this.isStub = !hasDecryptionKeys(key);
    this.#key = key;
    this.#decryptionKeys = this.isLocked ? new Map() : decryptionKeys(key);
  }

  /** The key of the OpenPGP library. */
  openpgpKey(): PrivateKey {
    return this.#key;
  }

  /** The (sub)key with that key ID as Node takes it; null if there is none, or none that Node decrypts with. */
  decryptionKey(keyId: string): DecryptionKey | null {
    return this.#decryptionKeys.get(keyId) ?? null;
  }

  /** What others have of it. */
  certificate(): Certificate {
    return new Certificate(this.#key.toPublic());
  }

  toJSON(): string {
    return this.fingerprint;
  }
}

/**
 * Decrypts the session key in one public-key encrypted session key packet of version 3, given whole, which names its recipient.
 * Null if it cannot, or will not in time. Never rejects.
 */
export type Keeper = (packet: Buffer) => Promise<SessionKey | null>;

/** An OpenPGP secret key that stays where it is, in gpg-agent or on a card: who keeps it is asked for each session key. */
export class KeptKey {
  readonly fingerprint: Fingerprint;
  /** As of a {@link SecretKey}. */
  readonly keyIds: readonly string[];
  readonly userIds: readonly string[];
  /** Those of its (sub)keys that encrypt. */
  readonly encryptionKeyIds: readonly string[];
  readonly #certificate: Certificate;
  readonly #keeper: Keeper;

  constructor(certificate: Certificate, keeper: Keeper) {
    this.fingerprint = certificate.fingerprint;
    this.keyIds = certificate.keyIds;
    this.userIds = certificate.userIds;
    this.encryptionKeyIds = encryptionKeyIds(certificate.openpgpKey());
    this.#certificate = certificate;
    this.#keeper = keeper;
  }

  certificate(): Certificate {
    return this.#certificate;
  }

  /** Node has none of it. */
  decryptionKey(_keyId: string): null {
    return null;
  }

  /** The session key in the body of a PKESK; null as of its {@link Keeper}, or if it is not for one of our keys. */
  async sessionKey(body: Buffer): Promise<SessionKey | null> {
    for (const packet of packetsFor(body, this.encryptionKeyIds)) {
      const sessionKey = await this.#keeper(packet);
      if (sessionKey !== null) return sessionKey;
    }
    return null;
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
