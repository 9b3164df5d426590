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
export { Secret } from './secret.ts';
export { resolveServer, resolveServers, SendError, type Server, sendPacket } from './send.ts';
export type { KeySource, Settings } from './settings.ts';
