import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { SpaError } from './errors.ts';
import type { SymmetricKey } from './keys.ts';

// The container is that of `openssl enc -md md5`: "Salted__", 8 bytes of salt, AES-256-CBC with PKCS#7 padding.

const MAGIC = Buffer.from('Salted__', 'latin1');
const SALT_BYTES = 8;
const BLOCK_BYTES = 16;

/** Encrypts `text` (one byte per character) under `key` and 8 bytes of `salt`. */
export function encryptSymmetric(key: SymmetricKey, text: string, salt: Uint8Array): Buffer {
  if (salt.length !== SALT_BYTES) throw new RangeError(`a salt has ${SALT_BYTES} bytes`);
  const derived = deriveKey(key, salt);
  const cipher = createCipheriv('aes-256-cbc', derived.key, derived.iv);
  return Buffer.concat([MAGIC, salt, cipher.update(text, 'latin1'), cipher.final()]);
}

/** The inverse of {@link encryptSymmetric}. @throws SpaError `decrypt`, whatever is wrong. */
export function decryptSymmetric(key: SymmetricKey, blob: Uint8Array): string {
  const ciphertext = blob.subarray(MAGIC.length + SALT_BYTES);
  if (
    ciphertext.length === 0 ||
    ciphertext.length % BLOCK_BYTES !== 0 ||
    !MAGIC.equals(blob.subarray(0, MAGIC.length))
  ) {
    throw new SpaError('decrypt', 'the packet does not decrypt');
  }
  const derived = deriveKey(key, blob.subarray(MAGIC.length, MAGIC.length + SALT_BYTES));
  const decipher = createDecipheriv('aes-256-cbc', derived.key, derived.iv);
  try {
    return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString('latin1');
  } catch {
    throw new SpaError('decrypt', 'the packet does not decrypt');
  }
}

/** OpenSSL's EVP_BytesToKey with MD5 and one round: the wire's, not our choice. */
function deriveKey(key: SymmetricKey, salt: Uint8Array): { readonly key: Buffer; readonly iv: Buffer } {
  const rounds: Buffer[] = [];
  for (let previous = Buffer.alloc(0); rounds.length < 3; rounds.push(previous)) {
    previous = createHash('md5').update(previous).update(key.bytes()).update(salt).digest();
  }
  const [d1 = Buffer.alloc(0), d2 = Buffer.alloc(0), d3 = Buffer.alloc(0)] = rounds;
  return { key: Buffer.concat([d1, d2]), iv: d3 };
}
