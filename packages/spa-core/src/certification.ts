import type { SignaturePacket, User } from 'openpgp';
import type { Certificate } from './openpgp-keys.ts';
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
  readonly certifier: Certificate;
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
 * The valid certifications of `certificate` by `candidates`: who vouches for it. One entry for each user ID and maker, the
 * longest-lasting of several.
 *
 *     const vouchers = await certifiersOf(operator, [bastion, authority], nowSeconds);
 *     const isTrusted = vouchers.some(({ certifier }) => certifier.fingerprint === authority.fingerprint);
 *
 * Candidates are certificates whose fingerprints the caller trusts: a certification proves no more than that its maker made
 * it. Whether `certificate` itself is expired or revoked is another question: see {@link validityOf}.
 */
export async function certifiersOf(
  certificate: Certificate,
  candidates: readonly Certificate[],
  nowSeconds: number,
): Promise<readonly Certification[]> {
  const all = await certificationsOf(certificate, candidates, nowSeconds);
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
 * All certifications of `certificate` that `candidates` made, also those that do not count, in the certificate's order.
 *
 * A signature that does not verify is nobody's, and is left out; so is one by a subkey, and one that is dated after
 * `nowSeconds`. Self-signatures are no certifications. Those by others than `candidates` cost nothing.
 */
export async function certificationsOf(
  certificate: Certificate,
  candidates: readonly Certificate[],
  nowSeconds: number,
): Promise<readonly Certification[]> {
  const others = candidates.filter((candidate) => candidate.fingerprint !== certificate.fingerprint);
  const makers = await Promise.all(
    others.map(async (certifier) => {
      const validity = await validityOf(certifier, 'certify', nowSeconds);
      return { certifier, mayCertify: validity.state === 'valid' };
    }),
  );
  const users = certificate.openpgpKey().users;
  const found = await Promise.all(
    users.flatMap((user) => makers.map((maker) => certificationsBy(maker, user, nowSeconds))),
  );
  return found.flat();
}

interface Maker {
  readonly certifier: Certificate;
  readonly mayCertify: boolean;
}

async function certificationsBy(
  { certifier, mayCertify }: Maker,
  user: User,
  nowSeconds: number,
): Promise<readonly Certification[]> {
  const { userID } = user;
  if (userID === null) return [];
  const { enums } = await import('openpgp');
  const certifications = await madeBy(
    certifier,
    user,
    user.otherCertifications,
    enums.signature.certGeneric,
    nowSeconds,
  );
  if (certifications.length === 0) return [];
  const revocations = await madeBy(
    certifier,
    user,
    user.revocationSignatures,
    enums.signature.certRevocation,
    nowSeconds,
  );
  const revokedAt = Math.max(Number.NEGATIVE_INFINITY, ...revocations.map(createdSeconds));
  const isOwners = await isOwnersUserId(user, nowSeconds);
  const weak: ReadonlySet<number | null> = new Set([
    enums.hash.md5,
    enums.hash.sha1,
    enums.hash.ripemd,
  ] as number[]);
  const stateOf = (signature: SignaturePacket): CertificationState => {
    if (createdSeconds(signature) <= revokedAt) return 'revoked';
    if (nowSeconds >= (expirySeconds(signature) ?? Number.POSITIVE_INFINITY)) return 'expired';
    if (weak.has(signature.hashAlgorithm)) return 'weak';
    if (signature.signatureType === enums.signature.certPersona) return 'unchecked';
    if (!mayCertify) return 'certifier';
    return isOwners ? 'valid' : 'user-id';
  };
  return certifications.map((signature) => ({
    certifier,
    userId: userID.userID,
    state: stateOf(signature),
    isExportable: signature.exportable !== false,
    madeAtSeconds: createdSeconds(signature),
    expiresAtSeconds: expirySeconds(signature),
  }));
}

/** Those of `signatures` over the user ID that `certifier`'s primary key really made, and not in the future. */
async function madeBy(
  certifier: Certificate,
  user: User,
  signatures: readonly SignaturePacket[],
  type: Parameters<SignaturePacket['verify']>[1],
  nowSeconds: number,
): Promise<readonly SignaturePacket[]> {
  const { keyPacket } = certifier.openpgpKey();
  const signed = { userID: user.userID, key: user.mainKey.keyPacket };
  const openpgp = await import('openpgp');
  // What is weak or expired is told from what is false by the caller. A packet's own functions want all settings.
  const config = { ...openpgp.config, rejectHashAlgorithms: new Set<never>() };
  const verified = await Promise.all(
    signatures.map(async (signature) => {
      if (signature.issuerKeyID.toHex().toUpperCase() !== certifier.keyIds[0]) return false;
      if (signature.created === null || createdSeconds(signature) > nowSeconds) return false;
      try {
        await signature.verify(keyPacket, type, signed, signature.created, false, config);
        return true;
      } catch {
        return false;
      }
    }),
  );
  return signatures.filter((_, index) => verified[index]);
}

/** True if the owner has signed the user ID, and not revoked it. */
async function isOwnersUserId(user: User, nowSeconds: number): Promise<boolean> {
  try {
    return await user.verify(dateOf(nowSeconds));
  } catch {
    return false;
  }
}

function createdSeconds({ created }: SignaturePacket): number {
  return Math.floor((created?.getTime() ?? 0) / 1000);
}

function expirySeconds(signature: SignaturePacket): number | null {
  const expiry = signature.getExpirationTime();
  return typeof expiry === 'number' ? null : Math.floor(expiry.getTime() / 1000);
}

function endOf({ expiresAtSeconds }: Certification): number {
  return expiresAtSeconds ?? Number.POSITIVE_INFINITY;
}

/** The library takes dates; the time itself still comes from the caller. */
function dateOf(seconds: number) {
  // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a number is converted.
  return new Date(seconds * 1000);
}
