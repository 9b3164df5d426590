import type { RawCertificate, RawKey, RawSignature, RawSubkey, RawUser } from './certificate-packets.ts';
import { readSignatureFields, type SignatureFields } from './signature-packets.ts';
import {
  isTrueClaim,
  isWeakDigest,
  type Signed,
  signedKey,
  signedSubkey,
  signedUser,
  type VerifiedSignatures,
} from './signature-verification.ts';

/** What a key has signed of its own certificate, verified; what does not verify is left out. */
export interface SelfSignatures {
  /** Revocations of the key. */
  readonly revocations: readonly SignatureFields[];
  readonly users: readonly SignedUser[];
  readonly subkeys: readonly SignedSubkey[];
}

/** A user ID and what its owner says of it. */
export interface SignedUser {
  readonly user: RawUser;
  readonly certifications: readonly SignatureFields[];
  readonly revocations: readonly SignatureFields[];
}

/** A subkey and what its owner says of it. */
export interface SignedSubkey {
  readonly subkey: RawSubkey;
  readonly bindings: readonly Binding[];
  readonly revocations: readonly SignatureFields[];
}

/** That a subkey belongs to a key. */
export interface Binding extends SignatureFields {
  /** True if the subkey has signed it back (RFC 9580 section 5.2.1.9), without which it must not sign. */
  readonly isSignedBack: boolean;
}

/** What `raw` says of itself. It is verified once for as long as `raw` lives. */
export function selfSignaturesOf(raw: RawCertificate, verified: VerifiedSignatures | null): SelfSignatures {
  const known = SELF_SIGNATURES.get(raw);
  if (known !== undefined) return known;
  const found = verifySelfSignatures(raw, verified);
  SELF_SIGNATURES.set(raw, found);
  return found;
}

/** The last of `signatures` that was made by `nowSeconds` and has not expired by then; null if there is none. */
export function latestOf<One extends SignatureFields>(
  signatures: readonly One[],
  nowSeconds: number,
): One | null {
  let latest: One | null = null;
  for (const one of signatures) {
    if (createdSeconds(one) > nowSeconds || nowSeconds >= (one.expiresAtSeconds ?? Number.POSITIVE_INFINITY))
      continue;
    if (latest === null || createdSeconds(one) >= createdSeconds(latest)) latest = one;
  }
  return latest;
}

/**
 * The owner's word that a user ID is his at `nowSeconds`; null if he has not given it, or has taken it back since.
 */
export function ownersWord(
  { certifications, revocations }: SignedUser,
  nowSeconds: number,
): SignatureFields | null {
  const latest = latestOf(certifications, nowSeconds);
  if (latest === null) return null;
  const isRevoked = revocations.some((one) => {
    return createdSeconds(one) <= nowSeconds && createdSeconds(one) >= createdSeconds(latest);
  });
  return isRevoked ? null : latest;
}

/** Seconds since 1970; one that does not say when it was made was verified for nothing. */
export function createdSeconds({ createdAtSeconds }: SignatureFields): number {
  return createdAtSeconds ?? Number.POSITIVE_INFINITY;
}

/** Types of signatures (RFC 9580 section 5.2.1). */
export const TYPE = {
  binary: 0x00,
  text: 0x01,
  certifications: [0x10, 0x11, 0x12, 0x13],
  certification: 0x10,
  persona: 0x11,
  subkeyBinding: 0x18,
  primaryBinding: 0x19,
  keyRevocation: 0x20,
  subkeyRevocation: 0x28,
  certificationRevocation: 0x30,
} as const;

const SELF_SIGNATURES = new WeakMap<RawCertificate, SelfSignatures>();

function verifySelfSignatures(raw: RawCertificate, verified: VerifiedSignatures | null): SelfSignatures {
  const { primary } = raw;
  const ownOf = (
    signatures: readonly RawSignature[],
    types: readonly number[],
    signed: () => Signed,
  ): readonly RawSignature[] => {
    const claimed = signatures.filter(({ fields }) => isClaimed(fields, primary, types));
    if (claimed.length === 0) return [];
    const what = signed();
    return claimed.filter((signature) => isTrueClaim({ maker: primary, signature, signed: what }, verified));
  };
  return {
    revocations: fieldsOf(ownOf(raw.signatures, [TYPE.keyRevocation], () => signedKey(primary))),
    users: raw.users.map((user) => {
      const signed = once(() => signedUser(primary, user));
      return {
        user,
        certifications: fieldsOf(ownOf(user.signatures, TYPE.certifications, signed)),
        revocations: fieldsOf(ownOf(user.signatures, [TYPE.certificationRevocation], signed)),
      };
    }),
    subkeys: raw.subkeys.map((subkey) => {
      const signed = once(() => signedSubkey(primary, subkey.key));
      return {
        subkey,
        bindings: fieldsOf(ownOf(subkey.signatures, [TYPE.subkeyBinding], signed)).map((fields) => ({
          ...fields,
          isSignedBack: isSignedBack(fields, subkey.key, signed(), verified),
        })),
        revocations: fieldsOf(ownOf(subkey.signatures, [TYPE.subkeyRevocation], signed)),
      };
    }),
  };
}

/** That others' signatures are not tried keeps the cost of a certificate to what it says of itself. */
function isClaimed(fields: SignatureFields | null, primary: RawKey, types: readonly number[]): boolean {
  return (
    fields !== null &&
    fields.issuerKeyId === primary.keyId &&
    types.includes(fields.type) &&
    fields.createdAtSeconds !== null &&
    // GnuPG and the library do not believe MD5 and RIPEMD-160 either. Of SHA-1 it is said elsewhere that it is weak.
    (!isWeakDigest(fields.hash) || fields.hash === SHA1)
  );
}

const SHA1 = 2;

function isSignedBack(
  { embedded }: SignatureFields,
  subkey: RawKey,
  signed: Signed,
  verified: VerifiedSignatures | null,
): boolean {
  if (embedded === null) return false;
  const signature = { octets: embedded, fields: readSignatureFields(embedded, 0) };
  return (
    signature.fields?.type === TYPE.primaryBinding &&
    isTrueClaim({ maker: subkey, signature, signed }, verified)
  );
}

function fieldsOf(signatures: readonly RawSignature[]): readonly SignatureFields[] {
  return signatures.flatMap(({ fields }) => (fields === null ? [] : [fields]));
}

function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
