import { isDeepStrictEqual } from 'node:util';
import type { ServerConfig } from './server-config.ts';

/** The keywords whose values differ, and cannot change while the daemon runs. */
export function needsRestart(before: ServerConfig, after: ServerConfig): readonly string[] {
  const keywords: Readonly<Record<string, (config: ServerConfig) => unknown>> = {
    UDPSERV_PORT: ({ reception: { datagrams } }) => datagrams.kind === 'socket' && datagrams.port,
    PCAP_INTF: ({ reception: { datagrams } }) => datagrams.kind === 'capture' && datagrams.interface.value,
    EXIT_AT_INTF_DOWN: ({ reception: { datagrams } }) => datagrams.kind === 'capture' && datagrams.whenDown,
    PCAP_FILTER: ({ reception: { datagrams } }) => datagrams.kind === 'capture' && datagrams.filter.value,
    LISTEN_ADDRESS: (config) => config.reception.listenAddress,
    TCPSERV_PORT: (config) => config.reception.tcpPort,
    ENABLE_SPA_OVER_HTTP: (config) => config.reception.http,
    FWKNOP_RUN_DIR: (config) => config.runFolder,
    REPLAY_STORE: (config) => config.replayStore,
    'the firewall': (config) => config.firewall,
  };
  return Object.entries(keywords)
    .filter(([, read]) => !isDeepStrictEqual(read(before), read(after)))
    .map(([keyword]) => keyword);
}
