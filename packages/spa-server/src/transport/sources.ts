import { open } from 'node:fs/promises';
import { ConfigError } from 'spa-host';
import type { Stated } from '../config/keywords.ts';
import { UnavailableError } from '../failure.ts';
import type { Reception as HeardBy } from '../log/event.ts';
import type { Counter } from '../report.ts';
import type { Log } from '../system/log.ts';
import { startCapture } from './capture.ts';
import { readFrame } from './frame.ts';
import type { Payload } from './payload.ts';
import type { CaptureConfig, FileConfig, ReceptionConfig, SocketConfig } from './reception-config.ts';
import { listenTcp } from './tcp.ts';
import { filterProblem, hasTcpdump, startTcpdump, type Tcpdump, TcpdumpError } from './tcpdump.ts';
import { RECEIVE_BUFFER_BYTES } from './udp-limits.ts';

/** One place that packets come from, of those that a {@link Reception} has; its members mean the same. */
export interface PacketSource {
  readonly by: HeardBy;
  readonly places: readonly string[];
  readonly warnings: readonly string[];
  begin(): void;
  received(): number;
  lost(): number | null;
  counters(): readonly Counter[];
  readonly ended: Promise<string | null>;
  close(): Promise<void>;
}

type OnPayload = (payload: Payload) => void;

/** Opens what datagrams come from. @throws ConfigError, UnavailableError, or the system's error */
export function openSource(config: ReceptionConfig, onPayload: OnPayload, log: Log): Promise<PacketSource> {
  const { datagrams } = config;
  if (datagrams.kind === 'socket') return openSocket(datagrams, config, onPayload);
  if (datagrams.kind === 'capture') return openCapture(datagrams, config, onPayload, log);
  return openFile(datagrams, onPayload);
}

/**
 * Finds out, without capturing, whether a capture can begin; resolves to what else is missing, in one line, null if nothing is.
 * @throws ConfigError for a filter that tcpdump does not take.
 */
export function checkSource({ datagrams }: ReceptionConfig): string | null {
  if (datagrams.kind === 'socket') return null;
  if (!hasTcpdump()) return NO_TCPDUMP;
  const problem = filterProblem(datagrams.filter.value);
  if (problem !== null) throw wrongFilter(datagrams.filter, problem);
  return null;
}

/** Opens what listens on TCP. @throws the system's error */
export async function openTcpSource(
  { listenAddress, http }: ReceptionConfig,
  port: number,
  onPayload: OnPayload,
): Promise<PacketSource> {
  const tcp = await listenTcp({ address: listenAddress, port, takesHttp: http !== null, onPayload });
  return {
    by: { kind: 'tcp', port },
    places: tcp.places,
    warnings: [],
    begin: () => {},
    received: tcp.received,
    lost: () => null,
    counters: () => [
      { what: 'received over TCP', count: tcp.received() },
      { what: 'TCP connections refused: too many', count: tcp.refused() },
    ],
    ended: NEVER,
    close: tcp.close,
  };
}

const NEVER = new Promise<never>(() => {});

async function openSocket(
  { port }: SocketConfig,
  { listenAddress }: ReceptionConfig,
  onPayload: OnPayload,
): Promise<PacketSource> {
  // It loads koffi, which no command but the daemon itself needs.
  const { listenUdp } = await import('./udp.ts');
  const udp = listenUdp({ address: listenAddress, port, onPayload });
  const { places, receiveBufferBytes, received, lost } = udp;
  return {
    by: { kind: 'udp', port },
    places,
    warnings: receiveBufferBytes < RECEIVE_BUFFER_BYTES ? [smallBuffer(receiveBufferBytes)] : [],
    begin: () => {},
    received,
    lost,
    counters: () => [{ what: 'datagrams received', count: received() }],
    ended: NEVER,
    close: async () => udp.close(),
  };
}

function smallBuffer(bytes: number): string {
  const setting = `net.core.rmem_max=${RECEIVE_BUFFER_BYTES}`;
  return `the kernel grants a receive buffer of ${bytes} bytes only, and a flood fills it; run on the host: sysctl -w ${setting}, and write it to a file in /etc/sysctl.d`;
}

async function openCapture(
  config: CaptureConfig,
  { tcpPort }: ReceptionConfig,
  onPayload: OnPayload,
  log: Log,
): Promise<PacketSource> {
  const { filter, whenDown } = config;
  const range = { ...config, interface: config.interface.value, filter: filter.value };
  const capture = await startCapture({ range, whenDown, heardTcpPort: tcpPort, onPayload, log }).catch(
    (error) => rethrow(error, config.interface, filter),
  );
  return {
    by: { kind: 'capture', interface: range.interface, filter: range.filter },
    places: [`whatever ${range.interface} brings (${range.filter})`],
    warnings: [],
    begin: () => {},
    received: () => capture.received(),
    lost: () => capture.lost(),
    counters: () => [{ what: 'captured', count: capture.received() }],
    ended: capture.ended,
    close: () => capture.close(),
  };
}

async function openFile({ path, filter }: FileConfig, onPayload: OnPayload): Promise<PacketSource> {
  const file = await open(path.value).catch(({ code }: NodeJS.ErrnoException) => {
    throw new ConfigError(path.place, `${path.value} cannot be read: ${code}`);
  });
  let received = 0;
  let tcpdump: Tcpdump | null = null;
  let end = (_why: string | null): void => {};
  const ended = new Promise<string | null>((resolve) => {
    end = resolve;
  });
  const range = { interface: null, filter: filter.value, promiscuous: false, anyDirection: true };
  const read = async (): Promise<void> => {
    const onFrame = ({ linkType, bytes }: { linkType: number; bytes: Buffer }): void => {
      const segment = readFrame(linkType, bytes);
      if (segment === null) return;
      received += 1;
      onPayload({ bytes: segment.payload, source: segment.source, destination: segment.destination });
    };
    try {
      tcpdump = await startTcpdump(range, onFrame, file.createReadStream());
      end(await tcpdump.ended);
    } catch (error) {
      if (!(error instanceof TcpdumpError)) throw error;
      end(`${path.value}: ${error.message}`);
    }
  };
  return {
    by: { kind: 'file', path: path.value },
    places: [path.value],
    warnings: [],
    begin: () => void read(),
    received: () => received,
    lost: () => null,
    counters: () => [{ what: 'captured', count: received }],
    ended,
    close: async () => {
      await tcpdump?.end();
      await file.close();
    },
  };
}

/** By whose line it is that nothing can be captured. */
function rethrow(error: unknown, device: Stated<string>, filter: Stated<string>): never {
  if (!(error instanceof TcpdumpError)) throw error;
  const { fault, message } = error;
  if (fault === 'filter') throw wrongFilter(filter, message);
  if (fault === 'interface') {
    throw new ConfigError(
      device.place,
      `tcpdump cannot capture there: ${message}; write an interface that "ip link" shows, or any`,
    );
  }
  if (fault === 'permission') {
    const needs = 'capturing needs CAP_NET_RAW, CAP_SETUID, CAP_SETGID and CAP_KILL';
    throw Object.assign(new Error(`${message} (${needs})`), { code: 'EPERM', syscall: 'capture' });
  }
  throw new UnavailableError(hasTcpdump() ? `packets cannot be captured: ${message}` : NO_TCPDUMP);
}

const NO_TCPDUMP =
  'tcpdump is not installed, and packets are captured here (PCAP_INTF, PCAP_FILTER): apt-get install tcpdump, or write ENABLE_UDP_SERVER Y';

function wrongFilter(filter: Stated<string>, said: string): ConfigError {
  return new ConfigError(filter.place, `tcpdump does not take this filter: ${said}; see pcap-filter(7)`);
}
