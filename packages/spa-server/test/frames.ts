import { addressBits, type IpAddress, ipFamily } from 'spa-core';

/** What a frame is made of. */
export interface FramePlan {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly port: number;
  readonly payload: Buffer;
}

/** A UDP datagram with its head. */
export function udp({ port, payload }: FramePlan): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(40_000, 0);
  head.writeUInt16BE(port, 2);
  head.writeUInt16BE(8 + payload.length, 4);
  return Buffer.concat([head, payload]);
}

/** A TCP segment with `options` octets of options. */
export function tcp(
  { port, payload }: FramePlan,
  { flags = 0x18, options = 12 }: { flags?: number; options?: number } = {},
): Buffer {
  const head = Buffer.alloc(20 + options, 1);
  head.writeUInt16BE(40_000, 0);
  head.writeUInt16BE(port, 2);
  head[12] = ((20 + options) / 4) << 4;
  head[13] = flags;
  return Buffer.concat([head, payload]);
}

/** An IPv4 packet. `fragment`: flags and offset as they are on the wire. */
export function ipv4(
  { source, destination }: FramePlan,
  protocol: number,
  carried: Buffer,
  { options = 0, fragment = 0x4000 }: { options?: number; fragment?: number } = {},
): Buffer {
  const head = Buffer.alloc(20 + options, 1);
  head[0] = 0x40 | ((20 + options) / 4);
  head.writeUInt16BE(head.length + carried.length, 2);
  head.writeUInt16BE(fragment, 6);
  head[9] = protocol;
  addressBytes(source).copy(head, 12);
  addressBytes(destination).copy(head, 16);
  return Buffer.concat([head, carried]);
}

/** An IPv6 packet; `extensions` stand between its head and what it carries, and lead there themselves. */
export function ipv6(
  { source, destination }: FramePlan,
  protocol: number,
  carried: Buffer,
  extensions: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(40);
  head[0] = 0x60;
  head.writeUInt16BE(extensions.length + carried.length, 4);
  head[6] = protocol;
  addressBytes(source).copy(head, 8);
  addressBytes(destination).copy(head, 24);
  return Buffer.concat([head, extensions, carried]);
}

/** An Ethernet frame. */
export function ethernet(etherType: number, packet: Buffer, tags: readonly number[] = []): Buffer {
  const types = [...tags.flatMap((tag) => [tag, 5]), etherType];
  return Buffer.concat([Buffer.alloc(12, 2), words(types), packet]);
}

/** 16-bit numbers as they are on the wire. */
export function words(numbers: readonly number[]): Buffer {
  return Buffer.from(numbers.flatMap((number) => [number >> 8, number & 255]));
}

/** A capture in the pcap format. */
export function pcap(
  linkType: number,
  frames: readonly Buffer[],
  { order = 'LE', magic = 0xa1b2c3d4 }: { order?: 'LE' | 'BE'; magic?: number } = {},
): Buffer {
  const numbers = (...values: readonly number[]): Buffer => {
    const bytes = Buffer.alloc(values.length * 4);
    for (const [index, value] of values.entries()) {
      if (order === 'LE') bytes.writeUInt32LE(value, index * 4);
      else bytes.writeUInt32BE(value, index * 4);
    }
    return bytes;
  };
  const version = order === 'LE' ? 0x0004_0002 : 0x0002_0004;
  return Buffer.concat([
    numbers(magic, version, 0, 0, 2048, linkType),
    ...frames.flatMap((frame) => [numbers(1, 2, frame.length, frame.length), frame]),
  ]);
}

function addressBytes(address: IpAddress): Buffer {
  const digits = ipFamily(address) === 4 ? 8 : 32;
  return Buffer.from(addressBits(address).toString(16).padStart(digits, '0'), 'hex');
}
