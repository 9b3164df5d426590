import {
  constants,
  createCipheriv,
  createHash,
  diffieHellman,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
  sign,
} from 'node:crypto';
import { type EncryptionKey, findEncryptionKey, findSigningKey, type SigningKey } from './key-packets.ts';
import { TAG, writeMpi, writePacket } from './openpgp-packets.ts';
import type { SealingPlan } from './sealing-plan.ts';
import { type SessionKey, writeSessionKey } from './session-key.ts';

/** Key files as they are: binary or armored. */
export interface SealingFiles {
  readonly signer: Uint8Array;
  readonly recipient: Uint8Array;
}

/**
 * Signs and encrypts `text` as the library would with the same plan, by Node's crypto alone: PKESK version 3, SEIPD
 * version 1 with one signed literal. Null if the plan is not for this time or these keys, or a key is locked.
 */
export function sealByPlan(
  plan: SealingPlan,
  files: SealingFiles,
  text: string,
  nowSeconds: number,
): Buffer | null {
  if (nowSeconds < plan.fromSeconds || nowSeconds >= plan.untilSeconds) return null;
  const recipient = findEncryptionKey(files.recipient, plan.encryptTo);
  const signer = findSigningKey(files.signer, plan.signWith);
  if (recipient === null || signer === null) return null;
  const sessionKey = { algorithm: plan.cipher, data: randomBytes(Number(plan.cipher.slice(3)) / 8) };
  const signed = signText(signer, plan.hash, Buffer.from(text, 'latin1'), nowSeconds);
  return Buffer.concat([
    writePacket(TAG.publicKeyEncryptedSessionKey, encryptSessionKey(recipient, sessionKey)),
    writePacket(TAG.symmetricallyEncrypted, encryptIntact(sessionKey, signed)),
  ]);
}

const HASH_NUMBERS = { sha256: 8, sha384: 9, sha512: 10 } as const;
const ALGORITHMS = { rsa: 1, ed25519: 22, x25519: 18 } as const;
const BLOCK_BYTES = 16;

/** One-pass signature, binary literal, signature of version 4 (RFC 9580 sections 5.4, 5.9, 5.2.3). */
function signText(signer: SigningKey, hash: SealingPlan['hash'], data: Buffer, nowSeconds: number): Buffer {
  const time = Buffer.alloc(4);
  time.writeUInt32BE(nowSeconds);
  const kind = Buffer.of(0, HASH_NUMBERS[hash], ALGORITHMS[signer.kind]);
  const keyId = signer.fingerprint.subarray(-8);
  return Buffer.concat([
    writePacket(TAG.onePassSignature, Buffer.concat([Buffer.of(3), kind, keyId, Buffer.of(1)])),
    writePacket(TAG.literalData, Buffer.concat([Buffer.from('b\0'), time, data])),
    writePacket(TAG.signature, makeSignature(signer, hash, data, time)),
  ]);
}

function makeSignature(signer: SigningKey, hash: SealingPlan['hash'], data: Buffer, time: Buffer): Buffer {
  // Creation time (critical), issuer's key ID and fingerprint (RFC 9580 section 5.2.3.7), each with its length.
  const subpackets = Buffer.concat([
    Buffer.of(5, 0x82),
    time,
    Buffer.of(9, 16),
    signer.fingerprint.subarray(-8),
    Buffer.of(22, 33, 4),
    signer.fingerprint,
  ]);
  const hashed = Buffer.concat([
    Buffer.of(4, 0, ALGORITHMS[signer.kind], HASH_NUMBERS[hash], 0, subpackets.length),
    subpackets,
  ]);
  const signed = Buffer.concat([data, hashed, Buffer.of(4, 0xff, 0, 0, 0, hashed.length)]);
  const digest = createHash(hash).update(signed).digest();
  return Buffer.concat([
    hashed,
    Buffer.of(0, 0),
    digest.subarray(0, 2),
    numbersOf(signer, hash, signed, digest),
  ]);
}

function numbersOf({ kind, key }: SigningKey, hash: string, signed: Buffer, digest: Buffer): Buffer {
  if (kind === 'rsa') return writeMpi(sign(hash, signed, { key, padding: constants.RSA_PKCS1_PADDING }));
  const octets = sign(null, digest, key);
  return Buffer.concat([writeMpi(octets.subarray(0, 32)), writeMpi(octets.subarray(32))]);
}

/** RFC 9580 section 5.13.1: CFB with a random first block, its last octets again, and a modification detection code. */
function encryptIntact(sessionKey: SessionKey, packets: Buffer): Buffer {
  const prefix = randomBytes(BLOCK_BYTES);
  const clear = Buffer.concat([prefix, prefix.subarray(-2), packets, Buffer.of(0xd3, 0x14)]);
  const mdc = createHash('sha1').update(clear).digest();
  const cipher = createCipheriv(
    `aes-${sessionKey.algorithm.slice(3)}-cfb`,
    sessionKey.data,
    Buffer.alloc(BLOCK_BYTES),
  );
  return Buffer.concat([Buffer.of(1), cipher.update(clear), cipher.update(mdc), cipher.final()]);
}

/** The body of a PKESK of version 3 (RFC 9580 section 5.1). */
function encryptSessionKey(recipient: EncryptionKey, sessionKey: SessionKey): Buffer {
  const header = Buffer.concat([Buffer.of(3), recipient.keyId, Buffer.of(ALGORITHMS[recipient.kind])]);
  const octets = writeSessionKey(sessionKey);
  if (recipient.kind === 'x25519') return Buffer.concat([header, wrapX25519(recipient, octets)]);
  const padded = { key: recipient.key, padding: constants.RSA_PKCS1_PADDING };
  return Buffer.concat([header, writeMpi(publicEncrypt(padded, octets))]);
}

/** RFC 9580 section 11.5: an ephemeral point, and the octets wrapped with a key derived from the shared secret. */
function wrapX25519(recipient: EncryptionKey & { readonly kind: 'x25519' }, octets: Buffer): Buffer {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const secret = diffieHellman({ privateKey, publicKey: recipient.key });
  const derived = createHash(recipient.hash)
    .update(Buffer.of(0, 0, 0, 1))
    .update(secret)
    .update(recipient.parameters)
    .digest();
  const wrapKey = derived.subarray(0, recipient.wrapKeyBytes);
  const wrap = createCipheriv(`id-aes${wrapKey.length * 8}-wrap`, wrapKey, Buffer.alloc(8, 0xa6));
  const padding = 8 - (octets.length % 8);
  const wrapped = Buffer.concat([
    wrap.update(Buffer.concat([octets, Buffer.alloc(padding, padding)])),
    wrap.final(),
  ]);
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  return Buffer.concat([
    writeMpi(Buffer.concat([Buffer.of(0x40), point])),
    Buffer.of(wrapped.length),
    wrapped,
  ]);
}
