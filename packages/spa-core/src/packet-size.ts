import { PACKET_MAX_LENGTH } from './limits.ts';

/** A key, as far as its size matters: algorithm (RFC 9580 section 9.1), and length of its modulus or its curve. */
export interface KeySize {
  readonly algorithm: number;
  readonly bits: number;
}

/** The keys that a packet is made with; `signer` null: it is not signed. */
export interface SealingSizes {
  readonly signer: KeySize | null;
  readonly recipient: KeySize;
}

/**
 * Why no packet with these keys can hold a text of so many octets, with what to use instead; null if it can, or nearly.
 * `macLength`: of the HMAC, in characters.
 */
export function explainTooLong(sizes: SealingSizes, textBytes: number, macLength: number): string | null {
  const lengthWith = (changes: Partial<SealingSizes>, octets = textBytes): number =>
    expectedLength({ ...sizes, ...changes }, octets) + macLength;
  const length = lengthWith({});
  if (length - TOLERANCE <= PACKET_MAX_LENGTH) return null;
  const { signer, recipient } = sizes;
  const instead = [
    ...(textBytes > PLAIN_BYTES
      ? [{ what: 'ask for less at once', length: lengthWith({}, PLAIN_BYTES) }]
      : []),
    { what: 'sign with an ed25519 key', length: lengthWith({ signer: signer && ED25519 }) },
    { what: 'have the bastion make a cv25519 key', length: lengthWith({ recipient: CV25519 }) },
  ].flatMap((way) =>
    way.length <= PACKET_MAX_LENGTH ? [`${way.what} (about ${way.length} characters)`] : [],
  );
  const keys =
    signer === null
      ? `your message for the bastion's ${nameOf(recipient)} key makes`
      : `a signature with your ${nameOf(signer)} key for the bastion's ${nameOf(recipient)} key makes`;
  return `${keys} a packet of about ${length} characters, but ${PACKET_MAX_LENGTH} is the limit: ${instead.join(', or ')}`;
}

/** How long the base64 text is that a message with these keys becomes, without its two characters of prefix; a few more or less. */
export function expectedLength({ signer, recipient }: SealingSizes, textBytes: number): number {
  const signature = signer === null ? 0 : ONE_PASS_BYTES + SIGNATURE_BYTES + numbersBytes(signer);
  const octets =
    PKESK_BYTES + wrappedBytes(recipient) + ENCRYPTED_BYTES + LITERAL_BYTES + textBytes + signature;
  return Math.ceil((octets * 8) / 6) - 2;
}

/** A text that asks for a port or two. */
const PLAIN_BYTES = 140;
/** Numbers vary by an octet, headers by two. */
const TOLERANCE = 12;

const RSA = [1, 2, 3];
const ELGAMAL_OR_DSA = [16, 17];
const ECDH = 18;
const ECDSA = 19;
const X25519 = 25;
const X448 = 26;
const ED25519: KeySize = { algorithm: 22, bits: 255 };
const CV25519: KeySize = { algorithm: ECDH, bits: 255 };

// RFC 9580: headers and all that does not depend on the key.
const PKESK_BYTES = 3 + 10;
const ENCRYPTED_BYTES = 3 + 1 + 18 + 22;
const LITERAL_BYTES = 2 + 6;
const ONE_PASS_BYTES = 2 + 13;
const SIGNATURE_BYTES = 3 + 10 + 39;

function numbersBytes({ algorithm, bits }: KeySize): number {
  const octets = Math.ceil(bits / 8);
  if (RSA.includes(algorithm)) return 2 + octets;
  return algorithm === 17 ? 2 * (2 + 32) : 2 * (2 + octets);
}

/** A session key of 32 octets, wrapped: 48 with the length in front, after the point of the sender. */
function wrappedBytes({ algorithm, bits }: KeySize): number {
  const octets = Math.ceil(bits / 8);
  if (algorithm === ECDH) return 2 + 1 + (bits === 255 ? octets : 2 * octets) + 1 + 48;
  if (algorithm === X25519 || algorithm === X448) return octets + 2 + 40;
  return ELGAMAL_OR_DSA.includes(algorithm) ? 2 * (2 + octets) : 2 + octets;
}

function nameOf({ algorithm, bits }: KeySize): string {
  if (RSA.includes(algorithm)) return `RSA-${bits}`;
  if (algorithm === ECDH || algorithm === ECDSA) return bits === 255 ? 'cv25519' : `P-${bits}`;
  return ELGAMAL_OR_DSA.includes(algorithm) ? `${algorithm === 17 ? 'DSA' : 'Elgamal'}-${bits}` : 'Ed25519';
}
