export {
  type IpAddress,
  type IpNetwork,
  ipFamily,
  networkContains,
  parseIpAddress,
  parseIpNetwork,
} from './address.ts';
export { decodeBase64, encodeBase64 } from './base64.ts';
export type { Brand } from './brand.ts';
export { SpaError, type SpaErrorCode } from './errors.ts';
export * from './limits.ts';
export {
  formatProtoPort,
  formatProtoPorts,
  type ProtoPort,
  parseProtoPort,
  parseProtoPorts,
} from './proto-port.ts';
