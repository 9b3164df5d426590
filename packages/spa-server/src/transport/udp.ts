import koffi from 'koffi';
import { type IpAddress, ipFamily } from 'spa-core';
import { DatagramBatch, type OnDatagram } from './datagram-batch.ts';
import { type BoundPlace, kernelDrops } from './kernel-drops.ts';
import type { Payload } from './payload.ts';
import { RECEIVE_BUFFER_BYTES } from './udp-limits.ts';
import { askReceiveBuffer, bindUdpSocket, closeSocket, systemError } from './udp-socket.ts';

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
  /** Stops listening. Once is enough. */
  close(): void;
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
export function listenUdp(options: UdpOptions): UdpListener {
  const { address, port, onPayload } = options;
  const sockets: ReadSocket[] = [];
  let received = 0;
  const onDatagram = (bytes: Buffer, source: IpAddress): void => {
    received += 1;
    onPayload({ bytes, source, destination: address });
  };
  try {
    for (const host of address === null ? ALL_ADDRESSES : [address]) {
      const socket = open({ address: host, port }, options, onDatagram);
      if (socket !== null) sockets.push(socket);
    }
  } catch (error) {
    for (const socket of sockets) socket.close();
    throw error;
  }
  const places = sockets.map(({ place }) => place);
  return {
    places: places.map((place) => `${place.address} port ${port}`),
    receiveBufferBytes: Math.min(...sockets.map(({ receiveBufferBytes }) => receiveBufferBytes)),
    received: () => received,
    lost: () => kernelDrops(places),
    close: () => {
      for (const socket of sockets) socket.close();
    },
  };
}

const ALL_ADDRESSES = ['0.0.0.0', '::'] as readonly string[] as readonly IpAddress[];

interface ReadSocket {
  readonly place: BoundPlace;
  readonly receiveBufferBytes: number;
  close(): void;
}

/** A socket that is read from now on; null if all IPv6 addresses were asked for and the host has no IPv6. */
function open(place: BoundPlace, { address }: UdpOptions, onDatagram: OnDatagram): ReadSocket | null {
  let fd: number;
  try {
    fd = bindUdpSocket(place);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const hasNoIpv6 = code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL';
    if (address === null && ipFamily(place.address) === 6 && hasNoIpv6) return null;
    throw error;
  }
  try {
    const receiveBufferBytes = askReceiveBuffer(fd, RECEIVE_BUFFER_BYTES);
    return { place, receiveBufferBytes, close: readFromNowOn(fd, place, onDatagram) };
  } catch (error) {
    closeSocket(fd);
    throw error;
  }
}

/** Returns what ends it, and closes the socket. @throws the system's error if the socket cannot be read. */
function readFromNowOn(fd: number, place: BoundPlace, onDatagram: OnDatagram): () => void {
  const batch = new DatagramBatch(fd, ipFamily(place.address));
  // Where recvmmsg is not permitted, that had better be known now.
  if (batch.read(onDatagram) === 'failed') throw systemError('recvmmsg', place);
  const watch = koffi.node.poll(fd, READABLE, onReadable);
  let isOpen = true;
  function onReadable(): void {
    try {
      // libuv no longer watches a socket that has an error.
      if (batch.read(onDatagram) === 'failed') watch.start(READABLE, onReadable);
    } catch (error) {
      // koffi would swallow it, and end the watch.
      process.nextTick(() => {
        throw error;
      });
    }
  }
  return () => {
    if (!isOpen) return;
    isOpen = false;
    watch.close();
    closeSocket(fd);
  };
}

const READABLE = { readable: true };
