import { hash } from 'node:crypto';
import { encodeBase64 } from './base64.ts';

/** One digest: Node's name of the hash and the length of its unpadded base64, in characters. */
interface DigestRow {
  readonly hash: string;
  readonly length: number;
}

/** fwknop's names of digests, for the message's own digest and for its HMAC alike. */
export type DigestName = 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512' | 'sha3_256' | 'sha3_512';

const DIGESTS: Readonly<Record<DigestName, DigestRow>> = {
  md5: { hash: 'md5', length: 22 },
  sha1: { hash: 'sha1', length: 27 },
  sha256: { hash: 'sha256', length: 43 },
  sha384: { hash: 'sha384', length: 64 },
  sha512: { hash: 'sha512', length: 86 },
  sha3_256: { hash: 'sha3-256', length: 43 },
  sha3_512: { hash: 'sha3-512', length: 86 },
};

/** All digests, the order in which a receiver tries those of equal length. */
export const DIGEST_NAMES: readonly DigestName[] = Object.keys(DIGESTS) as DigestName[];

/** The digest of that name, case ignored; null if there is none. */
export function parseDigestName(text: string): DigestName | null {
  return DIGEST_NAMES.find((name) => name === text.toLowerCase()) ?? null;
}

/** Node's name of the hash. */
export function hashOf(name: DigestName): string {
  return DIGESTS[name].hash;
}

/** Length of the digest in unpadded base64, in characters. */
export function digestLength(name: DigestName): number {
  return DIGESTS[name].length;
}

/** Unpadded base64 of the digest of `text` (one byte per character). */
export function digestOf(name: DigestName, text: string): string {
  return encodeBase64(hash(hashOf(name), Buffer.from(text, 'latin1'), 'buffer'));
}

/** Which digest of `text` is `digest`; null if none is. The wire does not name it: its length tells. */
export function identifyDigest(text: string, digest: string): DigestName | null {
  const candidates = DIGEST_NAMES.filter((name) => digestLength(name) === digest.length);
  return candidates.find((name) => digestOf(name, text) === digest) ?? null;
}
