import { inflateRawSync, inflateSync } from 'node:zlib';
import { firstPacket, splitPackets, TAG } from './openpgp-packets.ts';

/** A packet has 1.5 kB of text at most; what inflates to more was made to hurt. */
export const INFLATED_MAX_BYTES = 16_384;

/** Numbers of compression algorithms (RFC 9580 section 9.4). */
const ZIP = 1;
const ZLIB = 2;
/** First octet of a compressed packet whose length is "until the end" (section 4.2.1.4), as GnuPG writes it. */
const COMPRESSED_UNTIL_END = 0xa3;

/**
 * What a message inflates to that is one compressed packet (section 5.6), ZIP or ZLIB.
 * Null if it is anything else, damaged, not used up to its last octet, or larger than {@link INFLATED_MAX_BYTES}.
 */
export function inflate(message: Buffer): Buffer | null {
  const body = compressedBody(message);
  if (body === null) return null;
  const data = body.subarray(1);
  const options = { maxOutputLength: INFLATED_MAX_BYTES, info: true };
  try {
    if (body[0] === ZIP) return wholeOf(inflateRawSync(data, options), data);
    if (body[0] === ZLIB) return wholeOf(inflateSync(data, options), data);
  } catch {
    return null;
  }
  return null;
}

/**
 * True if all that `message` is made of, compressed parts included, is cheap to read.
 *
 * BZip2 is not: 60 octets of it stand for a block of 900,000, all of which is computed before the first octet comes out,
 * so a limit of the output does not help. Nor is what cannot be looked through here.
 */
export function isCheapToRead(message: Buffer): boolean {
  const packets = splitPackets(inflate(message) ?? message);
  return packets?.every(({ tag }) => tag !== TAG.compressedData) ?? false;
}

/** The body of the one compressed packet that `message` is; null if it is not. */
function compressedBody(message: Buffer): Buffer | null {
  if (message[0] === COMPRESSED_UNTIL_END) return message.subarray(1);
  const first = firstPacket(message);
  return first?.packet.tag === TAG.compressedData && first.rest.length === 0 ? first.packet.body : null;
}

/** What Node's types do not say of the option `info`. */
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

function wholeOf(result: unknown, data: Buffer): Buffer | null {
  const { buffer, engine } = result as Inflated;
  return engine.bytesWritten === data.length ? buffer : null;
}
