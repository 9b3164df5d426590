import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { type IpAddress, ipFamily, parseIpAddress } from 'spa-core';
import { type BoundPlace, kernelDrops } from './kernel-drops.ts';
import type { Payload } from './payload.ts';

/** Datagrams that wait in the kernel while the daemon is busy: about 20,000 packets. */
export const RECEIVE_BUFFER_BYTES: number = 8 * 1024 * 1024;

/** What is heard on the network. */
export interface UdpListener {
  /** Where it listens, for the log: `0.0.0.0 port 62201`. */
  readonly places: readonly string[];
  /** What the kernel gives each socket to keep datagrams in, in bytes; {@link RECEIVE_BUFFER_BYTES} was asked for. */
  readonly receiveBufferBytes: number;
  /** Datagrams that have arrived here since the start, whatever they are. */
  received(): number;
  /** Datagrams that the kernel has thrown away instead; null where it does not tell. */
  lost(): number | null;
  /** Stops listening. */
  close(): Promise<void>;
}

/** What to listen on. Address null: all addresses, IPv4 and, where the host has it, IPv6. */
export interface UdpOptions {
  readonly address: IpAddress | null;
  readonly port: number;
  readonly onPayload: (payload: Payload) => void;
}

/**
 * Listens on UDP. Nothing is ever sent.
 * @throws the system's error (`EADDRINUSE`, `EACCES`, …) if it cannot listen.
 */
export async function listenUdp(options: UdpOptions): Promise<UdpListener> {
  const { address, port, onPayload } = options;
  const sockets: Socket[] = [];
  const places: BoundPlace[] = [];
  let received = 0;
  const onMessage = (bytes: Buffer, remote: RemoteInfo): void => {
    received += 1;
    const source = sourceOf(remote);
    if (source !== null) onPayload({ bytes, source, destination: address });
  };
  try {
    for (const host of address === null ? ALL_ADDRESSES : [address]) {
      const socket = await bind(host, options, onMessage);
      if (socket === null) continue;
      sockets.push(socket);
      places.push({ address: host, port });
    }
  } catch (error) {
    await Promise.all(sockets.map(close));
    throw error;
  }
  return {
    places: places.map(({ address }) => `${address} port ${port}`),
    receiveBufferBytes: Math.min(...sockets.map(receiveBufferBytes)),
    received: () => received,
    lost: () => kernelDrops(places),
    close: async () => {
      await Promise.all(sockets.map(close));
    },
  };
}

const ALL_ADDRESSES = ['0.0.0.0', '::'] as readonly string[] as readonly IpAddress[];

/** A socket that listens; null if all IPv6 addresses were asked for and the host has no IPv6. */
async function bind(
  host: IpAddress,
  options: UdpOptions,
  onMessage: (packet: Buffer, remote: RemoteInfo) => void,
): Promise<Socket | null> {
  const isIpv6 = ipFamily(host) === 6;
  const socket = createSocket(isIpv6 ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' }, onMessage);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.bind({ address: host, port: options.port, exclusive: true }, resolve);
    });
  } catch (error) {
    await close(socket);
    const { code } = error as NodeJS.ErrnoException;
    if (options.address === null && isIpv6 && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL'))
      return null;
    throw error;
  }
  socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
  return socket;
}

/** Linux grants at most `net.core.rmem_max`, and says twice as much (socket(7)). */
function receiveBufferBytes(socket: Socket): number {
  return socket.getRecvBufferSize() / 2;
}

/** IPv4 comes from the system in the one form that it has. */
function sourceOf({ family, address }: RemoteInfo): IpAddress | null {
  return family === 'IPv4' ? (address as IpAddress) : parseIpAddress(address.replace(/%.*$/, ''));
}

function close(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.close(() => resolve());
  });
}
