import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { type IpAddress, ipFamily, PACKET_MAX_LENGTH, PACKET_MIN_LENGTH, parseIpAddress } from 'spa-core';
import type { Datagram } from '../decision/verdict.ts';

/** Datagrams that wait in the kernel while the daemon is busy: about 20,000 packets. */
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;

/** What is heard on the network. */
export interface UdpListener {
  /** Where it listens, for the log: `0.0.0.0 port 62201`. */
  readonly places: readonly string[];
  /** Stops listening. */
  close(): Promise<void>;
}

/** What to listen on. Address null: all addresses, IPv4 and, where the host has it, IPv6. */
export interface UdpOptions {
  readonly address: IpAddress | null;
  readonly port: number;
  readonly onDatagram: (datagram: Datagram) => void;
  /** A datagram whose length alone says that it is no packet. */
  readonly onWrongLength: (source: IpAddress) => void;
}

/**
 * Listens on UDP. Nothing is ever sent.
 * @throws the system's error (`EADDRINUSE`, `EACCES`, …) if it cannot listen.
 */
export async function listenUdp(options: UdpOptions): Promise<UdpListener> {
  const { address, port } = options;
  const sockets: Socket[] = [];
  const places: string[] = [];
  try {
    for (const host of address === null ? ['0.0.0.0', '::'] : [address]) {
      const socket = await bind(host as IpAddress, options);
      if (socket === null) continue;
      sockets.push(socket);
      places.push(`${host} port ${port}`);
    }
  } catch (error) {
    await Promise.all(sockets.map(close));
    throw error;
  }
  return {
    places,
    close: async () => {
      await Promise.all(sockets.map(close));
    },
  };
}

/** A socket that listens; null if all IPv6 addresses were asked for and the host has no IPv6. */
async function bind(host: IpAddress, options: UdpOptions): Promise<Socket | null> {
  const isIpv6 = ipFamily(host) === 6;
  const socket = createSocket(
    isIpv6 ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' },
    (packet, remote) => receive(packet, remote, options),
  );
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

function receive(packet: Buffer, remote: RemoteInfo, options: UdpOptions): void {
  const source = parseIpAddress(remote.address.replace(/%.*$/, ''));
  if (source === null) return;
  if (packet.length < PACKET_MIN_LENGTH || packet.length > PACKET_MAX_LENGTH) {
    options.onWrongLength(source);
  } else {
    options.onDatagram({ packet, source });
  }
}

function close(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.close(() => resolve());
  });
}
