import { constants, type KeyObject, privateDecrypt, randomBytes } from 'node:crypto';

/** A session key of an OpenPGP message, as the OpenPGP library takes it. */
export interface SessionKey {
  readonly algorithm: 'aes128' | 'aes192' | 'aes256';
  readonly data: Uint8Array;
}

/** What can stand inside: algorithm number, key, two octets of checksum (RFC 9580 section 5.1.3). */
const LAYOUTS = [
  { algorithm: 'aes128', number: 7, keyBytes: 16 },
  { algorithm: 'aes192', number: 8, keyBytes: 24 },
  { algorithm: 'aes256', number: 9, keyBytes: 32 },
] as const;

/**
 * The session key that was encrypted to an RSA key with PKCS#1 v1.5 padding (RFC 8017 section 7.2).
 *
 * The padding is taken off here because Node 20 refuses to. A block with wrong padding gives a random session key,
 * and the work is the same for every block, so that neither result nor time tells an attacker which it was.
 */
export function decryptRsaSessionKey(key: KeyObject, encrypted: Uint8Array): SessionKey {
  const size = (key.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  const padded = Buffer.alloc(size);
  padded.set(encrypted.subarray(-size), Math.max(0, size - encrypted.length));
  return unpadSessionKey(rawDecrypt(key, padded), randomBytes(32));
}

/** The session key in a decrypted block, or `fallback` as an AES-256 key. */
export function unpadSessionKey(block: Uint8Array, fallback: Uint8Array): SessionKey {
  let chosen: SessionKey = { algorithm: 'aes256', data: fallback };
  for (const layout of LAYOUTS) {
    const data = block.subarray(block.length - 2 - layout.keyBytes, block.length - 2);
    const candidates = [chosen, { algorithm: layout.algorithm, data }] as const;
    chosen = candidates[fits(block, layout.number, layout.keyBytes)];
  }
  return chosen;
}

/** 1 if the block is 00 02, eight or more octets that are not zero, 00, and the layout; 0 if not. No early exit. */
function fits(block: Uint8Array, algorithm: number, keyBytes: number): 0 | 1 {
  const separator = block.length - 4 - keyBytes;
  let wrong =
    byte(block, 0) | (byte(block, 1) ^ 2) | byte(block, separator) | (byte(block, separator + 1) ^ algorithm);
  for (let i = 2; i < separator; i++) wrong |= isZero(byte(block, i));
  let checksum = 0;
  for (let i = separator + 2; i < block.length - 2; i++) checksum += byte(block, i);
  wrong |= (checksum & 0xffff) ^ ((byte(block, block.length - 2) << 8) | byte(block, block.length - 1));
  return isZero(wrong);
}

function byte(block: Uint8Array, index: number): number {
  return block[index] ?? 0;
}

/** 1 for 0, else 0, without a branch. For 0 <= value < 2^31. */
function isZero(value: number): 0 | 1 {
  return (((value - 1) >>> 31) & 1) as 0 | 1;
}

/** A number that is not below the modulus cannot be decrypted; it is treated as a block of wrong padding. */
function rawDecrypt(key: KeyObject, padded: Buffer): Buffer {
  try {
    return privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, padded);
  } catch {
    return Buffer.alloc(padded.length);
  }
}
