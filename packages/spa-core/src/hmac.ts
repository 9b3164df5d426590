import { createHmac, timingSafeEqual } from 'node:crypto';
import { encodeBase64 } from './base64.ts';
import { digestLength, hashOf } from './digest.ts';
import type { HmacKey } from './keys.ts';

/** Unpadded base64 of the HMAC (RFC 2104) of `text`, whose prefix is included. */
export function hmacOf(key: HmacKey, text: string): string {
  return encodeBase64(createHmac(hashOf(key.digest), key.bytes()).update(text, 'latin1').digest());
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
