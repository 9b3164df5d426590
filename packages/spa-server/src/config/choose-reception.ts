import type { IpAddress } from 'spa-core';
import { SPA_PORT } from 'spa-core';
import { ConfigError } from 'spa-host';
import type { WhenDown } from '../transport/capture.ts';
import type { HttpRules } from '../transport/http-request.ts';
import type { ReceptionConfig } from '../transport/reception-config.ts';
import type { ReadValue, Stated } from './keywords.ts';
import { quote } from './values.ts';

/** What fwknopd.conf says of how packets come in. */
export interface ReceptionSettings {
  readonly ENABLE_UDP_SERVER?: Stated<boolean>;
  readonly UDPSERV_PORT?: Stated<number>;
  readonly LISTEN_ADDRESS?: Stated<IpAddress>;
  readonly PCAP_INTF?: Stated<string>;
  readonly PCAP_FILTER?: Stated<string>;
  readonly PCAP_FILE?: Stated<string>;
  readonly ENABLE_PCAP_PROMISC?: Stated<boolean>;
  readonly ENABLE_PCAP_ANY_DIRECTION?: Stated<boolean>;
  readonly EXIT_AT_INTF_DOWN?: Stated<boolean>;
  readonly ENABLE_SPA_PACKET_AGING?: Stated<boolean>;
  readonly ENABLE_TCP_SERVER?: Stated<boolean>;
  readonly TCPSERV_PORT?: Stated<number>;
  readonly ENABLE_SPA_OVER_HTTP?: Stated<boolean>;
  readonly ALLOW_ANY_USER_AGENT?: Stated<boolean>;
  readonly ENABLE_X_FORWARDED_FOR?: Stated<boolean>;
}

/**
 * A socket with `ENABLE_UDP_SERVER Y`, and if nothing is said; fwknopd captures then. Otherwise what is on the wire is captured,
 * as there. `file` is fwknopd.conf.
 * @throws ConfigError
 */
export function chooseReception(
  file: string,
  settings: ReceptionSettings,
): { readonly value: ReceptionConfig; readonly warnings: readonly string[] } {
  const { ENABLE_SPA_PACKET_AGING: aging, LISTEN_ADDRESS: listenAddress } = settings;
  const datagrams = chooseDatagrams(file, settings);
  const isFile = datagrams.kind === 'file';
  if (aging?.value === false && !isFile) {
    throw new ConfigError(
      aging.place,
      'replay protection needs the age of packets; remove the line, and raise MAX_SPA_PACKET_AGE if clocks differ',
    );
  }
  const hasTcp = settings.ENABLE_TCP_SERVER?.value === true && !isFile;
  if (listenAddress !== undefined && datagrams.kind === 'capture' && !hasTcp) {
    throw new ConfigError(
      listenAddress.place,
      'packets are captured, so nothing listens; write ENABLE_UDP_SERVER Y for a socket, or remove the line',
    );
  }
  const value: ReceptionConfig = {
    datagrams,
    listenAddress: listenAddress?.value ?? null,
    tcpPort: hasTcp ? (settings.TCPSERV_PORT?.value ?? SPA_PORT) : null,
    http: chooseHttp(settings),
  };
  return { value, warnings: warnOfUnused(settings, value) };
}

/** An interface of Linux. */
export const readInterface: ReadValue<string> = (value, place) => {
  if (/^[\w.:@][\w.:@-]{0,14}$/.test(value)) return value;
  throw new ConfigError(place, `${quote(value)} is no interface; write one that "ip link" shows, or any`);
};

/** A filter; only tcpdump can say whether it is one. */
export const readFilter: ReadValue<string> = (value, place) => {
  if (/^[\x20-\x7e]{1,1000}$/.test(value)) return value;
  throw new ConfigError(place, `${quote(value)} is no filter; write udp port 62201, see pcap-filter(7)`);
};

const DEFAULT_INTERFACE = 'eth0';
const DEFAULT_FILTER = `udp port ${SPA_PORT}`;

function chooseDatagrams(file: string, settings: ReceptionSettings): ReceptionConfig['datagrams'] {
  const { ENABLE_UDP_SERVER, PCAP_INTF, PCAP_FILTER, PCAP_FILE } = settings;
  const filter = PCAP_FILTER ?? { value: DEFAULT_FILTER, place: { file, keyword: 'PCAP_FILTER' } };
  if (PCAP_FILE !== undefined) return { kind: 'file', path: PCAP_FILE, filter };
  const isCapture = PCAP_INTF !== undefined || PCAP_FILTER !== undefined || ENABLE_UDP_SERVER !== undefined;
  if (ENABLE_UDP_SERVER?.value === true || !isCapture) {
    return { kind: 'socket', port: settings.UDPSERV_PORT?.value ?? SPA_PORT };
  }
  return {
    kind: 'capture',
    interface: PCAP_INTF ?? { value: DEFAULT_INTERFACE, place: { file, keyword: 'PCAP_INTF' } },
    filter,
    promiscuous: settings.ENABLE_PCAP_PROMISC?.value ?? false,
    anyDirection: settings.ENABLE_PCAP_ANY_DIRECTION?.value ?? false,
    whenDown: chooseWhenDown(settings),
  };
}

/** fwknopd's default is to exit. Who has not asked for that keeps his bastion. */
function chooseWhenDown({ EXIT_AT_INTF_DOWN }: ReceptionSettings): WhenDown {
  if (EXIT_AT_INTF_DOWN === undefined) return 'wait-later';
  return EXIT_AT_INTF_DOWN.value ? 'exit' : 'wait';
}

function chooseHttp(settings: ReceptionSettings): HttpRules | null {
  if (settings.ENABLE_SPA_OVER_HTTP?.value !== true) return null;
  return {
    anyUserAgent: settings.ALLOW_ANY_USER_AGENT?.value ?? false,
    forwardedFor: settings.ENABLE_X_FORWARDED_FOR?.value ?? false,
  };
}

/** What was said and comes to nothing, because something else was not. */
function warnOfUnused(settings: ReceptionSettings, { datagrams, http }: ReceptionConfig): readonly string[] {
  const { UDPSERV_PORT, PCAP_FILTER, ENABLE_X_FORWARDED_FOR: forwarded } = settings;
  return [
    ...(datagrams.kind === 'capture' && UDPSERV_PORT !== undefined
      ? [
          warning(
            UDPSERV_PORT,
            `packets are captured as PCAP_FILTER says; for a socket write ENABLE_UDP_SERVER Y`,
          ),
        ]
      : []),
    ...(datagrams.kind === 'socket' && PCAP_FILTER !== undefined
      ? [warning(PCAP_FILTER, `ENABLE_UDP_SERVER Y opens a socket at UDPSERV_PORT (${datagrams.port})`)]
      : []),
    ...(http === null && forwarded?.value === true
      ? [warning(forwarded, 'there is no HTTP; write ENABLE_SPA_OVER_HTTP Y too')]
      : []),
    ...(http?.forwardedFor === true && forwarded !== undefined
      ? [
          warning(
            forwarded,
            'whoever reaches the port can write that header: let only the proxy reach it, or write REQUIRE_SOURCE_ADDRESS Y',
          ),
        ]
      : []),
  ];
}

function warning({ place: { file, line, keyword } }: Stated<unknown>, text: string): string {
  return `${file}${line === undefined ? '' : `:${line}: ${keyword}`}: ${text}`;
}
