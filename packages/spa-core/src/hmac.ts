import { hash, timingSafeEqual } from 'node:crypto';
import { type DigestName, digestLength, hashOf } from './digest.ts';
import type { HmacKey } from './keys.ts';

// Junk is what HMACs are computed for, tens of thousands in a second. Node's createHmac takes twice the time of two
// one-shot hashes, most of it for the objects that it makes; so RFC 2104 is spelled out here.

/** Unpadded base64 of the HMAC (RFC 2104) of `text`, one byte per character, whose prefix is included. */
export function hmacOf(key: HmacKey, text: string): string {
  const { inner, outer } = padsOf(key);
  const name = hashOf(key.digest);
  const digest = hash(name, concatenated(inner, text), 'binary');
  return hash(name, concatenated(outer, digest), 'base64').slice(0, digestLength(key.digest));
}

/** Splits a packet into its text and the MAC at its end, by the length of the key's MAC. */
export function splitHmac(key: HmacKey, packet: string): { readonly text: string; readonly mac: string } {
  const cut = Math.max(0, packet.length - digestLength(key.digest));
  return { text: packet.slice(0, cut), mac: packet.slice(cut) };
}

/** True if `mac` is the MAC of `text`. Takes the same time wherever they differ. */
export function verifyHmac(key: HmacKey, text: string, mac: string): boolean {
  const expected = Buffer.from(hmacOf(key, text), 'latin1');
  const actual = Buffer.from(mac, 'latin1');
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}

/** A key, padded to a block of its hash, as it goes before the text and before the inner digest. */
interface Pads {
  readonly inner: Buffer;
  readonly outer: Buffer;
}

const PADS = new WeakMap<HmacKey, Pads>();

/** Octets that each hash takes at a time (FIPS 180-4, FIPS 202). */
const BLOCK_BYTES: Readonly<Record<DigestName, number>> = {
  md5: 64,
  sha1: 64,
  sha256: 64,
  sha384: 128,
  sha512: 128,
  sha3_256: 136,
  sha3_512: 72,
};

function padsOf(key: HmacKey): Pads {
  const known = PADS.get(key);
  if (known !== undefined) return known;
  const size = BLOCK_BYTES[key.digest];
  const secret = key.bytes();
  const block = Buffer.alloc(size);
  block.set(secret.length > size ? hash(hashOf(key.digest), secret, 'buffer') : secret);
  const pads = {
    inner: Buffer.from(block.map((octet) => octet ^ 0x36)),
    outer: Buffer.from(block.map((octet) => octet ^ 0x5c)),
  };
  PADS.set(key, pads);
  return pads;
}

/** Where the hash's input is put together; what is in it lasts until the next call. */
let scratch = Buffer.alloc(2048);

function concatenated(pad: Buffer, text: string): Buffer {
  if (scratch.length < pad.length + text.length) scratch = Buffer.alloc(pad.length + text.length);
  scratch.set(pad);
  scratch.write(text, pad.length, 'latin1');
  return scratch.subarray(0, pad.length + text.length);
}
