import { type DigestName, HMAC_KEY_MAX_BYTES, SYMMETRIC_KEY_MAX_BYTES } from 'spa-core';

/** Lengths of the keys to make, in bytes; absent: as fwknop has them. */
export interface KeyLengths {
  readonly key?: number;
  readonly hmacKey?: number;
}

/** New keys as lines for `.fwknoprc` and `access.conf` alike. */
export function generateKeys(
  hmacDigest: DigestName,
  lengths: KeyLengths,
  random: (bytes: number) => Uint8Array,
): string {
  const base64 = (length: number): string => Buffer.from(random(length)).toString('base64');
  const key = base64(lengths.key ?? SYMMETRIC_KEY_MAX_BYTES);
  const hmacKey = base64(lengths.hmacKey ?? HMAC_KEY_BYTES[hmacDigest]);
  return `KEY_BASE64: ${key}\nHMAC_KEY_BASE64: ${hmacKey}\n`;
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
