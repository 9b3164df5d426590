import type { RawCertificate } from '../certificate-packets.ts';
import { createdSeconds, ownersWord, selfSignaturesOf } from '../self-signatures.ts';
import type { VerifiedSignatures } from '../signature-verification.ts';
import type { Party } from './roster.ts';

/**
 * Which user ID of a party's certificate is certified: the one with the e-mail address that the roster has, or else the one that its
 * owner calls the first. Only one: what else somebody writes into his certificate is nobody's business here. Null if there is none
 * that its owner has signed, and not taken back, by `nowSeconds`.
 */
export function certifiedUserId(
  party: Party,
  raw: RawCertificate,
  nowSeconds: number,
  verified: VerifiedSignatures | null,
): string | null {
  const known = KNOWN.get(raw);
  if (known?.party === party && known.nowSeconds === nowSeconds) return known.userId;
  const userId = look(party, raw, nowSeconds, verified);
  KNOWN.set(raw, { party, nowSeconds, userId });
  return userId;
}

/** It is asked for by everybody who certifies. */
const KNOWN = new WeakMap<
  RawCertificate,
  { readonly party: Party; readonly nowSeconds: number; readonly userId: string | null }
>();

function look(
  party: Party,
  raw: RawCertificate,
  nowSeconds: number,
  verified: VerifiedSignatures | null,
): string | null {
  const email = party.kind === 'operator' ? (party.email?.toLowerCase() ?? null) : null;
  const own = selfSignaturesOf(raw, verified).users.flatMap((user) => {
    const word = ownersWord(user, nowSeconds);
    const { userId } = user.user;
    return word === null || userId === null ? [] : [{ userId, word, isNamed: isOf(userId, email) }];
  });
  const [first] = own.toSorted(
    (a, b) =>
      Number(b.isNamed) - Number(a.isNamed) ||
      Number(b.word.isPrimaryUserId) - Number(a.word.isPrimaryUserId) ||
      createdSeconds(b.word) - createdSeconds(a.word),
  );
  return first?.userId ?? null;
}

function isOf(userId: string, email: string | null): boolean {
  const text = userId.toLowerCase();
  return email !== null && (text === email || text.endsWith(`<${email}>`));
}
