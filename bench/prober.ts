/**
 * The operator's end of the measurement: a process that lives in the operator's network and does what it is told over
 * IPC, so that no start of a process is measured.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What the prober is told to do. */
export type ProberOrder =
  /** Sends the packet, then starts one connection after the other from `address` until one is established. */
  | { readonly kind: 'knock'; readonly packet: string; readonly address: string }
  /** The same without a packet, through a door that is open already. */
  | { readonly kind: 'connect'; readonly address: string }
  /** Starts one connection, which must come to nothing within `limitMs`. */
  | { readonly kind: 'silent'; readonly address: string; readonly limitMs: number };

/** What it answers. */
export type ProberAnswer =
  | { readonly kind: 'established' }
  | { readonly kind: 'silent' }
  | { readonly kind: 'failed'; readonly reason: string };

/** A door that has not opened by then does not open. */
const LIMIT_MS = 5_000;
const ENDLESS = Number.POSITIVE_INFINITY;

/**
 * How long to wait between two connections, and from when on longer. With what a connection and a wake-up cost the fine pause
 * makes a step of 0.4 ms. Node's timers know whole milliseconds; for less its thread sleeps, since a loop that turned
 * meanwhile would take a processor from the daemon.
 */
const FINE_PAUSE_MS = 0.1;
const FINE_UNTIL_MS = 20;
const COARSE_PAUSE_MS = 1;
const NOBODY_WAKES = new Int32Array(new SharedArrayBuffer(4));

/** Connections after which the prober's own code is compiled. */
const WARM_UP_CONNECTIONS = 100;

/** Where connections go. */
interface Target {
  readonly host: string;
  readonly port: number;
  readonly localAddress: string;
}

const [host = '', udpPort = '', tcpPort = ''] = process.argv.slice(2);
const udp = await connectUdp();
await warmUp();
process.on('message', (order: ProberOrder) => void obey(order).then(answer));
process.on('disconnect', () => process.exit());
answer({ kind: 'silent' });

async function obey(order: ProberOrder): Promise<ProberAnswer> {
  switch (order.kind) {
    case 'knock':
      return untilEstablished(doorFrom(order), LIMIT_MS, ENDLESS, () => udp.send(order.packet));
    case 'connect':
      return untilEstablished(doorFrom(order), LIMIT_MS, ENDLESS, () => {});
    case 'silent': {
      const outcome = await untilEstablished(doorFrom(order), order.limitMs, 1, () => {});
      if (outcome.kind === 'established') return { kind: 'failed', reason: 'the door is still open' };
      return { kind: 'silent' };
    }
  }
}

function doorFrom({ address }: ProberOrder): Target {
  return { host, port: Number(tcpPort), localAddress: address };
}

function untilEstablished(
  target: Target,
  limitMs: number,
  attempts: number,
  begin: () => void,
): Promise<ProberAnswer> {
  return new Promise((resolve) => {
    const sockets: Socket[] = [];
    let isOver = false;
    const finish = (outcome: ProberAnswer): void => {
      isOver = true;
      clearTimeout(limit);
      for (const socket of sockets) socket.destroy();
      resolve(outcome);
    };
    const attempt = (): void => {
      const socket = connect({ ...target });
      sockets.push(socket);
      socket.on('error', (error) => finish({ kind: 'failed', reason: error.message }));
      socket.on('connect', () => finish({ kind: 'established' }));
    };
    const attemptAgain = (): void => {
      if (isOver || sockets.length === attempts) return;
      attempt();
      if (performance.now() > startedAt + FINE_UNTIL_MS) {
        setTimeout(attemptAgain, COARSE_PAUSE_MS);
        return;
      }
      Atomics.wait(NOBODY_WAKES, 0, 0, FINE_PAUSE_MS);
      setImmediate(attemptAgain);
    };
    const limit = setTimeout(
      () => finish({ kind: 'failed', reason: `no door opened within ${limitMs} ms` }),
      limitMs,
    );
    begin();
    const startedAt = performance.now();
    attemptAgain();
  });
}

/** Connects to itself, so that its first measurement is as good as the others. */
async function warmUp(): Promise<void> {
  const server = createServer((socket) => socket.on('error', () => {}).resume());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  for (let i = 0; i < WARM_UP_CONNECTIONS; i++) {
    await untilEstablished(
      { host: '127.0.0.1', port, localAddress: '127.0.0.1' },
      LIMIT_MS,
      ENDLESS,
      () => {},
    );
  }
  server.close();
}

/** A connected socket sends at once, in the call itself. */
function connectUdp(): Promise<UdpSocket> {
  const socket = createSocket('udp4');
  return new Promise((resolve) => {
    socket.connect(Number(udpPort), host, () => resolve(socket));
  });
}

function answer(message: ProberAnswer): void {
  process.send?.(message);
}
