import { decodeBase64, encodeBase64 } from './base64.ts';
import { SpaError } from './errors.ts';
import { oldHeader, parseHeader, TAG } from './openpgp-packets.ts';

// fwknop cuts a fixed prefix off the base64 text and puts it back at the other end. For AES that is exact. For
// OpenPGP it is "hQ", which fits only a first packet with the header 85 0x: old format, tag 1, two-octet length
// (RFC 9580 section 4.2.2). Another header is re-framed so that the receiver's reconstruction is exact.

/** How a packet is encrypted, as its first character tells. */
export type PacketKind = 'aes' | 'openpgp';

/** What the sender cuts off, and the receiver puts back. */
export const PREFIX: Readonly<Record<PacketKind, string>> = { aes: 'U2FsdGVkX1', openpgp: 'hQ' };

const OLD_FORMAT_PKESK_TWO_OCTETS = 0x85;
const OLD_FORMAT_PKESK_ONE_OCTET = 0x84;
const PKESK_VERSION = 3;

/** The kind of a packet whose prefix was cut off: the last bits of "Salted__" leave only four first characters. */
export function packetKind(packet: string): PacketKind {
  return '89+/'.includes(packet.charAt(0)) ? 'aes' : 'openpgp';
}

/** The base64 text of a "Salted__" container. */
export function frameSymmetric(blob: Uint8Array): string {
  return encodeBase64(blob);
}

/**
 * The base64 text of a binary OpenPGP message, its first packet's header rewritten to `85 hi lo`.
 * @throws RangeError unless the message begins with a public-key encrypted session key of less than 4096 bytes.
 */
export function frameOpenPgp(message: Uint8Array): string {
  const header = parseHeader(message);
  if (header === null || header.tag !== TAG.publicKeyEncryptedSessionKey || header.bodyLength >= 0x1000) {
    throw new RangeError('an OpenPGP message for SPA begins with a public-key encrypted session key');
  }
  const rest = message.subarray(header.headerLength);
  const length = header.bodyLength;
  return encodeBase64(
    Buffer.concat([Buffer.of(OLD_FORMAT_PKESK_TWO_OCTETS, length >> 8, length & 0xff), rest]),
  );
}

/**
 * The texts that a packet without its prefix and MAC can have been; most often one, none for junk.
 *
 * The stock client cuts two characters whatever they are: with an ECC recipient these are "h" and one of A..P,
 * the high half of a one-octet length. Of those only the ones are tried that lead to the beginning of a packet.
 */
export function candidateTexts(kind: PacketKind, stripped: string): readonly string[] {
  if (kind === 'aes') return [PREFIX.aes + stripped];
  const normalised = PREFIX.openpgp + stripped;
  const spelled = [...'ABCDEFGHIJKLMNOP'].map((character) => `h${character}${stripped}`);
  return [normalised, ...spelled].filter(beginsWithPkesk);
}

/** The bytes of a text. @throws SpaError `packet-base64` unless it is canonical base64. */
export function decodeText(text: string): Buffer {
  const bytes = decodeBase64(text);
  if (bytes === null) throw new SpaError('packet-base64', 'the packet is not canonical base64');
  return bytes;
}

/**
 * True if the text begins with a whole PKESK of version 3 that another packet follows. Junk comes here before any HMAC is
 * looked at, so only the octets that tell are decoded.
 */
function beginsWithPkesk(text: string): boolean {
  const [first = 0, a = 0, b = 0, c = 0, d = 0] = Buffer.from(text.slice(0, 8), 'base64');
  if (first !== OLD_FORMAT_PKESK_ONE_OCTET && first !== OLD_FORMAT_PKESK_TWO_OCTETS) return false;
  const header = oldHeader(first, a, b, c, d);
  if (header === null || octetAt(text, header.headerLength) !== PKESK_VERSION) return false;
  const next = octetAt(text, header.headerLength + header.bodyLength);
  return next !== undefined && (next & 0x80) !== 0;
}

/** One octet of base64 text: of the four characters that hold it. */
function octetAt(text: string, index: number): number | undefined {
  const start = Math.floor(index / 3) * 4;
  return Buffer.from(text.slice(start, start + 4), 'base64')[index % 3];
}
