import { createHash } from 'node:crypto';
import { isBase64Alphabet } from './base64.ts';
import type { Brand } from './brand.ts';
import { SpaError } from './errors.ts';
import {
  candidateTexts,
  decodeText,
  frameOpenPgp,
  frameSymmetric,
  type PacketKind,
  PREFIX,
  packetKind,
} from './framing.ts';
import { hmacOf, splitHmac, verifyHmac } from './hmac.ts';
import type { HmacKey, SymmetricKey } from './keys.ts';
import { PACKET_MAX_LENGTH, PACKET_MIN_LENGTH, PEER_OPENPGP_MIN_LENGTH } from './limits.ts';
import { decodeMessage, encodeMessage, type Message } from './message.ts';
import {
  type OpenPgpOpeningKeys,
  type OpenPgpSealingKeys,
  openOpenPgp,
  type PlannedSealing,
  sealOpenPgp,
} from './openpgp.ts';
import type { Fingerprint } from './openpgp-keys.ts';
import { decryptSymmetric, encryptSymmetric } from './symmetric.ts';

const KIND_NAMES: Readonly<Record<PacketKind, string>> = { aes: 'AES', openpgp: 'OpenPGP' };

/** Identity of a message for replay protection: SHA-256 of its decrypted text, in hexadecimal. */
export type MessageId = Brand<string, 'MessageId'>;

/** Wire text that passed the checks that need no key. Made by {@link parsePacket}. */
export interface Packet {
  readonly text: Brand<string, 'PacketText'>;
  readonly kind: PacketKind;
}

/** How to encrypt. `external`: somebody else, such as gpg itself, signs and encrypts to a binary OpenPGP message. */
export type Sealing =
  | { readonly kind: 'aes'; readonly key: SymmetricKey }
  | ({ readonly kind: 'openpgp' } & (OpenPgpSealingKeys | PlannedSealing))
  | { readonly kind: 'external'; readonly signAndEncrypt: (text: string) => Promise<Uint8Array> };

/** What one receiver opens a packet with. With an HMAC key, a packet without its MAC never opens. */
export type OpeningKeys = { readonly hmac: HmacKey | null } & (
  | { readonly kind: 'aes'; readonly key: SymmetricKey }
  | ({ readonly kind: 'openpgp' } & OpenPgpOpeningKeys)
);

/** A packet that was opened: authentic as far as its keys can tell. */
export interface OpenedPacket {
  readonly id: MessageId;
  readonly message: Message;
  /** Who signed; null without OpenPGP signature. */
  readonly signer: Fingerprint | null;
  /** When the signature was made, in seconds since 1970; null as `signer`. */
  readonly signedAtSeconds: number | null;
}

/**
 * Makes the packet: message → text → encrypted → framed → authenticated.
 * @throws SpaError `packet-too-long`, `packet-too-short` if no stock fwknopd would take it, with what to use instead.
 */
export async function sealPacket(
  message: Message,
  keys: { readonly encryption: Sealing; readonly hmac: HmacKey | null },
  host: { readonly nowSeconds: number; readonly random: (bytes: number) => Uint8Array },
): Promise<string> {
  const text = await seal(encodeMessage(message), keys.encryption, host);
  const kind = keys.encryption.kind === 'aes' ? 'aes' : 'openpgp';
  const packet = text.slice(PREFIX[kind].length) + (keys.hmac === null ? '' : hmacOf(keys.hmac, text));
  checkSize(kind, text, packet);
  return packet;
}

/**
 * The checks that need no key: length, alphabet, prefix. `bytes` is a datagram's payload.
 * @throws SpaError `packet-length`, `packet-alphabet`, `packet-prefix`
 */
export function parsePacket(bytes: Uint8Array): Packet {
  if (bytes.length < PACKET_MIN_LENGTH || bytes.length > PACKET_MAX_LENGTH) {
    throw new SpaError('packet-length', `${bytes.length} bytes are no packet`);
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  if (!isBase64Alphabet(text)) throw new SpaError('packet-alphabet', 'not base64');
  if (text.startsWith(PREFIX.aes) || text.startsWith(PREFIX.openpgp)) {
    throw new SpaError('packet-prefix', 'the prefix that a sender cuts off is still there');
  }
  return { text: text as Packet['text'], kind: packetKind(text) };
}

/**
 * Opens a packet with one receiver's keys: HMAC first, then decryption, then the message.
 *
 * Any bytes that {@link parsePacket} lets pass give a message or a SpaError, nothing else.
 * @throws SpaError `packet-kind` if the keys are for the other kind of packet; `hmac`, `packet-base64`, `decrypt`,
 * `signature`, `digest`, `message-malformed`, `message-type-unsupported`.
 */
export async function openPacket(
  packet: Packet,
  keys: OpeningKeys,
  host: { readonly nowSeconds: number },
): Promise<OpenedPacket> {
  if (packet.kind !== keys.kind)
    throw new SpaError('packet-kind', `no key is for ${KIND_NAMES[packet.kind]} packets`);
  const blobs = authenticate(packet, keys.hmac).map(decodeText);
  const opened = await open(blobs, keys, host.nowSeconds);
  return {
    id: identify(opened.text),
    message: decodeMessage(opened.text),
    signer: opened.signer,
    signedAtSeconds: opened.signedAtSeconds,
  };
}

/** Identity of a message by its decrypted text: the same however the packet was spelled on the wire. */
export function identify(text: string): MessageId {
  return createHash('sha256').update(text, 'latin1').digest('hex') as MessageId;
}

async function seal(
  text: string,
  encryption: Sealing,
  host: { readonly nowSeconds: number; readonly random: (bytes: number) => Uint8Array },
): Promise<string> {
  switch (encryption.kind) {
    case 'aes':
      return frameSymmetric(encryptSymmetric(encryption.key, text, host.random(8)));
    case 'openpgp':
      return frameOpenPgp(await sealOpenPgp(encryption, text, host.nowSeconds));
    case 'external':
      return frameOpenPgp(await encryption.signAndEncrypt(text));
  }
}

/** fwknopd tells AES from OpenPGP by length alone, and takes nothing above 1500 characters. */
function checkSize(kind: PacketKind, text: string, packet: string): void {
  if (kind === 'aes' && Math.max(packet.length, text.length) >= PEER_OPENPGP_MIN_LENGTH) {
    throw new SpaError(
      'packet-too-long',
      `the packet has ${packet.length} characters, but fwknopd takes only ${PEER_OPENPGP_MIN_LENGTH - 1} with AES: ask for fewer ports`,
    );
  }
  if (kind === 'openpgp' && Math.min(packet.length, text.length) < PEER_OPENPGP_MIN_LENGTH) {
    throw new SpaError('packet-too-short', 'fwknopd takes an OpenPGP packet this short for AES: sign it');
  }
  if (packet.length > PACKET_MAX_LENGTH || text.length >= PACKET_MAX_LENGTH) {
    throw new SpaError(
      'packet-too-long',
      `the packet has ${packet.length} characters, but ${PACKET_MAX_LENGTH} is the limit: use ed25519/cv25519 keys (about 650 characters) or RSA-2048`,
    );
  }
}

/** The texts that the packet can have been: with an HMAC key, those whose MAC fits. */
function authenticate(packet: Packet, hmac: HmacKey | null): readonly string[] {
  if (hmac === null) return candidateTexts(packet.kind, packet.text);
  const { text, mac } = splitHmac(hmac, packet.text);
  const authentic = candidateTexts(packet.kind, text).filter((candidate) => verifyHmac(hmac, candidate, mac));
  if (authentic.length === 0) throw new SpaError('hmac', 'the HMAC does not fit');
  return authentic;
}

async function open(
  blobs: readonly Buffer[],
  keys: OpeningKeys,
  nowSeconds: number,
): Promise<{ text: string; signer: Fingerprint | null; signedAtSeconds: number | null }> {
  const [blob, ...others] = blobs;
  if (blob === undefined) throw new SpaError('decrypt', 'the packet does not decrypt');
  if (keys.kind === 'aes') {
    return { text: decryptSymmetric(keys.key, blob), signer: null, signedAtSeconds: null };
  }
  try {
    return await openOpenPgp(keys, blob, nowSeconds);
  } catch (error) {
    if (others.length === 0 || !(error instanceof SpaError) || error.code !== 'decrypt') throw error;
    return open(others, keys, nowSeconds);
  }
}
