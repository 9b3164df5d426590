import { constants, createPrivateKey, createPublicKey, hash, type KeyObject, sign } from 'node:crypto';
import { type RawCertificate, type RawKey, readRawCertificates } from './certificate-packets.ts';
import type { CertifyingKey } from './certify.ts';
import { findSigningKey } from './key-packets.ts';
import { type HashName, rsaJwk } from './native-keys.ts';
import { type Fingerprint, KeyError, type SecretKey } from './openpgp-keys.ts';
import { writeMpi } from './openpgp-packets.ts';
import { signingKeysOf } from './validity.ts';
import { ALGORITHM, curveOf, verifyingKey } from './verifying-keys.ts';

/**
 * The primary key of `secret` as what certifies: RSA, Ed25519 or ECDSA with a curve of NIST's.
 * @throws KeyError if it is locked, if only its subkeys are here, or if it is of another kind.
 */
export function certifyingKey(secret: SecretKey): CertifyingKey {
  const { primary } = unlockedRaw(secret);
  const key = nativeKey(secret, primary);
  if (key !== null) return key;
  const { algorithm } = primary;
  const reason = isHere(packetOf(secret, primary))
    ? `the secret key ${secret.fingerprint} (algorithm ${algorithm}) cannot certify here; let gpg do it`
    : `of ${secret.fingerprint} only subkeys are here; its primary key certifies`;
  throw new KeyError(reason);
}

/** False: only subkeys of it are here, as with a primary key that is kept offline or on a card. */
export function hasPrimaryKey(secret: SecretKey): boolean {
  const [primary] = secret.openpgpKey().getKeys();
  return isHere((primary?.keyPacket ?? null) as unknown as SecretPacket | null);
}

/**
 * The (sub)key of `secret` that signs files at `nowSeconds`, the newest: a primary key often only certifies.
 * @throws KeyError if it is locked, or if none that may sign is here.
 */
export function signingKey(secret: SecretKey, nowSeconds: number): CertifyingKey {
  const raw = unlockedRaw(secret);
  for (const { key, expiresAtSeconds } of signingKeysOf(raw, nowSeconds)) {
    const isNow =
      key.createdAtSeconds <= nowSeconds && nowSeconds < (expiresAtSeconds ?? Number.POSITIVE_INFINITY);
    const native = isNow ? nativeKey(secret, key) : null;
    if (native !== null) return native;
  }
  throw new KeyError(`of ${secret.fingerprint} no key is here that may sign; add one: gpg --quick-add-key`);
}

/**
 * The secret key with that fingerprint as what certifies, read without the OpenPGP library: RSA or Ed25519 in the clear. Null: it is
 * not among `data`, or only {@link certifyingKey} can tell.
 */
export function readCertifyingKey(data: Uint8Array, fingerprint: Fingerprint): CertifyingKey | null {
  const found = findSigningKey(data, fingerprint);
  if (found === null) return null;
  const native: NativeKey = { kind: found.kind, isLegacy: true, key: found.key };
  const algorithm = found.kind === 'rsa' ? ALGORITHM.rsa : ALGORITHM.eddsaLegacy;
  return { fingerprint, algorithm, sign: (octets, name, digest) => signWith(native, octets, name, digest) };
}

function unlockedRaw(secret: SecretKey): RawCertificate {
  const { fingerprint, isLocked } = secret;
  if (isLocked) throw new KeyError(`the secret key ${fingerprint} is locked; its passphrase is needed`);
  const [raw] = readRawCertificates(secret.openpgpKey().toPublic().write());
  if (raw === undefined) throw new KeyError(`the secret key ${fingerprint} has no certificate`);
  return raw;
}

function packetOf(secret: SecretKey, { fingerprint }: RawKey): SecretPacket | null {
  const parts = secret.openpgpKey().getKeys();
  const part = parts.find(({ keyPacket }) => keyPacket.getFingerprint().toUpperCase() === fingerprint);
  return (part?.keyPacket ?? null) as unknown as SecretPacket | null;
}

/** Of a key on a card, or kept elsewhere, there are no numbers. */
function isHere(packet: SecretPacket | null): boolean {
  return packet?.privateParams !== null && packet?.privateParams !== undefined;
}

/** What the library's key packets hold besides what its types say. */
interface SecretPacket {
  readonly publicParams: Readonly<Record<'n' | 'e' | 'Q', Uint8Array>>;
  readonly privateParams?: Readonly<Record<'d' | 'p' | 'q' | 'u' | 'seed', Uint8Array>> | null;
}

/** A key as Node takes it. */
interface NativeKey {
  readonly kind: 'rsa' | 'ecdsa' | 'ed25519';
  readonly isLegacy: boolean;
  readonly key: KeyObject;
}

/** The names and sizes (of a coordinate, in octets) of NIST's curves, by their object identifiers. */
const NIST_CURVES: Readonly<Record<string, { readonly crv: string; readonly bytes: number }>> = {
  '2a8648ce3d030107': { crv: 'P-256', bytes: 32 },
  '2b81040022': { crv: 'P-384', bytes: 48 },
  '2b81040023': { crv: 'P-521', bytes: 66 },
};

/** Null if it is not here, if Node does not sign with it, or if its two halves do not belong together. */
function nativeKey(secret: SecretKey, raw: RawKey): CertifyingKey | null {
  const packet = packetOf(secret, raw);
  const verifying = verifyingKey(raw);
  if (packet === null || !isHere(packet) || verifying === null) return null;
  const jwk = JWKS[raw.algorithm]?.(packet, curveOf(raw) ?? '') ?? null;
  if (jwk === null) return null;
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  // A signature by a key with another public half would betray the secret one.
  if (!createPublicKey(key).equals(verifying.key)) return null;
  const { fingerprint, algorithm } = raw;
  const native = { kind: verifying.kind, isLegacy: algorithm === ALGORITHM.eddsaLegacy, key };
  return { fingerprint, algorithm, sign: (octets, name, digest) => signWith(native, octets, name, digest) };
}

type Jwk = Record<string, string>;

const JWKS: Readonly<Record<number, (packet: SecretPacket, curve: string) => Jwk | null>> = {
  [ALGORITHM.rsa]: rsa,
  [ALGORITHM.rsaSignOnly]: rsa,
  [ALGORITHM.ecdsa]: ({ publicParams, privateParams }, curve) => {
    const row = NIST_CURVES[curve];
    if (row === undefined || !privateParams) return null;
    const { crv, bytes } = row;
    const point = Buffer.from(publicParams.Q);
    const [x, y] = [point.subarray(1, 1 + bytes), point.subarray(1 + bytes)];
    const d = padded(privateParams.d, bytes);
    return { kty: 'EC', crv, x: base64Url(x), y: base64Url(y), d: base64Url(d) };
  },
  [ALGORITHM.eddsaLegacy]: ed25519,
  [ALGORITHM.ed25519]: ed25519,
};

function rsa({ publicParams, privateParams }: SecretPacket): Jwk | null {
  return privateParams ? rsaJwk({ ...publicParams, ...privateParams }) : null;
}

/** Node takes the public half from `x` without a look: it is computed from the seed, to be compared. */
function ed25519({ privateParams }: SecretPacket): Jwk | null {
  if (!privateParams) return null;
  const seed = padded(privateParams.seed, 32);
  const der = Buffer.concat([ED25519_PKCS8, seed]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' }) as Jwk;
}

/** RFC 8410, up to the seed. */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

function padded(octets: Uint8Array, size: number): Buffer {
  return Buffer.concat([Buffer.alloc(Math.max(0, size - octets.length)), octets]);
}

async function signWith(
  { kind, isLegacy, key }: NativeKey,
  octets: Buffer,
  name: HashName,
  digest: Buffer | undefined,
): Promise<Buffer> {
  switch (kind) {
    case 'rsa':
      return writeMpi(await signElsewhere(name, octets, { key, padding: constants.RSA_PKCS1_PADDING }));
    case 'ecdsa':
      return twoMpis(await signElsewhere(name, octets, { key, dsaEncoding: 'ieee-p1363' }));
    case 'ed25519': {
      const made = await signElsewhere(null, digest ?? hash(name, octets, 'buffer'), { key });
      return isLegacy ? twoMpis(made) : made;
    }
  }
}

function twoMpis(made: Buffer): Buffer {
  const half = made.length / 2;
  return Buffer.concat([writeMpi(made.subarray(0, half)), writeMpi(made.subarray(half))]);
}

/** On a thread of Node's, so that many use all processors. */
function signElsewhere(
  digest: string | null,
  data: Buffer,
  key: Exclude<Parameters<typeof sign>[2], KeyObject>,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    sign(digest, data, key, (error, made) => (error === null ? resolve(made) : reject(error)));
  });
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
