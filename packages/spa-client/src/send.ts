import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import type { Destination } from './compose.ts';

/** One address of a server. */
export interface Server {
  readonly address: string;
  readonly family: 4 | 6;
}

/** The packet could not be sent. The message is one line that names the host. */
export class SendError extends Error {
  override readonly name = 'SendError';
}

/** Looks the destination's name up, in the system's own order. @throws SendError if it has no address that will do. */
export async function resolveServer(
  destination: Pick<Destination, 'host' | 'family' | 'preferredFamily'>,
): Promise<Server> {
  const servers = await resolveServers(destination.host, destination.family);
  const preferred = servers.find((server) => server.family === destination.preferredFamily);
  return preferred ?? servers[0];
}

/**
 * All addresses of a host, in the system's own order (RFC 6724); `family` null: of both families.
 * @throws SendError if it has none.
 */
export async function resolveServers(
  host: string,
  family: 4 | 6 | null,
): Promise<readonly [Server, ...Server[]]> {
  const missing = `${host}: no ${family === null ? '' : `IPv${family} `}address found`;
  const addresses = await lookup(host, { all: true, verbatim: true, family: family ?? 0 }).catch((error) => {
    throw new SendError(`${missing} (${(error as NodeJS.ErrnoException).code})`);
  });
  const [first, ...others] = addresses
    .map((found): Server => ({ address: found.address, family: found.family === 6 ? 6 : 4 }))
    // An address in the place of a name is given back whatever its family.
    .filter((found) => family === null || found.family === family);
  if (first === undefined) throw new SendError(missing);
  return [first, ...others];
}

/** What {@link sendPacket} has to know of a destination. */
export type SendingTo = Pick<
  Destination,
  'host' | 'port' | 'sourcePort' | 'protocol' | 'proxy' | 'userAgent'
>;

/**
 * Sends `packet` once: as one datagram, or over TCP. `server` is where it goes first, the proxy's if there is one. Resolves to
 * the local address that it left from.
 * @throws SendError if the system refuses, or there is no connection; nothing says that it arrived.
 */
export async function sendPacket(packet: string, server: Server, to: SendingTo): Promise<string> {
  const { sourcePort, protocol } = to;
  const port = to.port ?? randomPort();
  if (protocol === 'udp') return sendDatagram(packet, server, { port, sourcePort });
  const { sendOverTcp } = await import('./send-tcp.ts');
  return sendOverTcp(packet, server, { ...to, protocol, port });
}

/** A port that fwknop's `-r` would take. */
export function randomPort(): number {
  return randomInt(10_000, 65_535);
}

function sendDatagram(
  packet: string,
  server: Server,
  ports: { readonly port: number; readonly sourcePort: number | null },
): Promise<string> {
  const socket = createSocket(server.family === 6 ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      socket.close();
      const code = (error as NodeJS.ErrnoException).code ?? error.message;
      reject(new SendError(`${server.address} port ${ports.port}/udp: the packet was not sent (${code})`));
    };
    socket.once('error', fail);
    // Connected, it knows its own address.
    const send = (): void => socket.connect(ports.port, server.address);
    socket.once('connect', () =>
      socket.send(packet, (error) => {
        if (error !== null) return fail(error);
        const { address } = socket.address();
        socket.close();
        resolve(address);
      }),
    );
    if (ports.sourcePort === null) send();
    else socket.bind(ports.sourcePort, send);
  });
}
