import { constants, hash, verify } from 'node:crypto';
import { type RawKey, type RawSignature, type RawUser, withKeyPrefix } from './certificate-packets.ts';
import { readMpi } from './openpgp-packets.ts';
import type { SignatureFields } from './signature-packets.ts';
import { type VerifyingKey, verifyingKey } from './verifying-keys.ts';

/**
 * A memory of signatures that have been verified, so that none is verified twice. A digest is of the maker's key, of all that was
 * signed and of the signature; who can write into the memory can make a false signature count.
 */
export interface VerifiedSignatures {
  has(digest: string): boolean;
  add(digest: string): void;
}

/** What is signed, before the signature's own part: see {@link signedKey}, {@link signedUser}, {@link signedSubkey}. */
export interface Signed {
  readonly octets: Buffer;
  readonly digest: Buffer;
}

/** A key itself: what a revocation of it or a direct signature is over (RFC 9580 section 5.2.4). */
export function signedKey({ body }: RawKey): Signed {
  return signedOf(withKeyPrefix(body));
}

/** A user ID of a key: what a certification is over. It is put together once, however many certify it. */
export function signedUser(primary: RawKey, user: RawUser): Signed {
  const known = SIGNED_USERS.get(user);
  if (known?.primary === primary) return known.signed;
  const signed = makeSignedUser(primary, user);
  SIGNED_USERS.set(user, { primary, signed });
  return signed;
}

const SIGNED_USERS = new WeakMap<RawUser, { readonly primary: RawKey; readonly signed: Signed }>();

function makeSignedUser(primary: RawKey, user: RawUser): Signed {
  const prefix = Buffer.of(user.userId === null ? 0xd1 : 0xb4, 0, 0, 0, 0);
  prefix.writeUInt32BE(user.body.length, 1);
  return signedOf(Buffer.concat([withKeyPrefix(primary.body), prefix, user.body]));
}

/** A subkey of a key. */
export function signedSubkey(primary: RawKey, { body }: RawKey): Signed {
  return signedOf(Buffer.concat([withKeyPrefix(primary.body), withKeyPrefix(body)]));
}

/** A document, as it is. */
export function signedDocument(octets: Buffer): Signed {
  return signedOf(octets);
}

/** A signature, who is said to have made it, and over what. */
export interface Claim {
  readonly maker: RawKey;
  readonly signature: RawSignature;
  readonly signed: Signed;
}

/**
 * Those of `claims` that are true: `maker` made `signature` over `signed`. Whether it has expired or is weak is not looked at.
 */
export async function trueClaims<One extends Claim>(
  claims: readonly One[],
  verified: VerifiedSignatures | null,
): Promise<readonly One[]> {
  const together = verified === null || claims.length < 2 ? null : digestTogether(claims);
  if (together !== null && verified?.has(together)) return claims;
  // What is remembered waits for nothing: a roster has a hundred thousand of them.
  const isKnown = claims.map((claim) => isRemembered(claim, verified));
  if (!isKnown.includes(false)) {
    if (together !== null) verified?.add(together);
    return claims;
  }
  const isTrue = await Promise.all(
    claims.map(async (claim, index) => {
      if (isKnown[index]) return true;
      const prepared = prepare(claim);
      if (prepared === null || !(await verifyElsewhere(prepared))) return false;
      rememberClaim(claim, verified);
      return true;
    }),
  );
  if (together !== null && !isTrue.includes(false)) verified?.add(together);
  return claims.filter((_, index) => isTrue[index]);
}

/** As {@link trueClaims}, while the caller waits: for the few that a key makes of itself. */
export function isTrueClaim(claim: Claim, verified: VerifiedSignatures | null): boolean {
  if (isRemembered(claim, verified)) return true;
  const prepared = prepare(claim);
  if (prepared === null || !verifyHere(prepared)) return false;
  rememberClaim(claim, verified);
  return true;
}

/** Numbers of digests (RFC 9580 section 9.5), as Node calls them. */
const DIGESTS: Readonly<Record<number, string>> = {
  1: 'md5',
  2: 'sha1',
  3: 'ripemd160',
  8: 'sha256',
  9: 'sha384',
  10: 'sha512',
  11: 'sha224',
  12: 'sha3-256',
  14: 'sha3-512',
};

/** True of a digest that nobody should believe any more. */
export function isWeakDigest(number: number): boolean {
  return number <= 3;
}

/** What comes behind the hashed part (RFC 9580 section 5.2.4). */
export function trailerOf(hashedLength: number): Buffer {
  const trailer = Buffer.of(4, 0xff, 0, 0, 0, 0);
  trailer.writeUInt32BE(hashedLength, 2);
  return trailer;
}

function signedOf(octets: Buffer): Signed {
  return { octets, digest: hash('sha256', octets, 'buffer') };
}

function isRemembered(claim: Claim, verified: VerifiedSignatures | null): boolean {
  const digest = verified === null ? null : memoryDigest(claim);
  return digest !== null && (verified?.has(digest) ?? false);
}

/** Makes `verified` remember a claim that the caller knows to be true. */
export function rememberClaim(claim: Claim, verified: VerifiedSignatures | null): void {
  const digest = verified === null ? null : memoryDigest(claim);
  if (digest !== null) verified?.add(digest);
}

/**
 * The hashed part tells its own length, the rest are digests of one length: no two signatures have the same octets here.
 * Null of what never counts, whatever a memory says.
 */
function memoryDigest({ maker, signature: { octets, fields }, signed }: Claim): string | null {
  if (fields === null || fields.isBeyondUs) return null;
  const all = Buffer.allocUnsafe(1 + claimLength(octets, fields));
  all[0] = ONE;
  writeClaim(all, 1, maker, octets, fields, signed);
  return hash('sha256', all, 'base64url');
}

/**
 * One digest of all claims on one thing: a certificate that nobody has touched since is known at one look. Null if one of them never
 * counts.
 */
function digestTogether(claims: readonly Claim[]): string | null {
  let length = 1;
  for (const { signature } of claims) {
    if (signature.fields === null || signature.fields.isBeyondUs) return null;
    length += claimLength(signature.octets, signature.fields);
  }
  const all = Buffer.allocUnsafe(length);
  all[0] = TOGETHER;
  let at = 1;
  for (const { maker, signature, signed } of claims) {
    if (signature.fields === null) return null;
    at = writeClaim(all, at, maker, signature.octets, signature.fields, signed);
  }
  return hash('sha256', all, 'base64url');
}

function claimLength(octets: Buffer, { start, hashedEnd, digestStart }: SignatureFields): number {
  return 2 * DIGEST_BYTES + LENGTH_BYTES + hashedEnd - start + octets.length - digestStart;
}

/** Writes what a claim is about; where it ends. That it tells its length keeps those of several claims apart. */
function writeClaim(
  all: Buffer,
  at: number,
  maker: RawKey,
  octets: Buffer,
  fields: SignatureFields,
  signed: Signed,
): number {
  const { start, hashedEnd, digestStart } = fields;
  all.set(keyDigest(maker), at);
  all.set(signed.digest, at + DIGEST_BYTES);
  const lengthAt = at + 2 * DIGEST_BYTES;
  all.writeUInt32BE(octets.length - digestStart, lengthAt);
  const hashedAt = lengthAt + LENGTH_BYTES;
  octets.copy(all, hashedAt, start, hashedEnd);
  octets.copy(all, hashedAt + hashedEnd - start, digestStart);
  return at + claimLength(octets, fields);
}

/** The first octet: a digest of one claim is never one of several. */
const ONE = 1;
const TOGETHER = 2;
const DIGEST_BYTES = 32;
const LENGTH_BYTES = 4;

const KEY_DIGESTS = new WeakMap<RawKey, Buffer>();

function keyDigest(key: RawKey): Buffer {
  const known = KEY_DIGESTS.get(key);
  if (known !== undefined) return known;
  const digest = hash('sha256', key.body, 'buffer');
  KEY_DIGESTS.set(key, digest);
  return digest;
}

/** What Node's `verify` is called with. */
interface Prepared {
  /** Null: `data` is what was signed. */
  readonly digest: string | null;
  readonly data: Buffer;
  readonly key: Parameters<typeof verify>[2];
  readonly signature: Buffer;
}

/** Null if it cannot be a signature by that key. */
function prepare({ maker, signature: { octets, fields }, signed }: Claim): Prepared | null {
  if (fields === null || fields.isBeyondUs) return null;
  const { start, hashedEnd, digestStart, algorithm } = fields;
  const digestName = DIGESTS[fields.hash];
  const verifying = verifyingKey(maker);
  if (digestName === undefined || verifying === null || algorithm !== maker.algorithm) return null;
  const trailer = trailerOf(hashedEnd - start);
  const data = Buffer.concat([signed.octets, octets.subarray(start, hashedEnd), trailer]);
  const digest = hash(digestName, data, 'buffer');
  if (digest[0] !== octets[digestStart] || digest[1] !== octets[digestStart + 1]) return null;
  const signature = nativeSignature(verifying, octets.subarray(digestStart + 2));
  if (signature === null) return null;
  switch (verifying.kind) {
    case 'rsa':
      return {
        digest: digestName,
        data,
        key: { key: verifying.key, padding: constants.RSA_PKCS1_PADDING },
        signature,
      };
    case 'ecdsa':
      return {
        digest: digestName,
        data,
        key: { key: verifying.key, dsaEncoding: 'ieee-p1363' },
        signature,
      };
    case 'ed25519':
      return { digest: null, data: digest, key: { key: verifying.key }, signature };
  }
}

/** The numbers of a signature (RFC 9580 section 5.2.3) as Node wants them. */
function nativeSignature(verifying: VerifyingKey, numbers: Buffer): Buffer | null {
  if (verifying.kind === 'ed25519' && !verifying.isLegacy) return numbers.length === 64 ? numbers : null;
  const first = readMpi(numbers);
  if (first === null) return null;
  const size = verifying.kind === 'ed25519' ? 32 : verifying.bytes;
  if (verifying.kind === 'rsa') return first.rest.length > 0 ? null : padded([first.value], size);
  const second = readMpi(first.rest);
  return second === null || second.rest.length > 0 ? null : padded([first.value, second.value], size);
}

function padded(numbers: readonly Buffer[], size: number): Buffer | null {
  const all = Buffer.alloc(numbers.length * size);
  for (const [index, number] of numbers.entries()) {
    if (number.length > size) return null;
    all.set(number, (index + 1) * size - number.length);
  }
  return all;
}

/** On a thread of Node's, so that many use all processors. */
function verifyElsewhere({ digest, data, key, signature }: Prepared): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      verify(digest, data, key, signature, (error, isGood) => resolve(error === null && isGood));
    } catch {
      resolve(false);
    }
  });
}

function verifyHere({ digest, data, key, signature }: Prepared): boolean {
  try {
    return verify(digest, data, key, signature);
  } catch {
    return false;
  }
}
