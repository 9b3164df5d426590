export {
  type ComposeHost,
  type Composition,
  compose,
  type Destination,
  defaultUsername,
} from './compose.ts';
export { type DoorState, waitForDoor } from './door.ts';
export { loadPacketKeys, type PacketKeys, type SecretSource } from './packet-keys.ts';
export {
  parseRcFile,
  type RcFile,
  type RcStanza,
  readRcFile,
  stanzaSettings,
} from './rc-file.ts';
export { Secret } from './secret.ts';
export { resolveServer, SendError, type Server, sendPacket } from './send.ts';
export type { KeySource, Settings } from './settings.ts';
