import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { addressBits, ipFamily } from 'spa-core';
import type { BoundPlace } from './kernel-drops.ts';

/**
 * A UDP socket of Linux, bound to a place and closed to children; its file descriptor. An IPv6 socket gets no IPv4. Node has
 * no way to read its own sockets many datagrams at a time (docs/adr/0021-recvmmsg.md).
 * @throws the system's error (`EADDRINUSE`, `EACCES`, `EAFNOSUPPORT`, …)
 */
export function bindUdpSocket(place: BoundPlace): number {
  const family = ipFamily(place.address) === 4 ? AF_INET : AF_INET6;
  const fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw systemError('socket', place);
  if (family === AF_INET6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  const bytes = socketAddress(place);
  if (bind(fd, bytes, bytes.length) === 0) return fd;
  const error = systemError('bind', place);
  close(fd);
  throw error;
}

/**
 * Asks the kernel for room to keep datagrams in until they are read; returns what it has granted, in bytes. More than
 * `net.core.rmem_max` is for whoever has CAP_NET_ADMIN (socket(7)).
 */
export function askReceiveBuffer(fd: number, bytes: number): number {
  if (!setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes)) setOption(fd, SOL_SOCKET, SO_RCVBUF, bytes);
  const granted = new Int32Array(1);
  getsockopt(fd, SOL_SOCKET, SO_RCVBUF, granted, Uint32Array.of(granted.byteLength));
  // Linux says twice as much as can be used.
  return (granted[0] ?? 0) / 2;
}

/** Closes a file descriptor that {@link bindUdpSocket} has given. */
export function closeSocket(fd: number): void {
  close(fd);
}

const libc = koffi.load(null);
const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int fd, const void *address, uint32_t length)');
const setsockopt = libc.func(
  'int setsockopt(int fd, int level, int name, const void *value, uint32_t length)',
);
const getsockopt = libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)');
const close = libc.func('int close(int fd)');

/** The numbers of Linux on the processors that koffi is built for, all of them little-endian. */
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

/** ip(7), ipv6(7): where the octets of the address are in a socket address, and how many octets that has. */
export const SOCKET_ADDRESS: Readonly<Record<4 | 6, { readonly addressAt: number; readonly bytes: number }>> =
  {
    4: { addressAt: 4, bytes: 16 },
    6: { addressAt: 8, bytes: 28 },
  };

function socketAddress({ address, port }: BoundPlace): Buffer {
  const family = ipFamily(address);
  const { addressAt, bytes } = SOCKET_ADDRESS[family];
  const result = Buffer.alloc(bytes);
  result.writeUInt16LE(family === 4 ? AF_INET : AF_INET6);
  result.writeUInt16BE(port, 2);
  const digits = family === 4 ? 8 : 32;
  result.write(addressBits(address).toString(16).padStart(digits, '0'), addressAt, 'hex');
  return result;
}

function setOption(fd: number, level: number, name: number, value: number): boolean {
  const bytes = Int32Array.of(value);
  return setsockopt(fd, level, name, bytes, bytes.byteLength) === 0;
}

/** What the system call that was made last has failed by, as Node's own errors are: `bind EADDRINUSE 0.0.0.0:62201`. */
export function systemError(syscall: string, { address, port }: BoundPlace): NodeJS.ErrnoException {
  const errno = -koffi.errno();
  const code = getSystemErrorName(errno);
  const error = new Error(`${syscall} ${code} ${address}:${port}`);
  return Object.assign(error, { errno, code, syscall, address, port });
}
