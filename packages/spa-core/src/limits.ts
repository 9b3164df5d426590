// Specification constants: the wire format of fwknop 2.6.

/** Default UDP port of the daemon. */
export const SPA_PORT = 62201;
/** Shortest packet, in characters: an MD5 digest and a one-letter user name. */
export const PACKET_MIN_LENGTH = 140;
/** Longest packet, in characters. */
export const PACKET_MAX_LENGTH = 1500;
/** fwknopd takes a packet of this length or more for OpenPGP, a shorter one for AES. */
export const PEER_OPENPGP_MIN_LENGTH = 400;
/** Length of the decrypted text, in bytes. */
export const TEXT_MIN_LENGTH = 36;
export const TEXT_MAX_LENGTH = 1499;
/** A symmetric key, in bytes. */
export const SYMMETRIC_KEY_MAX_BYTES = 32;
/** An HMAC key, in bytes: what both the stock client and the stock daemon take. */
export const HMAC_KEY_MAX_BYTES = 128;
/** A user name, in bytes. */
export const USERNAME_MAX_BYTES = 48;
/** Base64 text of one field, in characters. */
export const FIELD_MAX_LENGTH = 256;
/** What a client may ask for, in seconds. */
export const CLIENT_TIMEOUT_MAX_SECONDS = 65_536;
/** Largest difference between a message's time and the receiver's that a receiver can be told to accept, in seconds. */
export const PACKET_AGE_MAX_SECONDS = 100_000;
/** Version that the stock client 2.6 writes. Never compared by a receiver. */
export const PROTOCOL_VERSION = '3.0.0';
