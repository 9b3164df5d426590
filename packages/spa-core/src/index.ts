export {
  addressBits,
  type IpAddress,
  type IpNetwork,
  ipFamily,
  networkContains,
  parseIpAddress,
  parseIpNetwork,
  readIpAddress,
} from './address.ts';
export { decodeBase64, encodeBase64 } from './base64.ts';
export type { Brand } from './brand.ts';
export { type FaultOptions, faultOf } from './certificate-faults.ts';
export {
  type AddedSignature,
  armorCertificates,
  mergeCertificates,
  onlyCertifiedBy,
  type RawCertificate,
  type RawKey,
  type RawPacket,
  type RawSignature,
  type RawSubkey,
  type RawUser,
  readRawCertificates,
  withSignatures,
} from './certificate-packets.ts';
export {
  type Certification,
  type CertificationState,
  certificationsOf,
  certifiersOf,
} from './certification.ts';
export {
  type CertificationTerms,
  type CertifyingKey,
  certify,
  REVOCATION_REASONS,
  type RevocationTerms,
  revokeCertificate,
  revokeCertification,
} from './certify.ts';
export { certifyingKey, hasPrimaryKey, readCertifyingKey, signingKey } from './certifying-key.ts';
export { CIPHER_MODES, type CipherMode, parseCipherMode } from './cipher-mode.ts';
export { type DocumentSignature, signDetached, verifyDetached } from './detached-signature.ts';
export { DIGEST_NAMES, type DigestName, digestLength, parseDigestName } from './digest.ts';
export { SpaError, type SpaErrorCode } from './errors.ts';
export { type Beginning, type PacketKind, packetBeginnings } from './framing.ts';
export { formatGeneratedKeys, type GeneratedKey, generateKeys, type KeyLengths } from './generate-keys.ts';
export { provesItsKeeper } from './keeper-proof.ts';
export { HmacKey, SymmetricKey } from './keys.ts';
export * from './limits.ts';
export { isMadeCertification, rememberCertification } from './made-certification.ts';
export { type KeyPlan, type MadeKey, makeKey } from './make-key.ts';
export {
  decodeMessage,
  encodeMessage,
  isUsername,
  type Message,
  messageTypeOf,
  randomDigits,
} from './message.ts';
export { MESSAGE_TYPES, type MessageType, type MessageTypeRow, messageTypeFor } from './message-type.ts';
export type { HashName } from './native-keys.ts';
export {
  type OpenPgpOpeningKeys,
  type OpenPgpSealingKeys,
  type PlannedSealing,
  type SigningKeys,
  sealingSizes,
} from './openpgp.ts';
export {
  Certificate,
  type Fingerprint,
  type Keeper,
  KeptKey,
  KeyError,
  parseFingerprint,
  readCertificates,
  readSecretKeys,
  SecretKey,
  unlockSecretKey,
} from './openpgp-keys.ts';
export { writeMpi, writePacket } from './openpgp-packets.ts';
export type { SealingFiles } from './openpgp-seal.ts';
export {
  beginOpening,
  type DecryptedPacket,
  type DecryptionKeys,
  explainFault,
  explainKind,
  explainSigners,
  identify,
  inspectPacket,
  type MessageId,
  type OpenedPacket,
  type Opening,
  type OpeningKeys,
  openPacket,
  type Packet,
  type PacketFault,
  parsePacket,
  type Sealing,
  sealPacket,
} from './packet.ts';
export { expectedLength, type KeySize, type SealingSizes } from './packet-size.ts';
export {
  type Challenge,
  formatChallenge,
  type ProofVerdict,
  parseChallenge,
  verifyProof,
} from './proof.ts';
export {
  formatProtoPort,
  formatProtoPorts,
  type ProtoPort,
  parseProtoPort,
  parseProtoPorts,
} from './proto-port.ts';
export {
  type AccessRequest,
  type CommandRequest,
  formatNatTarget,
  formatRequest,
  isCommand,
  isHost,
  type NatAccessRequest,
  type NatTarget,
  natTargetOf,
  parseNatTarget,
  type Request,
  type RequestKind,
} from './request.ts';
export { readRevocation } from './revocation.ts';
export { type Access, accessOf, isEnrolled } from './roster/access.ts';
export {
  BASTION_ROSTER_MAX_LENGTH,
  type BastionRoster,
  BastionRosterError,
  bastionRosterOf,
  type EnrolledKey,
  type EnrolledOperator,
  formatBastionRoster,
  parseBastionRoster,
} from './roster/bastion-roster.ts';
export { certifiedUserId } from './roster/certified-user-id.ts';
export type {
  CertificationStanding,
  KeyFault,
  KeyState,
  MadeCertification,
  Plan,
  UnwantedCertification,
} from './roster/plan.ts';
export {
  auditRoster,
  isCleanPlan,
  isSoundPlan,
  KEY_USES,
  type PlanOptions,
  planRoster,
} from './roster/plan-roster.ts';
export type {
  AccessRule,
  Authority,
  Bastion,
  Capability,
  CertificationPolicy,
  Operator,
  Party,
  PartyKey,
  RetiringKey,
  Revocation,
  Roster,
  SecretReference,
  Topology,
} from './roster/roster.ts';
export { type KeyHolder, keysOf, type WantedCertification, wantedCertifications } from './roster/wanted.ts';
export { planSealing, type SealingPlan } from './sealing-plan.ts';
export { ANONYMOUS_RECIPIENT, parseSessionKey, type SessionKey } from './session-key.ts';
export type { SignatureFields } from './signature-packets.ts';
export type { VerifiedSignatures } from './signature-verification.ts';
export { decryptsWith } from './symmetric.ts';
export { type KeyUse, type Validity, validityOf } from './validity.ts';
