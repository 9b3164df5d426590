import {
  constants,
  createDecipheriv,
  createHash,
  createPublicKey,
  diffieHellman,
  type KeyObject,
  privateDecrypt,
  randomBytes,
} from 'node:crypto';
import type { DecryptionKey } from './native-keys.ts';
import { readMpi, TAG, writePacket } from './openpgp-packets.ts';

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

const PKESK_VERSION = 3;
const PKESK_VERSION_6 = 6;
const RSA_ALGORITHMS = [1, 2];
const ECDH = 18;

/** The key ID of a recipient who is not named (RFC 9580 section 5.1.8). */
export const ANONYMOUS_RECIPIENT = '0000000000000000';

/** Key ID that a PKESK of version 3 or 6 (RFC 9580 section 5.1) names, 16 upper-case digits; null if `body` is none. */
export function recipientOf(body: Buffer): string | null {
  if (body.length <= 10) return null;
  const at = body[0] === PKESK_VERSION ? 1 : body[0] === PKESK_VERSION_6 ? keyIdInVersion6(body) : null;
  if (at === null) return null;
  return at === 0 ? ANONYMOUS_RECIPIENT : body.toString('hex', at, at + 8).toUpperCase();
}

/** Where the key ID is in the fingerprint that a PKESK of version 6 names; 0: it names nobody; null: it is not understood. */
function keyIdInVersion6(body: Buffer): number | null {
  const [, length, keyVersion] = body;
  if (length === 0) return 0;
  if (keyVersion === 4 && length === 21) return 15;
  return keyVersion === 6 && length === 33 ? 3 : null;
}

/** A PKESK of version 3 for each of `keyIds` that its recipient can be: all of them if he is not named. */
export function packetsFor(body: Buffer, keyIds: readonly string[]): readonly Buffer[] {
  if (body[0] !== PKESK_VERSION) return [];
  const named = recipientOf(body);
  const wanted = named === ANONYMOUS_RECIPIENT ? keyIds : keyIds.filter((keyId) => keyId === named);
  return wanted.map((keyId) =>
    writePacket(
      TAG.publicKeyEncryptedSessionKey,
      Buffer.concat([body.subarray(0, 1), Buffer.from(keyId, 'hex'), body.subarray(9)]),
    ),
  );
}

/** The session key in the body of a PKESK of version 3; null if it cannot be for `key`. */
export function decryptSessionKey(key: DecryptionKey, body: Buffer): SessionKey | null {
  const [version] = body;
  const algorithm = body[9] ?? 0;
  if (version !== PKESK_VERSION) return null;
  const first = readMpi(body.subarray(10));
  if (first === null) return null;
  switch (key.kind) {
    case 'rsa':
      if (!RSA_ALGORITHMS.includes(algorithm) || first.rest.length > 0) return null;
      return decryptRsaSessionKey(key.key, first.value);
    case 'x25519':
      return algorithm === ECDH ? decryptX25519SessionKey(key, first.value, first.rest) : null;
  }
}

/**
 * RFC 9580 section 11.5: a shared secret with the sender's ephemeral `point`, from it a key, and with that the wrapped
 * session key. Null if it is not ours or was damaged; the wrapping (RFC 3394) is authenticated, so nothing is guessed.
 */
function decryptX25519SessionKey(
  { key, hash, wrapKeyBytes, parameters }: DecryptionKey & { readonly kind: 'x25519' },
  point: Buffer,
  wrapped: Buffer,
): SessionKey | null {
  if (point.length !== 33 || point[0] !== 0x40 || wrapped[0] !== wrapped.length - 1) return null;
  try {
    const jwk = { kty: 'OKP', crv: 'X25519', x: point.toString('base64url', 1) };
    const secret = diffieHellman({
      privateKey: key,
      publicKey: createPublicKey({ key: jwk, format: 'jwk' }),
    });
    const derived = createHash(hash)
      .update(Buffer.of(0, 0, 0, 1))
      .update(secret)
      .update(parameters)
      .digest();
    const wrapKey = derived.subarray(0, wrapKeyBytes);
    const unwrap = createDecipheriv(`id-aes${wrapKeyBytes * 8}-wrap`, wrapKey, Buffer.alloc(8, 0xa6));
    return readSessionKey(Buffer.concat([unwrap.update(wrapped.subarray(1)), unwrap.final()]));
  } catch {
    return null;
  }
}

/** True for a session key of a cipher that is listed here. */
export function isSessionKey(key: {
  readonly algorithm: string;
  readonly data: Uint8Array;
}): key is SessionKey {
  return LAYOUTS.some(({ algorithm }) => algorithm === key.algorithm);
}

/** What stands inside a PKESK of version 3, not padded. */
export function writeSessionKey({ algorithm, data }: SessionKey): Buffer {
  const number = LAYOUTS.find((layout) => layout.algorithm === algorithm)?.number ?? 0;
  const sum = data.reduce((total, octet) => total + octet, 0) & 0xffff;
  return Buffer.concat([Buffer.of(number), data, Buffer.of(sum >> 8, sum & 0xff)]);
}

/** A session key as gpg prints it: `9:` and hexadecimal digits. Null if it is none that is listed here. */
export function parseSessionKey(text: string): SessionKey | null {
  const [number, hex = '', ...more] = text.split(':');
  const layout = LAYOUTS.find((one) => String(one.number) === number);
  const isWhole = layout !== undefined && more.length === 0 && /^[0-9A-Fa-f]*$/.test(hex);
  if (!isWhole || hex.length !== 2 * layout.keyBytes) return null;
  return { algorithm: layout.algorithm, data: Buffer.from(hex, 'hex') };
}

/** Algorithm number, key, two octets of checksum, and padding as in PKCS#5. */
function readSessionKey(octets: Buffer): SessionKey | null {
  const layout = LAYOUTS.find(({ number }) => number === octets[0]);
  if (layout === undefined || octets.length < layout.keyBytes + 3) return null;
  const data = octets.subarray(1, 1 + layout.keyBytes);
  const sum = data.reduce((total, octet) => total + octet, 0) & 0xffff;
  return octets.readUInt16BE(1 + layout.keyBytes) === sum ? { algorithm: layout.algorithm, data } : null;
}

/**
 * The session key that was encrypted to an RSA key with PKCS#1 v1.5 padding (RFC 8017 section 7.2).
 *
 * The padding is taken off here because Node 20 refuses to. A block with wrong padding gives a random session key,
 * and the work is the same for every block, so that neither result nor time tells an attacker which it was.
 */
export function decryptRsaSessionKey(key: KeyObject, encrypted: Uint8Array): SessionKey {
  const size = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
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
