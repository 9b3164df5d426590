const ALPHABET = /^[A-Za-z0-9+/]*$/;

/** True if every character of `text` is in the standard base64 alphabet (RFC 4648 section 4), padding excluded. */
export function isBase64Alphabet(text: string): boolean {
  return ALPHABET.test(text);
}

/** Base64 of RFC 4648 section 4 without padding: the only spelling that fwknop writes. */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64').replace(/=+$/, '');
}

/**
 * The bytes of unpadded, canonical base64; null for anything else.
 *
 * Each byte string has exactly one spelling: spare bits, padding, white space and the URL alphabet are refused,
 * because a second spelling of a packet is a way around replay protection.
 */
export function decodeBase64(text: string): Buffer | null {
  if (!isBase64Alphabet(text)) return null;
  const bytes = Buffer.from(text, 'base64');
  return encodeBase64(bytes) === text ? bytes : null;
}
