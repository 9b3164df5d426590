import { createSocket } from 'node:dgram';
import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import type { Destination } from './compose.ts';

/** A server's name, resolved once. */
export interface Server {
  readonly address: string;
  readonly family: 4 | 6;
  /** True if the name has addresses of both families: who connects later has to be told which one was meant. */
  readonly isDualStack: boolean;
}

/** The packet could not be sent. The message is one line that names the host. */
export class SendError extends Error {
  override readonly name = 'SendError';
}

/** Looks the destination's name up, in the system's own order. @throws SendError if it has no address that will do. */
export async function resolveServer(
  destination: Pick<Destination, 'host' | 'family' | 'preferredFamily'>,
): Promise<Server> {
  const { host, family, preferredFamily } = destination;
  let addresses: readonly LookupAddress[];
  try {
    addresses = await lookup(host, { all: true, verbatim: true, family: family ?? 0 });
  } catch (error) {
    const kind = family === null ? 'address' : `IPv${family} address`;
    throw new SendError(`${host}: no ${kind} found (${(error as NodeJS.ErrnoException).code})`);
  }
  const chosen = addresses.find((candidate) => candidate.family === preferredFamily) ?? addresses[0];
  if (chosen === undefined) throw new SendError(`${host}: no address found`);
  return {
    address: chosen.address,
    family: chosen.family === 6 ? 6 : 4,
    isDualStack: addresses.some((candidate) => candidate.family !== chosen.family),
  };
}

/** Sends `packet` as one datagram. @throws SendError if the system refuses; nothing says that it arrived. */
export function sendPacket(
  packet: string,
  server: Server,
  ports: Pick<Destination, 'port' | 'sourcePort'>,
): Promise<void> {
  const socket = createSocket(server.family === 6 ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      socket.close();
      const code = (error as NodeJS.ErrnoException).code ?? error.message;
      reject(new SendError(`${server.address} port ${ports.port}/udp: the packet was not sent (${code})`));
    };
    socket.once('error', fail);
    const send = (): void =>
      socket.send(packet, ports.port, server.address, (error) => {
        if (error !== null) return fail(error);
        socket.close();
        resolve();
      });
    if (ports.sourcePort === null) send();
    else socket.bind(ports.sourcePort, send);
  });
}
