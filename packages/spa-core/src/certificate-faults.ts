import type { RawCertificate } from './certificate-packets.ts';
import type { KeyFault } from './roster/plan.ts';
import {
  latestOf,
  ownersWord,
  type SelfSignatures,
  type SignedSubkey,
  selfSignaturesOf,
} from './self-signatures.ts';
import { readSignatureFields, type SignatureFields } from './signature-packets.ts';
import { isWeakDigest, type VerifiedSignatures } from './signature-verification.ts';
import { isRevoked, type KeyUse, primaryWord, validityOf, weaknessOf } from './validity.ts';
import { ALGORITHM } from './verifying-keys.ts';

/** What a certificate is looked at for. */
export interface FaultOptions {
  /** What its keys must be good for; absent: to certify. */
  readonly uses?: readonly KeyUse[];
  /** Absent: its own signatures are all verified. */
  readonly verified?: VerifiedSignatures | null;
}

/**
 * Why `raw` is not to be used at `nowSeconds`, in one line; null if nothing stands in the way.
 *
 * Stricter than {@link validityOf}, which says what would work: here a key is refused for what is weak in any part that counts.
 * `unusable`: gpg or fwknop cannot use it; `stripped`: what its owner would have signed is not there, or not by him.
 */
export function faultOf(
  raw: RawCertificate,
  nowSeconds: number,
  { uses = ['certify'], verified = null }: FaultOptions = {},
): KeyFault | null {
  const foreign = foreignTo(raw);
  if (foreign !== null) return foreign;
  const own = selfSignaturesOf(raw, verified);
  for (const check of CHECKS) {
    const fault = check({ raw, own, nowSeconds });
    if (fault !== null) return fault;
  }
  for (const use of uses) {
    const fault = faultFor(use, raw, own, nowSeconds, verified);
    if (fault !== null) return fault;
  }
  return null;
}

interface Look {
  readonly raw: RawCertificate;
  readonly own: SelfSignatures;
  readonly nowSeconds: number;
}

/** The first that finds something has the word. */
const CHECKS: readonly ((look: Look) => KeyFault | null)[] = [
  revocation,
  weakKey,
  noUserId,
  weakUserIds,
  weakSubkeys,
];

/** What gpg 2.2 makes and takes. */
const ALGORITHMS: readonly number[] = [
  ALGORITHM.rsa,
  ALGORITHM.rsaSignOnly,
  ALGORITHM.dsa,
  ALGORITHM.ecdsa,
  ALGORITHM.eddsaLegacy,
];

function foreignTo({ primary: { version, algorithm } }: RawCertificate): KeyFault | null {
  if (version !== 4) {
    return { state: 'unusable', reason: `it is of version ${version}, which gpg and fwknop cannot use` };
  }
  return ALGORITHMS.includes(algorithm)
    ? null
    : { state: 'unusable', reason: `its algorithm has number ${algorithm}, which gpg cannot use` };
}

function revocation({ own: { revocations }, nowSeconds }: Look): KeyFault | null {
  const effective = revocations.filter((one) => isRevoked([one], nowSeconds));
  const [first] = effective;
  if (first === undefined) return null;
  const { code = 0, text = '' } = first.revocationReason ?? {};
  const said = [REASONS[code], oneLine(text)].filter((part) => part !== undefined && part !== '').join(': ');
  const at = first.createdAtSeconds === null ? '' : ` on ${day(first.createdAtSeconds)}`;
  return { state: 'revoked', reason: `its owner revoked it${at}${said === '' ? '' : ` (${said})`}` };
}

/** RFC 9580 section 5.2.3.31. */
const REASONS: Readonly<Record<number, string>> = { 1: 'superseded', 2: 'compromised', 3: 'retired' };

function weakKey({ raw }: Look): KeyFault | null {
  const reason = weaknessOf(raw.primary);
  return reason === null ? null : { state: 'weak', reason };
}

function noUserId({ raw, own, nowSeconds }: Look): KeyFault | null {
  const isHere = primaryWord(raw, own, nowSeconds) !== null;
  if (isHere) return null;
  const at = Math.max(nowSeconds, raw.primary.createdAtSeconds + 1);
  if (own.users.some(({ certifications }) => latestOf(certifications, at) !== null)) {
    return { state: 'revoked', reason: 'its owner revoked all its user IDs' };
  }
  const broken = raw.users
    .flatMap(({ signatures }) => signatures)
    .find(({ fields }) => fields?.issuerKeyId === raw.primary.keyId && isWeakDigest(fields.hash));
  if (broken?.fields) {
    return {
      state: 'weak',
      reason: `its signature on its user ID is made with ${DIGESTS[broken.fields.hash]}`,
    };
  }
  const reason = raw.users.length === 0 ? 'it has no user ID' : 'no user ID of it is signed by its own key';
  return { state: 'stripped', reason };
}

const DIGESTS: Readonly<Record<number, string>> = { 1: 'MD5', 2: 'SHA-1', 3: 'RIPEMD-160' };

/** Only the last word of an owner counts: that an old one was weak does not matter. */
function weakUserIds({ own: { users }, nowSeconds }: Look): KeyFault | null {
  for (const signed of users) {
    const word = ownersWord(signed, nowSeconds);
    if (word === null || !isWeakDigest(word.hash)) continue;
    const what = signed.user.userId === null ? 'a picture' : `the user ID ${oneLine(signed.user.userId)}`;
    return { state: 'weak', reason: `its signature on ${what} is made with ${DIGESTS[word.hash]}` };
  }
  return null;
}

function weakSubkeys({ own: { subkeys }, nowSeconds }: Look): KeyFault | null {
  for (const signed of subkeys) {
    const binding = currentBinding(signed, nowSeconds);
    const embedded = binding?.embedded ? readSignatureFields(binding.embedded, 0) : null;
    const weak = [binding, embedded].find((one) => one !== null && isWeakDigest(one.hash));
    if (!weak) continue;
    const { keyId } = signed.subkey.key;
    return {
      state: 'weak',
      reason: `its signature on the subkey ${keyId} is made with ${DIGESTS[weak.hash]}`,
    };
  }
  return null;
}

/** Of a subkey that is still in use; otherwise null. */
function currentBinding(
  { subkey: { key }, bindings, revocations }: SignedSubkey,
  nowSeconds: number,
): SignatureFields | null {
  const binding = latestOf(bindings, nowSeconds);
  if (binding === null || isRevoked(revocations, nowSeconds)) return null;
  const { keyLifetimeSeconds } = binding;
  const isOver = keyLifetimeSeconds !== null && nowSeconds >= key.createdAtSeconds + keyLifetimeSeconds;
  return isOver ? null : binding;
}

function faultFor(
  use: KeyUse,
  raw: RawCertificate,
  own: SelfSignatures,
  nowSeconds: number,
  verified: VerifiedSignatures | null,
): KeyFault | null {
  const validity = validityOf(raw, use, nowSeconds, verified);
  switch (validity.state) {
    case 'valid':
      return null;
    case 'expired':
      return { state: 'expired', reason: `it expired on ${day(validity.expiresAtSeconds)}` };
    case 'not-yet-valid':
      return { state: 'unusable', reason: `it was made in the future, on ${day(validity.createdAtSeconds)}` };
    case 'revoked':
      return { state: 'revoked', reason: 'its owner revoked it' };
    case 'unusable':
      return use === 'certify'
        ? { state: 'unusable', reason: 'its primary key may not certify' }
        : faultOfSubkeys(use, own, nowSeconds);
  }
}

const WORDS: Readonly<Record<'encrypt' | 'sign', string>> = { encrypt: 'encrypt to', sign: 'sign with' };

/** Why no subkey will do, as far as one would have done. */
function faultOfSubkeys(use: 'encrypt' | 'sign', { subkeys }: SelfSignatures, nowSeconds: number): KeyFault {
  for (const { subkey, bindings, revocations } of subkeys) {
    const { keyId } = subkey.key;
    const weakness = weaknessOf(subkey.key);
    const binding = latestOf(bindings, nowSeconds);
    if (binding === null) {
      return { state: 'stripped', reason: `its subkey ${keyId} is not signed by its primary key` };
    }
    if (((binding.keyFlags ?? 0) & FLAGS[use]) === 0) continue;
    if (isRevoked(revocations, nowSeconds)) {
      return {
        state: 'revoked',
        reason: `its owner revoked its subkey ${keyId}, and it has no other to ${WORDS[use]}`,
      };
    }
    if (weakness !== null) return { state: 'weak', reason: `of its subkey ${keyId}: ${weakness}` };
    if (use === 'sign' && !binding.isSignedBack) {
      return { state: 'stripped', reason: `its subkey ${keyId} has not signed that it belongs to it` };
    }
    return { state: 'unusable', reason: `its subkey ${keyId} is of an algorithm that cannot be used here` };
  }
  return { state: 'stripped', reason: `it has no key to ${WORDS[use]}` };
}

/** Key flags (RFC 9580 section 5.2.3.29). */
const FLAGS: Readonly<Record<'encrypt' | 'sign', number>> = { sign: 0x02, encrypt: 0x0c };

/** Others' text, for a terminal too. */
function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ').trim();
}

function day(seconds: number): string {
  // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a number is written.
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}
