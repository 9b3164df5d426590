import { hash } from 'node:crypto';
import type { RawCertificate, RawUser } from './certificate-packets.ts';
import { HASHES, type HashName } from './native-keys.ts';
import { type Fingerprint, KeyError } from './openpgp-keys.ts';
import { TAG, writePacket } from './openpgp-packets.ts';
import { TYPE } from './self-signatures.ts';
import { SUBPACKET, writeSubpacket } from './signature-packets.ts';
import { type Signed, signedKey, signedUser, trailerOf } from './signature-verification.ts';

/** Somebody's primary key, wherever it is: it certifies, and takes certifications back; or a (sub)key that signs files. */
export interface CertifyingKey {
  readonly fingerprint: Fingerprint;
  /** RFC 9580 section 9.1. */
  readonly algorithm: number;
  /**
   * A signature over `octets`, of which `hash` is still to be taken, as it stands in a signature packet: its numbers as OpenPGP's
   * multiprecision integers (RFC 9580 section 5.2.3).
   * @param digest that hash of `octets`, by a caller who has it anyway; a key that takes the hash itself need not look at it
   */
  sign(octets: Buffer, hash: HashName, digest?: Buffer): Promise<Buffer>;
}

/** How a certification is to be. */
export interface CertificationTerms {
  /** Seconds since 1970. */
  readonly madeAtSeconds: number;
  /** Seconds since 1970; null: as long as the keys. */
  readonly expiresAtSeconds: number | null;
  /** False: for its maker's own use, like gpg's `--lsign-key`. */
  readonly isExportable: boolean;
}

/** Why something is taken back. */
export interface RevocationTerms {
  /** Seconds since 1970. Before it a certification counts again, of a key that is only retired. */
  readonly madeAtSeconds: number;
  readonly reason: keyof typeof REVOCATION_REASONS;
  /** For people; may be empty. */
  readonly text: string;
}

/** Reasons and their codes (RFC 9580 section 5.2.3.31). */
export const REVOCATION_REASONS = {
  none: 0,
  superseded: 1,
  compromised: 2,
  retired: 3,
  'user-id': 32,
} as const;

/**
 * The signature packet by which `key` says that `userId` belongs to `subject` (type 0x10).
 * @throws KeyError if `subject` has no such user ID. RangeError if it would expire before it is made.
 */
export function certify(
  key: CertifyingKey,
  subject: RawCertificate,
  userId: string,
  { madeAtSeconds, expiresAtSeconds, isExportable }: CertificationTerms,
): Promise<Buffer> {
  const signed = signedUser(subject.primary, userOf(subject, userId));
  return makeSignature(key, TYPE.certification, signed, madeAtSeconds, [
    ...expiration(madeAtSeconds, expiresAtSeconds),
    ...locality(isExportable),
  ]);
}

/**
 * The signature packet by which `key` takes back its certifications of `userId` until then (type 0x30). One that takes back what is
 * local should be local.
 * @throws KeyError if `subject` has no such user ID.
 */
export function revokeCertification(
  key: CertifyingKey,
  subject: RawCertificate,
  userId: string,
  terms: RevocationTerms & { readonly isExportable: boolean },
): Promise<Buffer> {
  const signed = signedUser(subject.primary, userOf(subject, userId));
  const subpackets = [reasonOf(terms), ...locality(terms.isExportable)];
  return makeSignature(key, TYPE.certificationRevocation, signed, terms.madeAtSeconds, subpackets);
}

/**
 * The signature packet by which `key` revokes itself (type 0x20).
 * @throws KeyError if `raw` is the certificate of another key.
 */
export async function revokeCertificate(
  key: CertifyingKey,
  raw: RawCertificate,
  terms: RevocationTerms,
): Promise<Buffer> {
  if (raw.fingerprint !== key.fingerprint) {
    throw new KeyError(`${key.fingerprint} cannot revoke ${raw.fingerprint}`);
  }
  const subpackets = [reasonOf(terms)];
  return makeSignature(key, TYPE.keyRevocation, signedKey(raw.primary), terms.madeAtSeconds, subpackets);
}

/** A signature packet of version 4, with SHA-512. */
export async function makeSignature(
  key: CertifyingKey,
  type: number,
  signed: Signed,
  madeAtSeconds: number,
  subpackets: readonly Buffer[],
): Promise<Buffer> {
  const fingerprint = Buffer.from(key.fingerprint, 'hex');
  if (fingerprint.length !== V4_FINGERPRINT_BYTES) {
    throw new KeyError(`${key.fingerprint} is of version 6, which gpg cannot use`);
  }
  const hashed = Buffer.concat([
    writeSubpacket(SUBPACKET.issuerFingerprint, Buffer.concat([Buffer.of(4), fingerprint])),
    writeSubpacket(SUBPACKET.creationTime, uint32(madeAtSeconds)),
    ...subpackets,
  ]);
  const signedPart = Buffer.concat([
    Buffer.of(4, type, key.algorithm, HASH_NUMBER, hashed.length >> 8, hashed.length & 0xff),
    hashed,
  ]);
  const octets = Buffer.concat([signed.octets, signedPart, trailerOf(signedPart.length)]);
  const digest = hash(HASH, octets, 'buffer');
  const numbers = await key.sign(octets, HASH, digest);
  const issuer = writeSubpacket(SUBPACKET.issuerKeyId, fingerprint.subarray(-8));
  const parts = [signedPart, Buffer.of(0, issuer.length), issuer, digest.subarray(0, 2), numbers];
  return writePacket(TAG.signature, Buffer.concat(parts));
}

const HASH: HashName = 'sha512';
const HASH_NUMBER: number = Number(Object.keys(HASHES).find((number) => HASHES[Number(number)] === HASH));
const V4_FINGERPRINT_BYTES = 20;
/** Who does not know the subpacket must not count the signature: so does gpg. */
const IS_CRITICAL = 0x80;

function userOf({ fingerprint, users }: RawCertificate, userId: string): RawUser {
  const user = users.find((one) => one.userId === userId);
  if (user === undefined) throw new KeyError(`${fingerprint} has no user ID ${userId}`);
  return user;
}

function expiration(madeAtSeconds: number, expiresAtSeconds: number | null): readonly Buffer[] {
  if (expiresAtSeconds === null) return [];
  // A lifetime of nothing would be one without end.
  if (expiresAtSeconds <= madeAtSeconds) throw new RangeError('a certification ends after it is made');
  return [writeSubpacket(SUBPACKET.expirationTime | IS_CRITICAL, uint32(expiresAtSeconds - madeAtSeconds))];
}

function locality(isExportable: boolean): readonly Buffer[] {
  return isExportable ? [] : [writeSubpacket(SUBPACKET.isExportable | IS_CRITICAL, Buffer.of(0))];
}

function reasonOf({ reason, text }: RevocationTerms): Buffer {
  const said = Buffer.from(text, 'utf8').subarray(0, REASON_MAX_BYTES);
  return writeSubpacket(SUBPACKET.reason, Buffer.concat([Buffer.of(REVOCATION_REASONS[reason]), said]));
}

const REASON_MAX_BYTES = 1000;

function uint32(value: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(value);
  return octets;
}
