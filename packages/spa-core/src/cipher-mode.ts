/** How AES-256 is used on the wire, by fwknop's names. `legacy`: CBC with a key that is brought to 16 bytes first. */
export type CipherMode = 'cbc' | 'ecb' | 'cfb' | 'ofb' | 'ctr' | 'legacy';

/** One mode: Node's name of the cipher, and fwknop's number of the mode. */
interface CipherModeRow {
  readonly cipher: string;
  readonly number: number;
}

/** All modes. Without an HMAC only the message's own digest tells a changed packet from a true one, least of all in stream modes. */
export const CIPHER_MODES: Readonly<Record<CipherMode, CipherModeRow>> = {
  cbc: { cipher: 'aes-256-cbc', number: 2 },
  ecb: { cipher: 'aes-256-ecb', number: 1 },
  cfb: { cipher: 'aes-256-cfb', number: 3 },
  ofb: { cipher: 'aes-256-ofb', number: 5 },
  ctr: { cipher: 'aes-256-ctr', number: 6 },
  legacy: { cipher: 'aes-256-cbc', number: 8 },
};

/** The mode of that name, case ignored; null if there is none. */
export function parseCipherMode(text: string): CipherMode | null {
  const name = text.toLowerCase();
  return Object.hasOwn(CIPHER_MODES, name) ? (name as CipherMode) : null;
}
