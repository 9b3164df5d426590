import { createCipheriv, createDecipheriv, hash } from 'node:crypto';
import { CIPHER_MODES, type CipherMode } from './cipher-mode.ts';
import { SpaError } from './errors.ts';
import type { SymmetricKey } from './keys.ts';

// The container is that of `openssl enc -md md5`: "Salted__", 8 bytes of salt, AES-256. Unlike there the text is padded
// (PKCS#7) in all modes, those that need none included.

const MAGIC = Buffer.from('Salted__', 'latin1');
const SALT_BYTES = 8;
const BLOCK_BYTES = 16;

/** Encrypts `text` (one byte per character) under `key` and 8 bytes of `salt`. */
export function encryptSymmetric(key: SymmetricKey, text: string, salt: Uint8Array): Buffer {
  if (salt.length !== SALT_BYTES) throw new RangeError(`a salt has ${SALT_BYTES} bytes`);
  const derived = deriveKey(key, salt);
  const cipher = createCipheriv(CIPHER_MODES[key.mode].cipher, derived.key, ivFor(key.mode, derived.iv));
  cipher.setAutoPadding(false);
  return Buffer.concat([MAGIC, salt, cipher.update(pad(text)), cipher.final()]);
}

/** The inverse of {@link encryptSymmetric}. @throws SpaError `decrypt`, whatever is wrong. */
export function decryptSymmetric(key: SymmetricKey, blob: Uint8Array): string {
  const text = tryDecrypt(key, blob);
  if (text === null) throw new SpaError('decrypt', 'the packet does not decrypt');
  return text;
}

/** True if the container decrypts with the key, and for one container in 256 though it does not. Throws nothing: junk is cheap. */
export function decryptsWith(key: SymmetricKey, blob: Uint8Array): boolean {
  return tryDecrypt(key, blob) !== null;
}

/** The text; null, whatever is wrong. */
function tryDecrypt(key: SymmetricKey, blob: Uint8Array): string | null {
  const ciphertext = blob.subarray(MAGIC.length + SALT_BYTES);
  if (
    ciphertext.length === 0 ||
    ciphertext.length % BLOCK_BYTES !== 0 ||
    !MAGIC.equals(blob.subarray(0, MAGIC.length))
  ) {
    return null;
  }
  const derived = deriveKey(key, blob.subarray(MAGIC.length, MAGIC.length + SALT_BYTES));
  const decipher = createDecipheriv(CIPHER_MODES[key.mode].cipher, derived.key, ivFor(key.mode, derived.iv));
  // The error that final() throws for wrong padding costs more than all the rest.
  decipher.setAutoPadding(false);
  const padded = decipher.update(ciphertext);
  const length = unpaddedLength(padded);
  return length === null ? null : padded.toString('latin1', 0, length);
}

/** PKCS#7 padding (RFC 5652 section 6.3). */
function pad(text: string): Buffer {
  const count = BLOCK_BYTES - (text.length % BLOCK_BYTES);
  return Buffer.concat([Buffer.from(text, 'latin1'), Buffer.alloc(count, count)]);
}

/** ECB takes none. */
function ivFor(mode: CipherMode, iv: Buffer): Buffer | null {
  return mode === 'ecb' ? null : iv;
}

/** Length without PKCS#7 padding (RFC 5652 section 6.3); null if there is none. */
function unpaddedLength(padded: Buffer): number | null {
  const count = padded[padded.length - 1] ?? 0;
  if (count < 1 || count > BLOCK_BYTES) return null;
  const start = padded.length - count;
  return padded.subarray(start).every((octet) => octet === count) ? start : null;
}

/** Before fwknop 2.5 a key had 16 bytes: a shorter one was filled up with the digit 0. */
function secretOf(key: SymmetricKey): Buffer {
  if (key.mode !== 'legacy') return key.bytes();
  return Buffer.concat([key.bytes(), Buffer.alloc(LEGACY_KEY_BYTES, '0')]).subarray(0, LEGACY_KEY_BYTES);
}

const LEGACY_KEY_BYTES = 16;

/** OpenSSL's EVP_BytesToKey with MD5 and one round: the wire's, not our choice. */
function deriveKey(key: SymmetricKey, salt: Uint8Array): { readonly key: Buffer; readonly iv: Buffer } {
  const secret = Buffer.concat([secretOf(key), salt]);
  const first = hash('md5', secret, 'buffer');
  const second = hash('md5', Buffer.concat([first, secret]), 'buffer');
  const third = hash('md5', Buffer.concat([second, secret]), 'buffer');
  return { key: Buffer.concat([first, second]), iv: third };
}
