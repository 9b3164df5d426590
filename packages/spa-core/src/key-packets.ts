import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { ecdhParameters, HASHES, type HashName, rsaJwk, WRAP_KEY_BYTES } from './native-keys.ts';
import { readMpi, splitPackets, TAG } from './openpgp-packets.ts';

// Single key packets (RFC 9580 section 5.5), picked by fingerprint out of what a key file holds, without the library.
// Nothing is judged here: that such a key may be used is for the caller to know. Whatever is unusual gives null.

/** What a session key is encrypted with. */
export type EncryptionKey = { readonly keyId: Buffer; readonly key: KeyObject } & (
  | { readonly kind: 'rsa' }
  /** `parameters`: what goes into the key derivation besides the shared secret (RFC 9580 section 11.4). */
  | {
      readonly kind: 'x25519';
      readonly hash: HashName;
      readonly wrapKeyBytes: 16 | 24 | 32;
      readonly parameters: Buffer;
    }
);

/** What a signature is made with. */
export interface SigningKey {
  readonly kind: 'rsa' | 'ed25519';
  readonly key: KeyObject;
  readonly fingerprint: Buffer;
}

/** The public (sub)key with that fingerprint, RSA or Curve25519; null if `data`, binary or armored, has none. */
export function findEncryptionKey(data: Uint8Array, fingerprint: string): EncryptionKey | null {
  const found = findPacket(data, [TAG.publicKey, TAG.publicSubkey], fingerprint);
  if (found === null || found.secretPart.length > 0) return null;
  const { numbers } = found;
  const keyId = Buffer.from(fingerprint, 'hex').subarray(-8);
  switch (numbers.algorithm) {
    case RSA: {
      const jwk = { kty: 'RSA', n: base64Url(numbers.n), e: base64Url(numbers.e) };
      return { kind: 'rsa', keyId, key: createPublicKey({ key: jwk, format: 'jwk' }) };
    }
    case ECDH: {
      const wrapKeyBytes = WRAP_KEY_BYTES[numbers.kdf.cipher];
      const hash = HASHES[numbers.kdf.hash];
      if (hash === undefined || wrapKeyBytes === undefined) return null;
      const jwk = { kty: 'OKP', crv: 'X25519', x: base64Url(numbers.point) };
      const key = createPublicKey({ key: jwk, format: 'jwk' });
      return {
        kind: 'x25519',
        keyId,
        key,
        hash,
        wrapKeyBytes,
        parameters: ecdhParameters(numbers.kdf, fingerprint),
      };
    }
    default:
      return null;
  }
}

/** The secret (sub)key with that fingerprint, RSA or Ed25519, if it is there in the clear; otherwise null. */
export function findSigningKey(data: Uint8Array, fingerprint: string): SigningKey | null {
  const found = findPacket(data, [TAG.secretKey, TAG.secretSubkey], fingerprint);
  if (found === null) return null;
  const secrets = readUnprotected(found.secretPart);
  const { numbers } = found;
  if (secrets === null) return null;
  const octets = Buffer.from(fingerprint, 'hex');
  if (numbers.algorithm === RSA) {
    const [d, p, q, u, ...more] = secrets;
    if (!d || !p || !q || !u || more.length > 0) return null;
    const jwk = rsaJwk({ n: numbers.n, e: numbers.e, d, p, q, u });
    return { kind: 'rsa', key: createPrivateKey({ key: jwk, format: 'jwk' }), fingerprint: octets };
  }
  const [seed, ...more] = secrets;
  if (numbers.algorithm !== EDDSA_LEGACY || !seed || seed.length > 32 || more.length > 0) return null;
  const d = base64Url(Buffer.concat([Buffer.alloc(32 - seed.length), seed]));
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: base64Url(numbers.point), d };
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  // Node believes the secret half; a signature with a key that has another public half would betray it.
  if (createPublicKey(key).export({ format: 'jwk' }).x !== jwk.x) return null;
  return { kind: 'ed25519', key, fingerprint: octets };
}

/** Public-key algorithms (RFC 9580 section 9.1). */
const RSA = 1;
const ECDH = 18;
const EDDSA_LEGACY = 22;
/** Curve25519 and Ed25519 as length and object identifier (RFC 9580 section 9.2). */
const CURVES: Readonly<Record<number, Buffer>> = {
  [ECDH]: Buffer.from('0a2b060104019755010501', 'hex'),
  [EDDSA_LEGACY]: Buffer.from('092b06010401da470f01', 'hex'),
};

type PublicNumbers =
  | { readonly algorithm: typeof RSA; readonly n: Buffer; readonly e: Buffer }
  | { readonly algorithm: typeof EDDSA_LEGACY; readonly point: Buffer }
  | {
      readonly algorithm: typeof ECDH;
      readonly point: Buffer;
      readonly kdf: { readonly hash: number; readonly cipher: number };
    };

interface KeyPacket {
  readonly numbers: PublicNumbers;
  /** What follows the public part. */
  readonly secretPart: Buffer;
}

function findPacket(data: Uint8Array, tags: readonly number[], fingerprint: string): KeyPacket | null {
  const binary = unarmor(data);
  for (const { tag, body } of (binary && splitPackets(binary)) ?? []) {
    const packet = tags.includes(tag) ? readKeyPacket(body) : null;
    if (packet !== null && fingerprintOf(body, packet) === fingerprint) return packet;
  }
  return null;
}

/** RFC 9580 section 5.5.4.2. */
function fingerprintOf(body: Buffer, { secretPart }: KeyPacket): string {
  const publicPart = body.subarray(0, body.length - secretPart.length);
  const header = Buffer.of(0x99, publicPart.length >> 8, publicPart.length & 0xff);
  return createHash('sha1').update(header).update(publicPart).digest('hex').toUpperCase();
}

/** A key of version 4: version, four octets of time, algorithm, numbers. */
function readKeyPacket(body: Buffer): KeyPacket | null {
  const [version, , , , , algorithm = 0] = body;
  if (version !== 4) return null;
  const octets = body.subarray(6);
  if (algorithm === RSA) {
    const n = readMpi(octets);
    const e = n && readMpi(n.rest);
    return e && { numbers: { algorithm, n: n.value, e: e.value }, secretPart: e.rest };
  }
  const curve = CURVES[algorithm];
  if (curve === undefined || !octets.subarray(0, curve.length).equals(curve)) return null;
  const mpi = readMpi(octets.subarray(curve.length));
  if (mpi?.value.length !== 33 || mpi.value[0] !== 0x40) return null;
  const point = mpi.value.subarray(1);
  if (algorithm === EDDSA_LEGACY) return { numbers: { algorithm, point }, secretPart: mpi.rest };
  const [length, reserved, hash = 0, cipher = 0] = mpi.rest;
  if (algorithm !== ECDH || length !== 3 || reserved !== 1) return null;
  return { numbers: { algorithm, point, kdf: { hash, cipher } }, secretPart: mpi.rest.subarray(4) };
}

/** The numbers of a secret key without passphrase (RFC 9580 section 5.5.3), if their checksum fits. */
function readUnprotected(octets: Buffer): readonly Buffer[] | null {
  if (octets[0] !== 0 || octets.length < 3) return null;
  const end = octets.length - 2;
  const clear = octets.subarray(1, end);
  const sum = clear.reduce((total, octet) => total + octet, 0) & 0xffff;
  if (octets.readUInt16BE(end) !== sum) return null;
  const numbers: Buffer[] = [];
  for (let rest = clear; rest.length > 0; ) {
    const mpi = readMpi(rest);
    if (mpi === null) return null;
    numbers.push(mpi.value);
    rest = mpi.rest;
  }
  return numbers;
}

/** The octets of a key file: as they are, or of its one armored block (RFC 9580 section 6.2). */
function unarmor(data: Uint8Array): Buffer | null {
  const octets = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (((octets[0] ?? 0) & 0x80) !== 0) return octets;
  const [block, ...more] = Array.from(octets.toString('latin1').matchAll(ARMOR), (match) => match[1]);
  if (block === undefined || more.length > 0) return null;
  const text = block.replaceAll(/\s+/g, '');
  return /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : null;
}

/** Header lines, an empty line, base64, and perhaps a checksum. */
const ARMOR =
  /^-----BEGIN PGP (?:PUBLIC|PRIVATE) KEY BLOCK-----[ \t]*\r?\n(?:\S+: .*\n)*[ \t]*\r?\n([A-Za-z0-9+/=\s]+?)(?:\r?\n=[A-Za-z0-9+/]{4}[ \t]*)?\r?\n-----END PGP/gm;

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
