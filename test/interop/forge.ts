import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto';
import type { CipherMode, DigestName } from 'spa-core';
import type { Secrets } from './libfko.ts';

// A packet put together by hand, so that each step can be done wrongly, and by other code than the one that is tested.

const PREFIX = 'U2FsdGVkX1';
const MAGIC = Buffer.from('Salted__', 'latin1');

const CIPHERS: Readonly<Record<CipherMode, string>> = {
  cbc: 'aes-256-cbc',
  ecb: 'aes-256-ecb',
  cfb: 'aes-256-cfb',
  ofb: 'aes-256-ofb',
  ctr: 'aes-256-ctr',
  legacy: 'aes-256-cbc',
};

/** Fields of a wire text and their digest. */
export function withDigest(encoded: string, digest: DigestName = 'sha256'): string {
  return `${encoded}:${digestText(digest, encoded)}`;
}

/** Unpadded base64 of the digest of `text`. */
export function digestText(digest: DigestName, text: string): string {
  return bare(createHash(hashName(digest)).update(text, 'latin1').digest('base64'));
}

/** Unpadded base64. */
export function base64(text: string): string {
  return bare(Buffer.from(text, 'latin1').toString('base64'));
}

/** The padding of PKCS#7. */
export function padding(text: string): Buffer {
  const count = 16 - (text.length % 16);
  return Buffer.alloc(count, count);
}

/** The packet of a wire text. `pad` makes it a multiple of 16 bytes. */
export function forge(text: string, secrets: Secrets, salt: Uint8Array, pad: Buffer = padding(text)): string {
  const cipher = createCipheriv(...parameters(secrets, salt));
  cipher.setAutoPadding(false);
  const encrypted = Buffer.concat([cipher.update(text, 'latin1'), cipher.update(pad), cipher.final()]);
  return authenticate(bare(Buffer.concat([MAGIC, salt, encrypted]).toString('base64')), secrets);
}

/** The packet of a base64 text: without its prefix, with its MAC. */
export function authenticate(text: string, { hmac }: Secrets): string {
  return text.slice(PREFIX.length) + (hmac === null ? '' : mac(hmac, text));
}

/** The base64 text of a packet: with its prefix, if that was left or not, without its MAC. */
export function innerText(packet: string, { hmac }: Secrets): string {
  const text = hmac === null ? packet : packet.slice(0, packet.length - digestText(hmac.digest, '').length);
  return text.startsWith(PREFIX) ? text : PREFIX + text;
}

/** What a base64 text decrypts to, padding included; null if it is no whole number of blocks. */
export function decryptText(text: string, secrets: Secrets): Buffer | null {
  const blob = Buffer.from(text, 'base64');
  const encrypted = blob.subarray(16);
  if (encrypted.length === 0 || encrypted.length % 16 !== 0) return null;
  const decipher = createDecipheriv(...parameters(secrets, blob.subarray(8, 16)));
  decipher.setAutoPadding(false);
  return Buffer.concat([decipher.update(encrypted), decipher.final()]);
}

function mac({ key, digest }: NonNullable<Secrets['hmac']>, text: string): string {
  return bare(createHmac(hashName(digest), key).update(text).digest('base64'));
}

function parameters({ key, mode }: Secrets, salt: Uint8Array): [string, Buffer, Buffer | null] {
  const pass =
    mode === 'legacy'
      ? Buffer.from(Buffer.from(key).toString('latin1').padEnd(16, '0').slice(0, 16), 'latin1')
      : key;
  const rounds = [Buffer.alloc(0)];
  for (let round = 0; round < 3; round++) {
    rounds.push(
      createHash('md5')
        .update(rounds[round] ?? '')
        .update(pass)
        .update(salt)
        .digest(),
    );
  }
  const derived = Buffer.concat(rounds);
  return [CIPHERS[mode], derived.subarray(0, 32), mode === 'ecb' ? null : derived.subarray(32)];
}

function hashName(digest: DigestName): string {
  return digest.replace('_', '-');
}

function bare(text: string): string {
  return text.replaceAll('=', '');
}
