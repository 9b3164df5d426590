import type { DigestName } from './digest.ts';
import { HMAC_KEY_MAX_BYTES, SYMMETRIC_KEY_MAX_BYTES } from './limits.ts';

/** Lengths of the keys to make, in bytes; absent: as fwknop has them. */
export interface KeyLengths {
  readonly key?: number;
  readonly hmacKey?: number;
}

/** A new key in base64, and the keyword that it belongs to. */
export interface GeneratedKey {
  readonly keyword: 'KEY_BASE64' | 'HMAC_KEY_BASE64';
  readonly value: string;
}

/** New keys as settings for `.fwknoprc` and `access.conf` alike. */
export function generateKeys(
  hmacDigest: DigestName,
  lengths: KeyLengths,
  random: (bytes: number) => Uint8Array,
): readonly GeneratedKey[] {
  const base64 = (length: number): string => Buffer.from(random(length)).toString('base64');
  const key = base64(lengths.key ?? SYMMETRIC_KEY_MAX_BYTES);
  const hmacKey = base64(lengths.hmacKey ?? HMAC_KEY_BYTES[hmacDigest]);
  return [
    { keyword: 'KEY_BASE64', value: key },
    { keyword: 'HMAC_KEY_BASE64', value: hmacKey },
  ];
}

/** The lines that fwknop prints of new keys. */
export function formatGeneratedKeys(keys: readonly GeneratedKey[]): string {
  return keys.map(({ keyword, value }) => `${keyword}: ${value}\n`).join('');
}

/** fwknop's own lengths; it makes none for SHA-3. */
const HMAC_KEY_BYTES: Readonly<Record<DigestName, number>> = {
  md5: 16,
  sha1: 20,
  sha256: 64,
  sha384: HMAC_KEY_MAX_BYTES,
  sha512: HMAC_KEY_MAX_BYTES,
  sha3_256: 64,
  sha3_512: 64,
};
