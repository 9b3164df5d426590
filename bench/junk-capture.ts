import { addresses } from 'spa-lab';
import type { Junk } from './junk.ts';
import { type Sources, spoofedSource, type UdpSource } from './many-addresses.ts';

/** As many datagrams are in a capture, and then come again. */
export const DATAGRAMS = 131_072;

/** The hardware addresses at the ends of a cable. */
export interface CableEnds {
  readonly from: Buffer;
  readonly to: Buffer;
}

/**
 * The content of a capture file (pcap-savefile(5)): junk for the bastion's SPA port, in Ethernet frames with all checksums.
 * No two datagrams are the same.
 */
export function captureOf({ texts, keptLength }: Junk, sources: Sources, { from, to }: CableEnds): Buffer {
  const payloads = texts.map((text) => Buffer.from(text));
  const longest = Math.max(...payloads.map(({ length }) => length));
  const file = Buffer.alloc(FILE_HEADER.length + DATAGRAMS * (RECORD_LENGTH + HEADERS_LENGTH + longest));
  FILE_HEADER.copy(file);
  const ethernet = Buffer.concat([to, from, IPV4_FOLLOWS]);
  let end = FILE_HEADER.length;
  for (let index = 0; index < DATAGRAMS; index++) {
    const payload = payloads[index % payloads.length];
    if (payload === undefined) throw new RangeError('there is no junk');
    writeNumber(payload.subarray(keptLength + NUMBER_AT), index);
    const length = HEADERS_LENGTH + payload.length;
    file.writeUInt32LE(length, end + 8);
    file.writeUInt32LE(length, end + 12);
    end += RECORD_LENGTH;
    ethernet.copy(file, end);
    const source = sources === 'one' ? oneSource(index) : spoofedSource();
    writePacket(file.subarray(end + ethernet.length, end + length), source, payload);
    end += length;
  }
  return file.subarray(0, end);
}

/** Microseconds, version 2.4, frames of any length, Ethernet. */
const FILE_HEADER = Buffer.from('d4c3b2a1020004000000000000000000ffff000001000000', 'hex');
const RECORD_LENGTH = 16;
const IPV4_FOLLOWS = Buffer.from([0x08, 0x00]);
const IPV4_LENGTH = 20;
const UDP_LENGTH = 8;
const HEADERS_LENGTH = 14 + IPV4_LENGTH + UDP_LENGTH;
/** Version 4, a header of five words. */
const VERSION_AND_LENGTH = 0x45;
const TIME_TO_LIVE = 64;
const UDP = 17;
/** Where the addresses begin: what follows counts in the checksum of UDP too. */
const ADDRESSES_AT = 12;
const SPA_PORT = 62_201;

const DIGITS = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
/** Where in a text, after what is kept of it, its number is. */
const NUMBER_AT = 8;
const NUMBER_LENGTH = 3;

function writeNumber(text: Buffer, number: number): void {
  for (let digit = 0, rest = number; digit < NUMBER_LENGTH; digit++, rest >>= 6) {
    text[digit] = DIGITS[rest % 64] ?? 0;
  }
}

/** A program with a few sockets. */
function oneSource(index: number): UdpSource {
  return { address: toNumber(addresses.other4), port: 40_000 + (index % 4) };
}

/** `packet` is all zeros. */
function writePacket(packet: Buffer, { address, port }: UdpSource, payload: Buffer): void {
  const udp = packet.subarray(IPV4_LENGTH);
  packet[0] = VERSION_AND_LENGTH;
  packet.writeUInt16BE(packet.length, 2);
  packet[8] = TIME_TO_LIVE;
  packet[9] = UDP;
  packet.writeUInt32BE(address, ADDRESSES_AT);
  packet.writeUInt32BE(toNumber(addresses.server4), ADDRESSES_AT + 4);
  packet.writeUInt16BE(checksum(packet.subarray(0, IPV4_LENGTH), 0), 10);
  udp.writeUInt16BE(port, 0);
  udp.writeUInt16BE(SPA_PORT, 2);
  udp.writeUInt16BE(udp.length, 4);
  payload.copy(udp, UDP_LENGTH);
  // None is said by 0, and 0 by the other zero.
  udp.writeUInt16BE(checksum(packet.subarray(ADDRESSES_AT), UDP + udp.length) || 0xffff, 6);
}

/** RFC 1071, with what counts besides. */
function checksum(octets: Buffer, besides: number): number {
  let sum = besides;
  for (let at = 0; at < octets.length; at += 2) sum += ((octets[at] ?? 0) << 8) | (octets[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function toNumber(address: string): number {
  return address.split('.').reduce((number, octet) => number * 256 + Number(octet), 0);
}
