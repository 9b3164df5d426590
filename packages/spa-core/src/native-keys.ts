import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import type { Key, PrivateKey } from 'openpgp';

// The library's keys in the form that Node's crypto takes. By key ID: 16 upper-case hexadecimal digits.

/** What a session key that was encrypted to a (sub)key of ours is decrypted with. */
export type DecryptionKey =
  | { readonly kind: 'rsa'; readonly key: KeyObject }
  /** `parameters`: what goes into the key derivation besides the shared secret (RFC 9580 section 11.4). */
  | {
      readonly kind: 'x25519';
      readonly key: KeyObject;
      readonly hash: HashName;
      readonly wrapKeyBytes: 16 | 24 | 32;
      readonly parameters: Buffer;
    };

/** Hashes that are good enough to sign and to derive keys with, as Node calls them. */
export type HashName = 'sha256' | 'sha384' | 'sha512';

/** The same by their numbers (RFC 9580 section 9.5). */
export const HASHES: Readonly<Record<number, HashName>> = { 8: 'sha256', 9: 'sha384', 10: 'sha512' };

/** Lengths of the keys that wrap a session key, by the number of the cipher (RFC 9580 section 9.3). */
export const WRAP_KEY_BYTES: Readonly<Record<number, 16 | 24 | 32>> = { 7: 16, 8: 24, 9: 32 };

/** Public-key algorithms (RFC 9580 section 9.1). */
const RSA = 1;
const ECDH = 18;
const EDDSA_LEGACY = 22;
/** Object identifiers (RFC 9580 section 9.2). */
const CURVE25519 = '2b060104019755010501';
const ED25519 = '2b06010401da470f01';

/** The (sub)keys of an unlocked key that Node decrypts with: RSA, and Curve25519 in the form that GnuPG makes. */
export function decryptionKeys(key: PrivateKey): ReadonlyMap<string, DecryptionKey> {
  return new Map(
    key.getKeys().flatMap(({ keyPacket }) => {
      const packet = keyPacket as unknown as KeyPacket;
      const native = decryptionKey(packet);
      return native === null ? [] : [[keyIdOf(packet), native] as const];
    }),
  );
}

/** The (sub)keys that Node verifies with: RSA, and Ed25519 in the form that GnuPG makes. */
export function verificationKeys(key: Key): ReadonlyMap<string, KeyObject> {
  return new Map(
    key.getKeys().flatMap(({ keyPacket }) => {
      const packet = keyPacket as unknown as KeyPacket;
      const jwk = publicJwk(packet);
      return jwk === null ? [] : [[keyIdOf(packet), createPublicKey({ key: jwk, format: 'jwk' })] as const];
    }),
  );
}

/** The (sub)keys that can be encrypted to by their algorithm. */
export function encryptionKeyIds(key: Key): readonly string[] {
  const packets = key.getKeys().map(({ keyPacket }) => keyPacket as unknown as KeyPacket);
  return packets.filter(({ algorithm }) => ENCRYPTING.includes(algorithm)).map(keyIdOf);
}

/** True if the secret half of each (sub)key that can be encrypted to is there, locked or not: a card leaves only a stub. */
export function hasDecryptionKeys(key: PrivateKey): boolean {
  const parts = key.getKeys().map(({ keyPacket }) => keyPacket as unknown as KeyPacket);
  return parts.every(
    (part) => !ENCRYPTING.includes(part.algorithm) || part.isMissingSecretKeyMaterial?.() === false,
  );
}

/** RSA, RSA that only encrypts, Elgamal, ECDH, X25519, X448. */
const ENCRYPTING: readonly number[] = [RSA, 2, 16, ECDH, 25, 26];

/** The name of a curve of this key that neither the library nor we work with; null: there is none. */
export function unsupportedCurve(key: Key): string | null {
  const packets = key.getKeys().map(({ keyPacket }) => keyPacket as unknown as KeyPacket);
  return packets.map(({ publicParams }) => UNSUPPORTED_CURVES[oidOf(publicParams)]).find(Boolean) ?? null;
}

const UNSUPPORTED_CURVES: Readonly<Record<string, string>> = {
  '2b2403030208010107': 'brainpoolP256r1',
  '2b240303020801010b': 'brainpoolP384r1',
  '2b240303020801010d': 'brainpoolP512r1',
  '2b8104000a': 'secp256k1',
};

/** What the library's key packets hold besides what its types say. */
interface KeyPacket {
  readonly version: number;
  readonly algorithm: number;
  readonly publicParams: Readonly<Record<'n' | 'e' | 'Q', Uint8Array>> & {
    readonly oid?: { readonly oid: Uint8Array };
    readonly kdfParams?: { readonly hash: number; readonly cipher: number };
  };
  readonly privateParams?: Readonly<Record<'d' | 'p' | 'q' | 'u', Uint8Array>> | null;
  getFingerprint(): string;
  isMissingSecretKeyMaterial?(): boolean;
  getKeyID(): { toHex(): string };
}

function keyIdOf(packet: KeyPacket): string {
  return packet.getKeyID().toHex().toUpperCase();
}

function publicJwk({ algorithm, publicParams }: KeyPacket): Record<string, string> | null {
  if (algorithm === RSA) return { kty: 'RSA', n: base64Url(publicParams.n), e: base64Url(publicParams.e) };
  if (algorithm === EDDSA_LEGACY && oidOf(publicParams) === ED25519) {
    return { kty: 'OKP', crv: 'Ed25519', x: base64Url(publicParams.Q.subarray(1)) };
  }
  return null;
}

function decryptionKey(packet: KeyPacket): DecryptionKey | null {
  const { version, algorithm, publicParams, privateParams } = packet;
  if (version !== 4 || privateParams === null || privateParams === undefined) return null;
  if (algorithm === RSA) {
    const jwk = rsaJwk({ ...publicParams, ...privateParams });
    return { kind: 'rsa', key: createPrivateKey({ key: jwk, format: 'jwk' }) };
  }
  const { kdfParams } = publicParams;
  const hash = HASHES[kdfParams?.hash ?? 0];
  const wrapKeyBytes = WRAP_KEY_BYTES[kdfParams?.cipher ?? 0];
  if (algorithm !== ECDH || oidOf(publicParams) !== CURVE25519 || !kdfParams || !hash || !wrapKeyBytes)
    return null;
  // OpenPGP keeps the scalar as a big-endian number, X25519 (RFC 7748) takes it little-endian.
  const d = base64Url(Buffer.from(privateParams.d).reverse());
  const jwk = { kty: 'OKP', crv: 'X25519', x: base64Url(publicParams.Q.subarray(1)), d };
  return {
    kind: 'x25519',
    key: createPrivateKey({ key: jwk, format: 'jwk' }),
    hash,
    wrapKeyBytes,
    parameters: ecdhParameters(kdfParams, packet.getFingerprint()),
  };
}

/** What a wrapping key is derived from besides the shared secret, for Curve25519 (RFC 9580 section 11.5). */
export function ecdhParameters(
  kdf: { readonly hash: number; readonly cipher: number },
  fingerprint: string,
): Buffer {
  const oid = Buffer.from(CURVE25519, 'hex');
  return Buffer.concat([
    Buffer.of(oid.length),
    oid,
    Buffer.of(ECDH, 3, 1, kdf.hash, kdf.cipher),
    Buffer.from('Anonymous Sender    ', 'latin1'),
    Buffer.from(fingerprint, 'hex'),
  ]);
}

function oidOf({ oid }: KeyPacket['publicParams']): string {
  return Buffer.from(oid?.oid ?? []).toString('hex');
}

type RsaParams = Readonly<Record<'n' | 'e' | 'd' | 'p' | 'q' | 'u', Uint8Array>>;

/** RFC 7517's form of a secret RSA key. OpenPGP keeps u = 1/p mod q, so p and q change places. */
export function rsaJwk({ n, e, d, p, q, u }: RsaParams): Record<string, string> {
  const exponent = (prime: Uint8Array): Uint8Array => bigIntBytes(bytesBigInt(d) % (bytesBigInt(prime) - 1n));
  const parts = { n, e, d, p: q, q: p, dp: exponent(q), dq: exponent(p), qi: u };
  const encoded = Object.entries(parts).map(([name, bytes]) => [name, base64Url(bytes)]);
  return { kty: 'RSA', ...Object.fromEntries(encoded) };
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

function bytesBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
}

function bigIntBytes(value: bigint): Buffer {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}
