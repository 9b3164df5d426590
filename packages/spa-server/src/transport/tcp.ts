import { createServer, type Server, type Socket } from 'node:net';
import { type IpAddress, ipFamily, PACKET_MAX_LENGTH, parseIpAddress } from 'spa-core';
import { isHttpRequest, isWholeRequest } from './http-request.ts';
import type { Payload } from './payload.ts';
import { sourceOf } from './turnstile.ts';

/** What is heard over TCP. */
export interface TcpListener {
  /** Where it listens, for the log: `0.0.0.0 port 62201/tcp`. */
  readonly places: readonly string[];
  /** Payloads that have come in since the start, whatever they are. */
  received(): number;
  /** Connections that got no hearing: too many at once, in all or from their source. */
  refused(): number;
  /** Stops listening and ends the connections. */
  close(): Promise<void>;
}

/** What to listen on. Address null: all addresses, IPv4 and, where the host has it, IPv6. */
export interface TcpOptions {
  readonly address: IpAddress | null;
  readonly port: number;
  /** True: a request of HTTP counts as well, and ends with its head. */
  readonly takesHttp: boolean;
  readonly onPayload: (payload: Payload) => void;
}

/**
 * Listens on TCP: what a connection brings until its sender ends it, in however many segments, is one payload. Nothing is
 * ever answered. A connection costs bounded memory for a bounded time.
 * @throws the system's error (`EADDRINUSE`, `EACCES`, …) if it cannot listen.
 */
export async function listenTcp(options: TcpOptions): Promise<TcpListener> {
  const hearing = createHearing(options);
  const servers: { readonly server: Server; readonly host: IpAddress }[] = [];
  const close = async (): Promise<void> => {
    const closed = servers.map(({ server }) => new Promise((resolve) => server.close(resolve)));
    hearing.endAll();
    await Promise.all(closed);
  };
  try {
    for (const host of options.address === null ? ALL_ADDRESSES : [options.address]) {
      const server = await listen(host, options, hearing.hear);
      if (server !== null) servers.push({ server, host });
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    places: servers.map(({ host }) => `${host} port ${options.port}/tcp`),
    received: hearing.received,
    refused: hearing.refused,
    close,
  };
}

const ALL_ADDRESSES = ['0.0.0.0', '::'] as readonly string[] as readonly IpAddress[];

/** Connections at once, in all and from one source. */
const MAX_CONNECTIONS = 256;
const MAX_PER_SOURCE = 16;
/** How long a sender may take. What has come until then is taken as all there is. */
const TIME_LIMIT_MS = 5_000;
/** One more than a packet has, so that a longer one shows; and for a request with the headers that programs add. */
const MAX_PACKET_BYTES = PACKET_MAX_LENGTH + 1;
const MAX_REQUEST_BYTES = 4_096;

/** A server that listens; null if all IPv6 addresses were asked for and the host has no IPv6. */
async function listen(
  host: IpAddress,
  { address, port }: TcpOptions,
  hear: (socket: Socket) => void,
): Promise<Server | null> {
  const isIpv6 = ipFamily(host) === 6;
  const server = createServer({ noDelay: true }, hear);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, ipv6Only: isIpv6, exclusive: true }, resolve);
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (address === null && isIpv6 && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL')) return null;
    throw error;
  }
  // No descriptor left for a connection: the next one may find one.
  server.on('error', () => {});
  return server;
}

/** Those who are being listened to. */
interface Hearing {
  hear(socket: Socket): void;
  received(): number;
  refused(): number;
  endAll(): void;
}

function createHearing({ takesHttp, onPayload }: TcpOptions): Hearing {
  /** In the order in which they came. */
  const sockets = new Set<Socket>();
  const perSource = new Map<string, number>();
  let received = 0;
  let refused = 0;

  const hear = (socket: Socket): void => {
    const source = addressOf(socket.remoteAddress);
    const destination = addressOf(socket.localAddress);
    // Whoever is gone already has no address.
    if (source === null) return void socket.destroy();
    const owner = sourceOf(source);
    const held = perSource.get(owner) ?? 0;
    if (held >= MAX_PER_SOURCE) {
      refused += 1;
      return void socket.destroy();
    }
    if (sockets.size >= MAX_CONNECTIONS) endOldest();
    sockets.add(socket);
    perSource.set(owner, held + 1);
    listenTo(socket, takesHttp, (bytes) => {
      received += 1;
      onPayload({ bytes, source, destination });
    });
    socket.once('close', () => {
      sockets.delete(socket);
      const left = (perSource.get(owner) ?? 1) - 1;
      if (left === 0) perSource.delete(owner);
      else perSource.set(owner, left);
    });
  };

  /** Whoever has had the most time. */
  const endOldest = (): void => {
    const [oldest] = sockets;
    if (oldest === undefined) return;
    refused += 1;
    sockets.delete(oldest);
    oldest.destroy();
  };

  return {
    hear,
    received: () => received,
    refused: () => refused,
    endAll: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Calls `onBytes` at most once, with what the connection has brought, if anything; then the connection ends. */
function listenTo(socket: Socket, takesHttp: boolean, onBytes: (bytes: Buffer) => void): void {
  let bytes: Buffer = Buffer.alloc(0);
  const finish = (): void => {
    clearTimeout(timer);
    if (socket.destroyed) return;
    socket.destroy();
    if (bytes.length > 0) onBytes(bytes);
  };
  const timer = setTimeout(finish, TIME_LIMIT_MS);
  socket.on('data', (piece) => {
    bytes = Buffer.concat([bytes, piece]).subarray(0, MAX_REQUEST_BYTES);
    if (isComplete(bytes, takesHttp)) finish();
  });
  socket.on('end', finish);
  socket.on('error', () => {});
  socket.once('close', () => clearTimeout(timer));
}

function isComplete(bytes: Buffer, takesHttp: boolean): boolean {
  if (takesHttp && isHttpRequest(bytes)) return bytes.length >= MAX_REQUEST_BYTES || isWholeRequest(bytes);
  return bytes.length >= MAX_PACKET_BYTES;
}

function addressOf(text: string | undefined): IpAddress | null {
  return parseIpAddress((text ?? '').replace(/%.*$/, ''));
}
