import { CHARACTERS, encodeBase64, sextetAt } from './base64.ts';
import { parseHeader, TAG } from './openpgp-packets.ts';

// fwknop cuts a fixed prefix off the base64 text and puts it back at the other end. For AES that is exact. For
// OpenPGP it is "hQ", which fits only a first packet with the header 85 0x: old format, tag 1, two-octet length
// (RFC 9580 section 4.2.2). Another header is re-framed so that the receiver's reconstruction is exact.

/** How a packet is encrypted, as its first character tells. */
export type PacketKind = 'aes' | 'openpgp';

/** What the sender cuts off, and the receiver puts back. */
export const PREFIX: Readonly<Record<PacketKind, string>> = { aes: 'U2FsdGVkX1', openpgp: 'hQ' };

const AES_PREFIXES = [PREFIX.aes];

const OLD_FORMAT_PKESK_TWO_OCTETS = 0x85;
const PKESK_VERSIONS = [3, 6];
/** What gpg writes, whose header the stock client damages. */
const STOCK_PKESK_VERSION = 3;

/** The kind of a packet whose prefix was cut off: the last bits of "Salted__" leave only four first characters. */
export function packetKind(packet: string): PacketKind {
  return '89+/'.includes(packet.charAt(0)) ? 'aes' : 'openpgp';
}

/** Characters that a packet may have at a place: one of `texts`, all of one length, from the character `at` on. */
export interface Beginning {
  readonly at: number;
  readonly texts: readonly string[];
}

/**
 * How packets begin, whatever their keys: a text that begins in none of these ways is none. What is easily seen by a packet
 * filter, which knows octets at places, and much less than {@link candidatePrefixes} asks for.
 */
export function packetBeginnings(): readonly Beginning[] {
  const characters = [...CHARACTERS];
  const pairs = characters.flatMap((first) => characters.map((second) => first + second));
  return [
    { at: 0, texts: characters.filter((text) => packetKind(text) === 'aes') },
    // The version of the first packet of OpenPGP, behind the header that stands for it and behind that of a stock client.
    { at: 2, texts: pairs.filter((text) => PKESK_VERSIONS.includes(versionAfterPrefix(text, 0))) },
    { at: 0, texts: pairs.filter((text) => versionAfterStockPrefix(text, 0) === STOCK_PKESK_VERSION) },
  ];
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

/** The texts that a packet without its prefix and MAC can have been: see {@link candidatePrefixes}. */
export function candidateTexts(kind: PacketKind, stripped: string): readonly string[] {
  return candidatePrefixes(kind, stripped).map((prefix) => prefix + stripped);
}

/**
 * The prefixes that a packet without its prefix and MAC can have had; most often one, none for junk.
 *
 * The stock client cuts two characters whatever they are: with an ECC recipient these are "h" and one of A..P,
 * the high half of a one-octet length. Of those only the ones are tried that lead to the beginning of a packet.
 */
export function candidatePrefixes(kind: PacketKind, stripped: string): readonly string[] {
  return kind === 'aes' ? AES_PREFIXES : openPgpPrefixes(stripped);
}

/**
 * The prefixes with which the text begins with a whole PKESK of version 3 or 6 that another packet follows. Junk comes here before
 * any HMAC is looked at, so nothing is decoded but the bits that tell.
 */
function openPgpPrefixes(stripped: string): readonly string[] {
  const s0 = sextetAt(stripped, 0);
  const s1 = sextetAt(stripped, 1);
  const prefixes: string[] = [];
  // Header 85 hi lo, then the version.
  if (PKESK_VERSIONS.includes(versionAfterPrefix(stripped, 2))) {
    const length = ((s0 >> 2) << 8) | ((s0 & 3) << 6) | s1;
    if (beginsPacketAt(stripped, 3 + length)) prefixes.push(PREFIX.openpgp);
  }
  // Header 84 length, then the version; the high half of the length is what was cut off.
  if (versionAfterStockPrefix(stripped, 0) === STOCK_PKESK_VERSION) {
    for (let high = 0; high < 16; high++) {
      const length = (high << 4) | (s0 >> 2);
      if (beginsPacketAt(stripped, 2 + length)) prefixes.push(`h${CHARACTERS.charAt(high)}`);
    }
  }
  return prefixes;
}

/** The octet behind `85 hi lo`, in the characters at `at` and after: of "hQ" and two more, all of the length and half of one. */
function versionAfterPrefix(text: string, at: number): number {
  return (sextetAt(text, at) << 2) | (sextetAt(text, at + 1) >> 4);
}

/** The octet behind `84 length`. */
function versionAfterStockPrefix(text: string, at: number): number {
  return ((sextetAt(text, at) & 3) << 6) | sextetAt(text, at + 1);
}

/** True if there is an octet at `index` of what the text encodes, two characters of prefix included, with its first bit set. */
function beginsPacketAt(stripped: string, index: number): boolean {
  const character = Math.floor((index * 8) / 6) - 2;
  const bit = (index * 8) % 6;
  if (character < 0 || character + 1 >= stripped.length) return false;
  return ((sextetAt(stripped, character) >> (5 - bit)) & 1) === 1;
}
