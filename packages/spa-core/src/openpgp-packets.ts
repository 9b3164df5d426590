/** Numbers of packets (RFC 9580 section 5). */
export const TAG = {
  publicKeyEncryptedSessionKey: 1,
  signature: 2,
  onePassSignature: 4,
  compressedData: 8,
  secretKey: 5,
  publicKey: 6,
  secretSubkey: 7,
  literalData: 11,
  publicSubkey: 14,
  symmetricallyEncrypted: 18,
} as const;

/** One packet of an OpenPGP message. */
export interface OpenPgpPacket {
  readonly tag: number;
  readonly body: Buffer;
}

/** The first packet of `message`, and what follows it; null if its header is odd or it is not whole. */
export function firstPacket(
  message: Buffer,
): { readonly packet: OpenPgpPacket; readonly rest: Buffer } | null {
  const header = parseHeader(message);
  if (header === null) return firstPartialPacket(message);
  const end = header.headerLength + header.bodyLength;
  const body = message.subarray(header.headerLength, end);
  return { packet: { tag: header.tag, body }, rest: message.subarray(end) };
}

/** The packets that `message` consists of, to its last octet; null if {@link firstPacket} is null for one of them. */
export function splitPackets(message: Buffer): readonly OpenPgpPacket[] | null {
  const packets: OpenPgpPacket[] = [];
  for (let rest = message; rest.length > 0; ) {
    const first = firstPacket(rest);
    if (first === null) return null;
    packets.push(first.packet);
    rest = first.rest;
  }
  return packets;
}

/** The multiprecision integer (RFC 9580 section 3.2) at the beginning of `octets`; null if it is not whole. */
export function readMpi(octets: Buffer): { readonly value: Buffer; readonly rest: Buffer } | null {
  if (octets.length < 2) return null;
  const end = 2 + Math.ceil(octets.readUInt16BE(0) / 8);
  return end <= octets.length ? { value: octets.subarray(2, end), rest: octets.subarray(end) } : null;
}

/** Packets whose body may come in parts (RFC 9580 section 4.2.1.4), the first of 512 octets or more. */
const PARTIAL_TAGS: readonly number[] = [TAG.compressedData, TAG.literalData, TAG.symmetricallyEncrypted];
const FIRST_PART_MIN_BYTES = 512;

/** As {@link firstPacket}, for a body of parts, which is how GnuPG writes an encrypted one that is larger than that. */
function firstPartialPacket(
  message: Buffer,
): { readonly packet: OpenPgpPacket; readonly rest: Buffer } | null {
  const [first = 0] = message;
  const tag = first & 0x3f;
  if ((first & 0xc0) !== 0xc0 || !PARTIAL_TAGS.includes(tag)) return null;
  const parts: Buffer[] = [];
  let rest = message.subarray(1);
  for (let power = partialPower(rest); power !== null; power = partialPower(rest)) {
    const length = 2 ** power;
    if (rest.length < 1 + length || (parts.length === 0 && length < FIRST_PART_MIN_BYTES)) return null;
    parts.push(rest.subarray(1, 1 + length));
    rest = rest.subarray(1 + length);
  }
  // What is left begins like a header without its first octet.
  const last = firstPacketAfter(first, rest);
  return last === null
    ? null
    : { packet: { tag, body: Buffer.concat([...parts, last.body]) }, rest: last.rest };
}

function partialPower([length = 0]: Buffer): number | null {
  return length >= 224 && length < 255 ? length & 0x1f : null;
}

function firstPacketAfter(
  first: number,
  rest: Buffer,
): { readonly body: Buffer; readonly rest: Buffer } | null {
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = rest;
  const header = newHeader(first, a, b, c, d, e);
  if (header === null) return null;
  const end = header.headerLength - 1 + header.bodyLength;
  return end <= rest.length
    ? { body: rest.subarray(header.headerLength - 1, end), rest: rest.subarray(end) }
    : null;
}

/** A multiprecision integer, without the zeros in front. */
export function writeMpi(octets: Buffer): Buffer {
  const start = octets.findIndex((octet) => octet !== 0);
  const value = start < 0 ? Buffer.alloc(0) : octets.subarray(start);
  const unusedBits = Math.clz32(value[0] ?? 0xff) - 24;
  const bits = value.length * 8 - unusedBits;
  return Buffer.concat([Buffer.of(bits >> 8, bits & 0xff), value]);
}

/** A packet with a header of the new format (RFC 9580 section 4.2.1), of less than 8384 octets. */
export function writePacket(tag: number, body: Buffer): Buffer {
  const { length } = body;
  const size =
    length < 192 ? Buffer.of(length) : Buffer.of(192 + ((length - 192) >> 8), (length - 192) & 0xff);
  return Buffer.concat([Buffer.of(0xc0 | tag), size, body]);
}

/** The header of a packet: what it is, and how long. */
export interface Header {
  readonly tag: number;
  readonly headerLength: number;
  readonly bodyLength: number;
}

/** The header of the packet at `at` in old or new format (RFC 9580 section 4.2); null if partial or beyond the end. */
export function parseHeader(message: Uint8Array, at = 0): Header | null {
  const octet = (index: number): number => message[at + index] ?? 0;
  const [first, a, b, c, d, e] = [octet(0), octet(1), octet(2), octet(3), octet(4), octet(5)];
  if ((first & 0x80) === 0) return null;
  const header = (first & 0x40) === 0 ? oldHeader(first, a, b, c, d) : newHeader(first, a, b, c, d, e);
  return header !== null && at + header.headerLength + header.bodyLength <= message.length ? header : null;
}

/** A header of the old format, by its octets: see {@link parseHeader}. */
function oldHeader(first: number, a: number, b: number, c: number, d: number): Header | null {
  const tag = (first >> 2) & 0x0f;
  switch (first & 3) {
    case 0:
      return { tag, headerLength: 2, bodyLength: a };
    case 1:
      return { tag, headerLength: 3, bodyLength: (a << 8) | b };
    case 2:
      return { tag, headerLength: 5, bodyLength: ((a << 24) | (b << 16) | (c << 8) | d) >>> 0 };
    default:
      return null;
  }
}

function newHeader(first: number, a: number, b: number, c: number, d: number, e: number): Header | null {
  const tag = first & 0x3f;
  if (a < 192) return { tag, headerLength: 2, bodyLength: a };
  if (a < 224) return { tag, headerLength: 3, bodyLength: ((a - 192) << 8) + b + 192 };
  if (a === 255) return { tag, headerLength: 6, bodyLength: ((b << 24) | (c << 16) | (d << 8) | e) >>> 0 };
  return null;
}
