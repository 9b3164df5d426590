import { createPublicKey, type KeyObject } from 'node:crypto';
import type { RawKey } from './certificate-packets.ts';
import { readMpi } from './openpgp-packets.ts';

/** A key that Node verifies signatures with. */
export type VerifyingKey =
  | { readonly kind: 'rsa'; readonly key: KeyObject; readonly bytes: number }
  /** `bytes`: of one coordinate. */
  | { readonly kind: 'ecdsa'; readonly key: KeyObject; readonly bytes: number }
  /** `isLegacy`: as GnuPG makes them (EdDSA with numbers), not as RFC 9580 section 5.2.3.4 has them. */
  | { readonly kind: 'ed25519'; readonly key: KeyObject; readonly isLegacy: boolean };

/** The key as Node takes it; null if it does not sign, or with what Node does not verify. */
export function verifyingKey(raw: RawKey): VerifyingKey | null {
  const known = KEYS.get(raw);
  if (known !== undefined) return known;
  const key = makeVerifyingKey(raw);
  KEYS.set(raw, key);
  return key;
}

/** Length of the modulus in bits; null if it is no RSA key. */
export function rsaBits({ algorithm, body }: RawKey): number | null {
  return RSA_ALGORITHMS.includes(algorithm) && body.length > 8 ? body.readUInt16BE(6) : null;
}

/** The object identifier of the curve (RFC 9580 section 9.2) in hexadecimal; null if the key has none. */
export function curveOf({ algorithm, body }: RawKey): string | null {
  return CURVE_ALGORITHMS.includes(algorithm) ? body.toString('hex', 7, 7 + (body[6] ?? 0)) : null;
}

/** Public-key algorithms (RFC 9580 section 9.1). */
export const ALGORITHM = {
  rsa: 1,
  rsaSignOnly: 3,
  dsa: 17,
  ecdh: 18,
  ecdsa: 19,
  eddsaLegacy: 22,
  ed25519: 27,
} as const;

const RSA_ALGORITHMS: readonly number[] = [1, 2, 3];
const CURVE_ALGORITHMS: readonly number[] = [ALGORITHM.ecdh, ALGORITHM.ecdsa, ALGORITHM.eddsaLegacy];
const ED25519 = '2b06010401da470f01';
/** Where the numbers of a key begin: after version, time and algorithm. */
const NUMBERS_START = 6;

/** A key is read once, however many certificates it has signed. */
const KEYS = new WeakMap<RawKey, VerifyingKey | null>();

function makeVerifyingKey(raw: RawKey): VerifyingKey | null {
  if (raw.version !== 4) return null;
  try {
    return READERS[raw.algorithm]?.(raw.body.subarray(NUMBERS_START), raw) ?? null;
  } catch {
    // Numbers that make no key.
    return null;
  }
}

const READERS: Readonly<Record<number, (numbers: Buffer, raw: RawKey) => VerifyingKey | null>> = {
  [ALGORITHM.rsa]: readRsa,
  [ALGORITHM.rsaSignOnly]: readRsa,
  [ALGORITHM.ecdsa]: (numbers, raw) => {
    const oid = Buffer.from(curveOf(raw) ?? '', 'hex');
    const point = readMpi(numbers.subarray(1 + oid.length))?.value;
    if (point?.[0] !== 0x04) return null;
    const key = createPublicKey({ key: ecSpki(oid, point), format: 'der', type: 'spki' });
    return { kind: 'ecdsa', key, bytes: (point.length - 1) / 2 };
  },
  [ALGORITHM.eddsaLegacy]: (numbers, raw) => {
    if (curveOf(raw) !== ED25519) return null;
    const point = readMpi(numbers.subarray(1 + (numbers[0] ?? 0)))?.value;
    return point?.length === 33 && point[0] === 0x40 ? ed25519(point.subarray(1), true) : null;
  },
  [ALGORITHM.ed25519]: (numbers) => (numbers.length === 32 ? ed25519(numbers, false) : null),
};

function readRsa(numbers: Buffer): VerifyingKey | null {
  const n = readMpi(numbers);
  const e = n && readMpi(n.rest);
  if (n === null || e === null) return null;
  const jwk = { kty: 'RSA', n: n.value.toString('base64url'), e: e.value.toString('base64url') };
  return { kind: 'rsa', key: createPublicKey({ key: jwk, format: 'jwk' }), bytes: n.value.length };
}

function ed25519(point: Buffer, isLegacy: boolean): VerifyingKey {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') };
  return { kind: 'ed25519', key: createPublicKey({ key: jwk, format: 'jwk' }), isLegacy };
}

/** RFC 5480: OpenPGP names a curve by the same octets, so that all curves that Node knows are read alike. */
function ecSpki(oid: Buffer, point: Buffer): Buffer {
  const algorithm = der(0x30, Buffer.concat([ID_EC_PUBLIC_KEY, der(0x06, oid)]));
  return der(0x30, Buffer.concat([algorithm, der(0x03, Buffer.concat([Buffer.of(0), point]))]));
}

const ID_EC_PUBLIC_KEY = Buffer.from('06072a8648ce3d0201', 'hex');

function der(tag: number, value: Buffer): Buffer {
  const { length } = value;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), value]);
}
