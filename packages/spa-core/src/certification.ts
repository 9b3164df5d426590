import type { RawCertificate, RawUser } from './certificate-packets.ts';
import { ownersWord, selfSignaturesOf, TYPE } from './self-signatures.ts';
import type { SignatureFields } from './signature-packets.ts';
import {
  type Claim,
  isWeakDigest,
  signedUser,
  trueClaims,
  type VerifiedSignatures,
} from './signature-verification.ts';
import { validityOf } from './validity.ts';

/**
 * Whether a certification counts, and if not, why:
 * `expired` it is past its own end; `revoked` its maker took it back, and made no new one; `weak` its digest is SHA-1, MD5
 * or RIPEMD-160; `unchecked` its maker says that he did not look (type 0x11), which gpg does not count either;
 * `certifier` its maker's key is itself expired, revoked or not for certifying; `user-id` the owner revoked the user ID,
 * or never signed it himself.
 */
export type CertificationState =
  | 'valid'
  | 'certifier'
  | 'expired'
  | 'revoked'
  | 'unchecked'
  | 'user-id'
  | 'weak';

/** Somebody's signature that a user ID belongs to a certificate (RFC 9580 section 5.2.1.4). */
export interface Certification {
  readonly certifier: RawCertificate;
  readonly userId: string;
  readonly state: CertificationState;
  /** False: made for its maker's own use (gpg's `--lsign-key`), which gpg does not export unless told to. */
  readonly isExportable: boolean;
  /** Seconds since 1970. */
  readonly madeAtSeconds: number;
  /** Seconds since 1970; null: never. */
  readonly expiresAtSeconds: number | null;
}

/**
 * The valid certifications of `raw` by `candidates`: who vouches for it. One entry for each user ID and maker, the
 * longest-lasting of several.
 *
 *     const vouchers = await certifiersOf(operator, [bastion, authority], nowSeconds);
 *     const isTrusted = vouchers.some(({ certifier }) => certifier.fingerprint === authority.fingerprint);
 *
 * Candidates are certificates whose fingerprints the caller trusts: a certification proves no more than that its maker made
 * it. Whether `raw` itself is expired or revoked is another question: see {@link validityOf}.
 */
export async function certifiersOf(
  raw: RawCertificate,
  candidates: readonly RawCertificate[],
  nowSeconds: number,
  verified: VerifiedSignatures | null = null,
): Promise<readonly Certification[]> {
  const all = await certificationsOf(raw, candidates, nowSeconds, verified);
  const best = new Map<string, Certification>();
  for (const certification of all) {
    if (certification.state !== 'valid') continue;
    const key = `${certification.certifier.fingerprint} ${certification.userId}`;
    const known = best.get(key);
    if (known === undefined || endOf(certification) > endOf(known)) best.set(key, certification);
  }
  return [...best.values()];
}

/**
 * All certifications of `raw` that `candidates` made, also those that do not count, in the certificate's order.
 *
 * A signature that does not verify is nobody's, and is left out; so is one by a subkey, and one that is dated after
 * `nowSeconds`. Self-signatures are no certifications. Those by others than `candidates` cost nothing, and next to nothing those
 * that `verified` remembers.
 */
export async function certificationsOf(
  raw: RawCertificate,
  candidates: readonly RawCertificate[],
  nowSeconds: number,
  verified: VerifiedSignatures | null = null,
): Promise<readonly Certification[]> {
  return certificationsAmong(raw, byKeyId(candidates), nowSeconds, verified);
}

/** Certificates by the key ID of their primary key: two may have the same. */
export type Makers = ReadonlyMap<string, readonly RawCertificate[]>;

/** {@link certificationsOf} looks for makers here. */
export function byKeyId(candidates: Iterable<RawCertificate>): Makers {
  const makers = new Map<string, RawCertificate[]>();
  for (const candidate of candidates) {
    const known = makers.get(candidate.primary.keyId);
    if (known === undefined) makers.set(candidate.primary.keyId, [candidate]);
    else known.push(candidate);
  }
  return makers;
}

/** {@link certificationsOf} for who asks of many certificates with the same candidates. */
export async function certificationsAmong(
  raw: RawCertificate,
  makers: Makers,
  nowSeconds: number,
  verified: VerifiedSignatures | null,
): Promise<readonly Certification[]> {
  const { users } = selfSignaturesOf(raw, verified);
  const found: Certification[] = [];
  for (const signedUser of users) {
    const isOwners = ownersWord(signedUser, nowSeconds) !== null;
    const look: Look = { raw, user: signedUser.user, isOwners, makers, nowSeconds, verified };
    found.push(...(await certificationsOn(look)));
  }
  return found;
}

interface Look {
  readonly raw: RawCertificate;
  readonly user: RawUser;
  readonly isOwners: boolean;
  readonly makers: Makers;
  readonly nowSeconds: number;
  readonly verified: VerifiedSignatures | null;
}

interface Made extends Claim {
  readonly certifier: RawCertificate;
  readonly fields: SignatureFields;
}

async function certificationsOn(look: Look): Promise<readonly Certification[]> {
  const { user, isOwners, nowSeconds, verified } = look;
  const { userId } = user;
  if (userId === null) return [];
  const claimed = claimsOf(look);
  const certifications = await trueClaims(claimed.certifications, verified);
  if (certifications.length === 0) return [];
  const revocations = await trueClaims(claimed.revocations, verified);
  const revokedAt = new Map<RawCertificate, number>();
  for (const { certifier, fields } of revocations) {
    revokedAt.set(certifier, Math.max(revokedAt.get(certifier) ?? 0, createdSeconds(fields)));
  }
  const stateOf = ({ certifier, fields }: Made): CertificationState => {
    if (createdSeconds(fields) <= (revokedAt.get(certifier) ?? Number.NEGATIVE_INFINITY)) return 'revoked';
    if (nowSeconds >= (fields.expiresAtSeconds ?? Number.POSITIVE_INFINITY)) return 'expired';
    if (isWeakDigest(fields.hash)) return 'weak';
    if (fields.type === TYPE.persona) return 'unchecked';
    if (validityOf(certifier, 'certify', nowSeconds, verified).state !== 'valid') return 'certifier';
    return isOwners ? 'valid' : 'user-id';
  };
  return certifications.map((made) => ({
    certifier: made.certifier,
    userId,
    state: stateOf(made),
    isExportable: made.fields.isExportable,
    madeAtSeconds: createdSeconds(made.fields),
    expiresAtSeconds: made.fields.expiresAtSeconds,
  }));
}

/** Those signatures on the user ID that name a candidate's primary key, and are not from the future. */
function claimsOf({ raw, user, makers, nowSeconds }: Look): {
  readonly certifications: readonly Made[];
  readonly revocations: readonly Made[];
} {
  const signed = signedUser(raw.primary, user);
  const certifications: Made[] = [];
  const revocations: Made[] = [];
  for (const signature of user.signatures) {
    const { fields } = signature;
    if (fields === null || createdSeconds(fields) > nowSeconds) continue;
    const isRevocation = fields.type === TYPE.certificationRevocation;
    if (!isRevocation && !CERTIFICATIONS.includes(fields.type)) continue;
    for (const certifier of makers.get(fields.issuerKeyId ?? '') ?? NOBODY) {
      if (certifier.fingerprint === raw.fingerprint) continue;
      const claims = isRevocation ? revocations : certifications;
      claims.push({ certifier, fields, maker: certifier.primary, signature, signed });
    }
  }
  return { certifications, revocations };
}

const CERTIFICATIONS: readonly number[] = TYPE.certifications;
const NOBODY: readonly RawCertificate[] = [];

function createdSeconds({ createdAtSeconds }: SignatureFields): number {
  return createdAtSeconds ?? Number.POSITIVE_INFINITY;
}

function endOf({ expiresAtSeconds }: Certification): number {
  return expiresAtSeconds ?? Number.POSITIVE_INFINITY;
}
