import {
  constants,
  createDecipheriv,
  createHash,
  type KeyObject,
  timingSafeEqual,
  verify,
} from 'node:crypto';
import { HASHES, type HashName } from './native-keys.ts';
import { inflate } from './openpgp-compressed.ts';
import { type OpenPgpPacket, readMpi, splitPackets, TAG } from './openpgp-packets.ts';
import type { SessionKey } from './session-key.ts';

// Rule of this file: it only ever accepts. Whatever is unusual (nested compression, several signatures, an algorithm or a
// subpacket that is not listed) or wrong gives null, and the library has the last word. So it cannot open what the
// library would refuse as long as the usual case below is checked whole.

/** A message of the usual form, decrypted, its signature not verified yet. */
export interface SignedText {
  readonly data: Buffer;
  /** Key ID of the (sub)key that is said to have signed, 16 upper-case hexadecimal digits. */
  readonly keyId: string;
  /** When it is said to have signed, in seconds since 1970. */
  readonly createdSeconds: number;
  readonly signature: Signature;
}

interface Signature {
  readonly algorithm: number;
  readonly hash: HashName;
  /** What is signed (RFC 9580 section 5.2.4): the data, the hashed part of the signature, a trailer. */
  readonly signed: Buffer;
  readonly numbers: Buffer;
}

const MDC_BYTES = 22;
const BLOCK_BYTES = 16;
const RSA = 1;
const EDDSA_LEGACY = 22;
/** Subpackets (RFC 9580 section 5.2.3.7). */
const CREATION_TIME = 2;
const ISSUER_KEY_ID = 16;
const SIGNERS_USER_ID = 28;
const ISSUER_FINGERPRINT = 33;

/**
 * Decrypts a SEIPD packet of version 1 (RFC 9580 section 5.13.1) to the packets that it holds.
 * Null if its modification detection code does not fit.
 */
export function decryptContent(body: Buffer, sessionKey: SessionKey): Buffer | null {
  if (body[0] !== 1 || body.length < 1 + BLOCK_BYTES + 2 + MDC_BYTES) return null;
  const cipher = `aes-${sessionKey.algorithm.slice(3)}-cfb`;
  const decipher = createDecipheriv(cipher, sessionKey.data, Buffer.alloc(BLOCK_BYTES));
  const decrypted = Buffer.concat([decipher.update(body.subarray(1)), decipher.final()]);
  const mdcAt = decrypted.length - MDC_BYTES;
  const digest = createHash('sha1')
    .update(decrypted.subarray(0, mdcAt + 2))
    .digest();
  const isIntact =
    timingSafeEqual(digest, decrypted.subarray(mdcAt + 2)) && decrypted.readUInt16BE(mdcAt) === 0xd314;
  return isIntact ? decrypted.subarray(BLOCK_BYTES + 2, mdcAt) : null;
}

/** The signed literal that `content` holds, compressed once or not at all; null if it holds anything else. */
export function readSignedText(content: Buffer): SignedText | null {
  const [onePass, literal, signature, ...more] = splitPackets(inflate(content) ?? content) ?? [];
  if (onePass?.tag !== TAG.onePassSignature || literal?.tag !== TAG.literalData) return null;
  if (signature?.tag !== TAG.signature || more.length > 0) return null;
  const [version, type, hash, algorithm] = onePass.body;
  if (onePass.body.length !== 13 || version !== 3 || type !== 0 || onePass.body[12] !== 1) return null;
  const keyId = onePass.body.toString('hex', 4, 12).toUpperCase();
  const data = readLiteral(literal);
  const read = data === null ? null : readSignature(signature.body, data, keyId);
  if (data === null || read === null || read.signature.algorithm !== algorithm) return null;
  return read.signature.hash === HASHES[hash ?? 0] ? { data, keyId, ...read } : null;
}

/** True if `key` made the signature. */
export function verifySignedText({ signature }: SignedText, key: KeyObject): boolean {
  const { algorithm, hash, signed, numbers } = signature;
  const first = readMpi(numbers);
  if (first === null) return false;
  if (algorithm === RSA && key.asymmetricKeyType === 'rsa') {
    if (first.rest.length > 0) return false;
    const size = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
    if (first.value.length > size) return false;
    const padded = Buffer.concat([Buffer.alloc(size - first.value.length), first.value]);
    return verify(hash, signed, { key, padding: constants.RSA_PKCS1_PADDING }, padded);
  }
  if (algorithm === EDDSA_LEGACY && key.asymmetricKeyType === 'ed25519') {
    const second = readMpi(first.rest);
    if (second === null || second.rest.length > 0 || first.value.length > 32 || second.value.length > 32)
      return false;
    const octets = Buffer.alloc(64);
    octets.set(first.value, 32 - first.value.length);
    octets.set(second.value, 64 - second.value.length);
    return verify(null, createHash(hash).update(signed).digest(), key, octets);
  }
  return false;
}

/** The data of a binary literal (RFC 9580 section 5.9). */
function readLiteral({ body }: OpenPgpPacket): Buffer | null {
  const [format, nameLength = 0] = body;
  const start = 2 + nameLength + 4;
  return format === 0x62 && start <= body.length ? body.subarray(start) : null;
}

/** A signature packet of version 4 and type binary (RFC 9580 section 5.2.3). */
function readSignature(
  body: Buffer,
  data: Buffer,
  keyId: string,
): { readonly createdSeconds: number; readonly signature: Signature } | null {
  const [version, type, algorithm = 0, hashNumber = 0] = body;
  const hash = HASHES[hashNumber];
  if (version !== 4 || type !== 0 || hash === undefined || body.length < 6) return null;
  const hashedEnd = 6 + body.readUInt16BE(4);
  if (hashedEnd + 2 > body.length) return null;
  const unhashedEnd = hashedEnd + 2 + body.readUInt16BE(hashedEnd);
  if (unhashedEnd + 2 > body.length) return null;
  const createdSeconds = readHashed(body.subarray(6, hashedEnd), keyId);
  if (createdSeconds === null) return null;
  const hashedPart = body.subarray(0, hashedEnd);
  const trailer = Buffer.from([4, 0xff, 0, 0, 0, 0]);
  trailer.writeUInt32BE(hashedEnd, 2);
  const signed = Buffer.concat([data, hashedPart, trailer]);
  return { createdSeconds, signature: { algorithm, hash, signed, numbers: body.subarray(unhashedEnd + 2) } };
}

/**
 * The creation time, if it is there once and all else is the issuer, which has to be `keyId`, or the user ID that he signs as,
 * which means nothing here; otherwise null.
 */
function readHashed(octets: Buffer, keyId: string): number | null {
  let created: number | null = null;
  for (let rest = octets; rest.length > 0; ) {
    const length = rest[0] ?? 0;
    if (length < 1 || length >= 192 || length >= rest.length) return null;
    const type = (rest[1] ?? 0) & 0x7f;
    const value = rest.subarray(2, 1 + length);
    rest = rest.subarray(1 + length);
    if (type === CREATION_TIME && value.length === 4 && created === null) created = value.readUInt32BE(0);
    else if (type === ISSUER_KEY_ID && value.toString('hex').toUpperCase() === keyId) continue;
    else if (type === ISSUER_FINGERPRINT && value.toString('hex').toUpperCase().endsWith(keyId)) continue;
    else if (type === SIGNERS_USER_ID) continue;
    else return null;
  }
  return created;
}
