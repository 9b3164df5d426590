/**
 * Operators who come one after the other, each from an address of their own: a process that lives in their network and
 * does what it is told over IPC. None waits for those before.
 */
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';

/** An operator's packet, and the address that it comes from and asks for. */
export interface Knock {
  readonly packet: string;
  readonly address: string;
}

/** What the process is told: one operator comes every `everyMs`, and gives up after `limitMs`. */
export interface CrowdOrder {
  readonly knocks: readonly Knock[];
  readonly everyMs: number;
  readonly limitMs: number;
}

/** It answers with microseconds from each packet to the first established connection; null: there was none. */
export type CrowdAnswer = readonly (number | null)[];

/** How long to wait between two connections, by how long the door has been waited for: fine where it matters. */
const PACES = [
  { untilMs: 50, everyMs: 2 },
  { untilMs: 200, everyMs: 10 },
  { untilMs: Number.POSITIVE_INFINITY, everyMs: 50 },
] as const;

const [host = '', udpPort = '', tcpPort = ''] = process.argv.slice(2);
process.on('message', (order: CrowdOrder) => void obey(order).then((times) => process.send?.(times)));
process.on('disconnect', () => process.exit());
process.send?.([]);

async function obey({ knocks, everyMs, limitMs }: CrowdOrder): Promise<CrowdAnswer> {
  const startedAt = now();
  const coming = knocks.map(
    (knock, index) =>
      new Promise<number | null>((resolve) => {
        const come = (): void => void enter(knock, limitMs).then(resolve);
        setTimeout(come, startedAt + index * everyMs - now());
      }),
  );
  return Promise.all(coming);
}

async function enter({ packet, address }: Knock, limitMs: number): Promise<number | null> {
  const udp = createSocket('udp4');
  await new Promise<void>((resolve) => {
    udp.bind(0, address, () => udp.connect(Number(udpPort), host, resolve));
  });
  const sockets: Socket[] = [];
  const startedAt = now();
  udp.send(packet);
  const microseconds = await new Promise<number | null>((resolve) => {
    const attempt = (): void => {
      const waitedMs = now() - startedAt;
      if (waitedMs > limitMs) {
        resolve(null);
        return;
      }
      const socket = connect({ host, port: Number(tcpPort), localAddress: address });
      sockets.push(socket);
      socket.on('error', () => {});
      socket.on('connect', () => {
        clearTimeout(timer);
        resolve((now() - startedAt) * 1000);
      });
      const pace = PACES.find(({ untilMs }) => waitedMs < untilMs);
      timer = setTimeout(attempt, pace?.everyMs);
    };
    let timer: NodeJS.Timeout;
    attempt();
  });
  for (const socket of sockets) socket.destroy();
  udp.close();
  return microseconds;
}

/** Milliseconds. */
function now(): number {
  return performance.now();
}
