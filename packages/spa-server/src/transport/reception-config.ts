import type { IpAddress, ProtoPort } from 'spa-core';
import type { Stated } from '../config/keywords.ts';
import type { WhenDown } from './capture.ts';
import type { HttpRules } from './http-request.ts';

/** How packets come in. */
export interface ReceptionConfig {
  readonly datagrams: SocketConfig | CaptureConfig | FileConfig;
  /** Where sockets listen; null: at all addresses of the host. */
  readonly listenAddress: IpAddress | null;
  /** Null: nobody listens on TCP. */
  readonly tcpPort: number | null;
  /** Null: packets are not taken out of HTTP requests. */
  readonly http: HttpRules | null;
}

/** A UDP socket. */
export interface SocketConfig {
  readonly kind: 'socket';
  readonly port: number;
}

/** No socket: packets are read off the wire, whatever the firewall does with them. */
export interface CaptureConfig {
  readonly kind: 'capture';
  readonly interface: Stated<string>;
  /** pcap-filter(7). */
  readonly filter: Stated<string>;
  readonly promiscuous: boolean;
  readonly anyDirection: boolean;
  readonly whenDown: WhenDown;
}

/** A capture that was made before, read to its end. */
export interface FileConfig {
  readonly kind: 'file';
  readonly path: Stated<string>;
  readonly filter: Stated<string>;
}

/** The ports that the firewall has to let through for it. */
export function spaPorts({ datagrams, tcpPort }: ReceptionConfig): readonly ProtoPort[] {
  return [
    ...(datagrams.kind === 'socket' ? [{ protocol: 'udp', port: datagrams.port } as const] : []),
    ...(tcpPort === null ? [] : [{ protocol: 'tcp', port: tcpPort } as const]),
  ];
}

/** Where packets come in, in a few words: `UDP port 62201`. */
export function describeReception({ datagrams, tcpPort }: ReceptionConfig): string {
  const over = DESCRIPTIONS[datagrams.kind](datagrams as never);
  return tcpPort === null ? over : `${over}, TCP port ${tcpPort}`;
}

const DESCRIPTIONS = {
  socket: ({ port }: SocketConfig) => `UDP port ${port}`,
  capture: (config: CaptureConfig) => `captured on ${config.interface.value}: ${config.filter.value}`,
  file: ({ path }: FileConfig) => `captured in ${path.value}`,
} as const;
