import type { AddedSignature, RawCertificate } from './certificate-packets.ts';
import { parseHeader } from './openpgp-packets.ts';
import { readSignatureFields } from './signature-packets.ts';
import {
  type Claim,
  isTrueClaim,
  rememberClaim,
  signedUser,
  type VerifiedSignatures,
} from './signature-verification.ts';

/** True if `certifier` made this certification of `subject`; then `verified` remembers it. For what a card or an agent made. */
export function isMadeCertification(
  certifier: RawCertificate,
  subject: RawCertificate,
  added: AddedSignature,
  verified: VerifiedSignatures,
): boolean {
  const claim = claimOf(certifier, subject, added);
  return claim !== null && isTrueClaim(claim, verified);
}

/** Makes `verified` remember a certification that the caller made himself a moment ago, so that nobody need verify it. */
export function rememberCertification(
  certifier: RawCertificate,
  subject: RawCertificate,
  added: AddedSignature,
  verified: VerifiedSignatures,
): void {
  const claim = claimOf(certifier, subject, added);
  if (claim !== null) rememberClaim(claim, verified);
}

function claimOf(
  { primary: maker }: RawCertificate,
  subject: RawCertificate,
  { userId, signature }: AddedSignature,
): Claim | null {
  const user = subject.users.find((one) => one.userId === userId);
  const header = parseHeader(signature);
  if (user === undefined || header === null) return null;
  const fields = readSignatureFields(signature, header.headerLength);
  return { maker, signature: { octets: signature, fields }, signed: signedUser(subject.primary, user) };
}
