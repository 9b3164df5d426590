import { hash } from 'node:crypto';
import { type DigestName, digestLength, hashOf } from './digest.ts';
import type { HmacKey } from './keys.ts';

// Junk is what HMACs are computed for, tens of thousands in a second. Node's createHmac takes twice the time of two
// one-shot hashes, most of it for the objects that it makes; so RFC 2104 is spelled out here, and nothing is made that
// can be kept.

/** Unpadded base64 of the HMAC (RFC 2104) of `text`, one byte per character, whose prefix is included. */
export function hmacOf(key: HmacKey, text: string): string {
  return compute(key, text, '', 0);
}

/** Splits a packet into its text and the MAC at its end, by the length of the key's MAC. */
export function splitHmac(key: HmacKey, packet: string): { readonly text: string; readonly mac: string } {
  const cut = Math.max(0, packet.length - digestLength(key.digest));
  return { text: packet.slice(0, cut), mac: packet.slice(cut) };
}

/**
 * True if the packet ends in the MAC of what is before it, with its prefix put back. Takes the same time wherever they differ.
 */
export function endsInMac(key: HmacKey, prefix: string, packet: string): boolean {
  const length = digestLength(key.digest);
  const cut = packet.length - length;
  if (cut < 0) return false;
  const expected = compute(key, prefix, packet, cut);
  let difference = 0;
  for (let i = 0; i < length; i++) difference |= expected.charCodeAt(i) ^ packet.charCodeAt(cut + i);
  return difference === 0;
}

/** A key, padded to a block of its hash, as it goes before the text (`inner`) and before the inner digest (`outer`). */
interface Pads {
  readonly hash: string;
  readonly inner: Buffer;
  /** With room for the inner digest. */
  readonly outer: Buffer;
}

const PADS = new WeakMap<HmacKey, Pads>();

/** Octets that each hash takes at a time (FIPS 180-4, FIPS 202), and that it gives. */
const SIZES: Readonly<Record<DigestName, { readonly block: number; readonly digest: number }>> = {
  md5: { block: 64, digest: 16 },
  sha1: { block: 64, digest: 20 },
  sha256: { block: 64, digest: 32 },
  sha384: { block: 128, digest: 48 },
  sha512: { block: 128, digest: 64 },
  sha3_256: { block: 136, digest: 32 },
  sha3_512: { block: 72, digest: 64 },
};

function padsOf(key: HmacKey): Pads {
  const known = PADS.get(key);
  if (known !== undefined) return known;
  const size = SIZES[key.digest];
  const name = hashOf(key.digest);
  const secret = key.bytes();
  const block = Buffer.alloc(size.block);
  block.set(secret.length > size.block ? hash(name, secret, 'buffer') : secret);
  const pads = {
    hash: name,
    inner: Buffer.from(block.map((octet) => octet ^ 0x36)),
    outer: Buffer.concat([block.map((octet) => octet ^ 0x5c), Buffer.alloc(size.digest)]),
  };
  PADS.set(key, pads);
  return pads;
}

/** Unpadded base64 of the HMAC of `head` and the first characters of `tail`. */
function compute(key: HmacKey, head: string, tail: string, tailLength: number): string {
  const { hash: name, inner, outer } = padsOf(key);
  const tailAt = inner.length + head.length;
  const input = scratchOf(tailAt + tailLength);
  input.set(inner);
  if (head.length > 0) input.write(head, inner.length, 'latin1');
  if (tailLength > 0) input.write(tail, tailAt, tailLength, 'latin1');
  outer.write(hash(name, input, 'binary'), inner.length, 'latin1');
  return hash(name, outer, 'base64').slice(0, digestLength(key.digest));
}

/** Where a hash's input is put together; what is in it lasts until the next call. One for each length, all on one memory. */
let scratch = Buffer.alloc(2048);
let scratches: Buffer[] = [];

function scratchOf(length: number): Buffer {
  if (length > scratch.length) {
    scratch = Buffer.alloc(length);
    scratches = [];
  }
  const known = scratches[length];
  if (known !== undefined) return known;
  const view = scratch.subarray(0, length);
  scratches[length] = view;
  return view;
}
