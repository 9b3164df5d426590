import type { RawCertificate, RawKey } from './certificate-packets.ts';
import {
  createdSeconds,
  latestOf,
  ownersWord,
  type SelfSignatures,
  selfSignaturesOf,
} from './self-signatures.ts';
import type { SignatureFields } from './signature-packets.ts';
import type { VerifiedSignatures } from './signature-verification.ts';
import { ALGORITHM, rsaBits } from './verifying-keys.ts';

/** What a certificate's keys are wanted for. */
export type KeyUse = 'certify' | 'encrypt' | 'sign';

/** Whether a certificate can be used, and until when. Times in seconds since 1970; `expiresAtSeconds` null: never. */
export type Validity =
  | { readonly state: 'valid'; readonly expiresAtSeconds: number | null }
  | { readonly state: 'expired'; readonly expiresAtSeconds: number }
  | { readonly state: 'not-yet-valid'; readonly createdAtSeconds: number }
  | { readonly state: 'revoked' }
  | { readonly state: 'unusable'; readonly reason: string };

/**
 * Whether `raw` can be used at `nowSeconds`: its primary key to certify, or the (sub)key that a packet would be encrypted to or
 * signed with, which is the newest. `reason` is one line. Who vouches for it is another question: see `certifiersOf`.
 */
export function validityOf(
  raw: RawCertificate,
  use: KeyUse,
  nowSeconds: number,
  verified: VerifiedSignatures | null = null,
): Validity {
  const known = VALIDITIES[use].get(raw);
  if (known?.nowSeconds === nowSeconds) return known.validity;
  const validity = look(raw, use, nowSeconds, verified);
  VALIDITIES[use].set(raw, { nowSeconds, validity });
  return validity;
}

/** The (sub)keys of `raw` that could sign at some time, the newest first, if it is not revoked. */
export function signingKeysOf(
  raw: RawCertificate,
  nowSeconds: number,
  verified: VerifiedSignatures | null = null,
): readonly UsablePart[] {
  const own = selfSignaturesOf(raw, verified);
  return isRevoked(own.revocations, nowSeconds) ? [] : partsOf(raw, own, 'sign', nowSeconds);
}

/** A (sub)key that may be used for something, as far as its times allow. */
export interface UsablePart {
  readonly key: RawKey;
  /** Seconds since 1970; null: never. A subkey ends with its primary key at the latest. */
  readonly expiresAtSeconds: number | null;
}

/** One certificate is asked for by everybody whom it certified. */
const VALIDITIES: Readonly<
  Record<KeyUse, WeakMap<RawCertificate, { readonly nowSeconds: number; readonly validity: Validity }>>
> = { certify: new WeakMap(), encrypt: new WeakMap(), sign: new WeakMap() };

const SECOND = 1;
const NO_USER_ID = 'it has no user ID that its owner signed';

function look(
  raw: RawCertificate,
  use: KeyUse,
  nowSeconds: number,
  verified: VerifiedSignatures | null,
): Validity {
  const own = selfSignaturesOf(raw, verified);
  if (isRevoked(own.revocations, nowSeconds)) return { state: 'revoked' };
  const weakness = weaknessOf(raw.primary);
  if (weakness !== null) return { state: 'unusable', reason: weakness };
  if (primaryWord(raw, own, nowSeconds) === null) return { state: 'unusable', reason: NO_USER_ID };
  const parts = partsOf(raw, own, use, nowSeconds);
  const isNow = ({ key, expiresAtSeconds }: UsablePart): boolean =>
    key.createdAtSeconds <= nowSeconds && nowSeconds < (expiresAtSeconds ?? Number.POSITIVE_INFINITY);
  const valid = parts.find(isNow);
  if (valid !== undefined) return { state: 'valid', expiresAtSeconds: valid.expiresAtSeconds };
  const [newest] = parts;
  if (newest === undefined) return { state: 'unusable', reason: UNUSABLE[use] };
  const { createdAtSeconds } = newest.key;
  if (createdAtSeconds > nowSeconds) return { state: 'not-yet-valid', createdAtSeconds };
  return { state: 'expired', expiresAtSeconds: newest.expiresAtSeconds ?? nowSeconds };
}

const UNUSABLE: Readonly<Record<KeyUse, string>> = {
  certify: 'its key may not certify',
  encrypt: 'it has no valid key to encrypt to',
  sign: 'it has no valid key to sign with',
};

/** Key flags (RFC 9580 section 5.2.3.29). */
const FLAGS: Readonly<Record<KeyUse, number>> = { certify: 0x01, sign: 0x02, encrypt: 0x0c };

/** Algorithms that can be used so, and that nobody calls weak. */
const ALGORITHMS: Readonly<Record<KeyUse, readonly number[]>> = {
  certify: [1, 3, 19, 22, 27, 28],
  sign: [1, 3, 19, 22, 27, 28],
  encrypt: [1, 2, 18, 25, 26],
};

const RSA_MIN_BITS = 2047;

/** Why nobody should rely on a key of that kind and size; null: nothing. */
export function weaknessOf(key: RawKey): string | null {
  const bits = rsaBits(key);
  if (bits !== null && bits < RSA_MIN_BITS) return `its RSA key of ${bits} bits is too short`;
  return key.algorithm === ALGORITHM.dsa ? 'its key is DSA, which is too weak' : null;
}

/** The parts for `use` whose times are not looked at, the newest first. */
function partsOf(
  raw: RawCertificate,
  own: SelfSignatures,
  use: KeyUse,
  nowSeconds: number,
): readonly UsablePart[] {
  const word = primaryWord(raw, own, nowSeconds);
  if (word === null) return [];
  const primary = { key: raw.primary, expiresAtSeconds: endOf(raw.primary, word) };
  const isForIt = (key: RawKey, flags: number | null): boolean =>
    ALGORITHMS[use].includes(key.algorithm) && ((flags ?? 0) & FLAGS[use]) !== 0 && weaknessOf(key) === null;
  // Of a primary key that does not say what it is for, it goes without saying.
  const ownParts = isForIt(raw.primary, word.keyFlags ?? FLAGS.certify) ? [primary] : [];
  if (use === 'certify') return ownParts;
  const subkeys = own.subkeys.flatMap(({ subkey: { key }, bindings, revocations }): readonly UsablePart[] => {
    const binding = wordAt(bindings, key, nowSeconds);
    if (binding === null || isRevoked(revocations, nowSeconds) || !isForIt(key, binding.keyFlags)) return [];
    if (use === 'sign' && !binding.isSignedBack) return [];
    return [{ key, expiresAtSeconds: earliest(primary.expiresAtSeconds, endOf(key, binding)) }];
  });
  return [...subkeys.toSorted((a, b) => b.key.createdAtSeconds - a.key.createdAtSeconds), ...ownParts];
}

/** What the owner says of his primary key, with the user ID that he calls the first; null if he says nothing. */
export function primaryWord(
  { primary }: RawCertificate,
  { users }: SelfSignatures,
  nowSeconds: number,
): SignatureFields | null {
  // Before a key was made its owner's first word counts, so that "not yet" can be told from "not at all".
  const at = Math.max(nowSeconds, primary.createdAtSeconds + SECOND);
  const words = users
    .filter(({ user }) => user.userId !== null)
    .flatMap((user) => ownersWord(user, at) ?? []);
  const [first] = words.toSorted(
    (a, b) => Number(b.isPrimaryUserId) - Number(a.isPrimaryUserId) || createdSeconds(b) - createdSeconds(a),
  );
  return first ?? null;
}

function wordAt<One extends SignatureFields>(
  signatures: readonly One[],
  key: RawKey,
  nowSeconds: number,
): One | null {
  return latestOf(signatures, Math.max(nowSeconds, key.createdAtSeconds + SECOND));
}

function endOf(key: RawKey, { keyLifetimeSeconds }: SignatureFields): number | null {
  return keyLifetimeSeconds === null ? null : key.createdAtSeconds + keyLifetimeSeconds;
}

function earliest(a: number | null, b: number | null): number | null {
  if (a === null) return b;
  return b === null ? a : Math.min(a, b);
}

/** Codes that do not say that the key may be in other hands (RFC 9580 section 5.2.3.31): superseded, retired. */
const SOFT_REASONS: readonly number[] = [1, 3];

/** True if it was taken back by then, or at any time for a reason that makes all before it doubtful. */
export function isRevoked(revocations: readonly SignatureFields[], nowSeconds: number): boolean {
  return revocations.some((one) => {
    const isSoft = SOFT_REASONS.includes(one.revocationReason?.code ?? 0);
    return !isSoft || createdSeconds(one) <= nowSeconds;
  });
}
