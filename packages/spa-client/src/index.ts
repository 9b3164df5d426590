export {
  type ComposeHost,
  type Composition,
  compose,
  type Destination,
  defaultUsername,
  destinationOf,
  type ResolvedSettings,
} from './compose.ts';
export {
  type ClosedDoor,
  type DoorEvent,
  type Host,
  type OpenDoor,
  openDoor,
  type Patience,
} from './door.ts';
export type { Doorway } from './doorway.ts';
export { type OwnAddressOptions, ownAddress, type Resolvers, resolversOf } from './own-address.ts';
export { loadPacketKeys, type PacketKeys, type SecretSource } from './packet-keys.ts';
export {
  parseRcFile,
  type RcFile,
  type RcStanza,
  readRcFile,
  stanzaSettings,
} from './rc-file.ts';
export { type BastionBundle, type BastionBundleOptions, bastionBundle } from './roster/bastion-bundle.ts';
export type { BundleFile, BundleSource, LeftOut } from './roster/bundle.ts';
export {
  type CertifyingKeys,
  type FoundKey,
  type KeyPlaces,
  openCertifyingKeys,
} from './roster/certifying-keys.ts';
export { hmacMasters } from './roster/hmac-masters.ts';
export { type OperatorBundle, type OperatorBundleOptions, operatorBundle } from './roster/operator-bundle.ts';
export { planFolder } from './roster/plan-folder.ts';
export type { RosterSignatureState } from './roster/plan-json.ts';
export { parseRoster } from './roster/roster-file.ts';
export { type RosterFolder, readRosterFolder, rosterSignatureState } from './roster/roster-folder.ts';
export { withRosterLock } from './roster/roster-lock.ts';
export { ROSTER_SCHEMA, type RosterSchema } from './roster/roster-schema.ts';
export { type SignedBastionRoster, verifySignatures } from './roster/roster-signatures.ts';
export {
  type LackingKey,
  type SigningOptions,
  type SigningProgress,
  type SigningResult,
  signRoster,
} from './roster/sign-roster.ts';
export { openVerifiedMemory, type VerifiedMemory } from './roster/verified-memory.ts';
export { Secret } from './secret.ts';
export { resolveServer, resolveServers, SendError, type Server, sendPacket } from './send.ts';
export type { KeySource, Settings } from './settings.ts';
