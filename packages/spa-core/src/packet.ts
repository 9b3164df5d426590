import { hash } from 'node:crypto';
import { canEndAt, decodeBase64, isBase64Alphabet } from './base64.ts';
import type { Brand } from './brand.ts';
import { digestLength } from './digest.ts';
import { SpaError, type SpaErrorCode } from './errors.ts';
import {
  candidatePrefixes,
  candidateTexts,
  frameOpenPgp,
  frameSymmetric,
  type PacketKind,
  PREFIX,
  packetKind,
} from './framing.ts';
import { endsInMac, hmacOf, splitHmac } from './hmac.ts';
import type { HmacKey, SymmetricKey } from './keys.ts';
import { PACKET_MAX_LENGTH, PACKET_MIN_LENGTH, PEER_OPENPGP_MIN_LENGTH } from './limits.ts';
import { decodeMessage, encodeMessage, type Message } from './message.ts';
import {
  type OpenPgpOpeningKeys,
  type OpenPgpSealingKeys,
  type PlannedSealing,
  sealingSizes,
  sealOpenPgp,
} from './openpgp.ts';
import type { Certificate, Fingerprint } from './openpgp-keys.ts';
import { whyNotSigned } from './openpgp-library.ts';
import { type DecryptedOpenPgp, decryptorOf, keyIdsOf, type OpenPgpDecryptor } from './openpgp-opening.ts';
import { explainTooLong, type SealingSizes } from './packet-size.ts';
import type { RequestKind } from './request.ts';
import { decryptSymmetric, encryptSymmetric } from './symmetric.ts';

const KIND_NAMES: Readonly<Record<PacketKind, string>> = { aes: 'AES', openpgp: 'OpenPGP' };

const FAULTS: Readonly<Record<PacketFault, string>> = {
  'packet-length': 'no packet has this length',
  'packet-alphabet': 'not base64',
  'packet-prefix': 'the prefix that a sender cuts off is still there',
};

/** Identity of a message for replay protection: SHA-256 of its decrypted text, in hexadecimal. */
export type MessageId = Brand<string, 'MessageId'>;

/** Wire text that passed the checks that need no key. Made by {@link parsePacket}. */
export interface Packet {
  readonly text: Brand<string, 'PacketText'>;
  readonly kind: PacketKind;
}

/**
 * How to encrypt. `external`: somebody else, such as gpg itself, signs and encrypts to a binary OpenPGP message; with `sizes` he is
 * not asked in vain.
 */
export type Sealing =
  | { readonly kind: 'aes'; readonly key: SymmetricKey }
  | ({ readonly kind: 'openpgp' } & (OpenPgpSealingKeys | PlannedSealing))
  | {
      readonly kind: 'external';
      readonly sizes?: SealingSizes;
      readonly signAndEncrypt: (text: string) => Promise<Uint8Array>;
    };

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
  const { encryption } = keys;
  const plain = encodeMessage(message);
  const macLength = keys.hmac === null ? 0 : digestLength(keys.hmac.digest);
  if (encryption.kind === 'external') mustFit(encryption.sizes ?? null, plain, macLength);
  const text = await seal(plain, encryption, host);
  const kind = encryption.kind === 'aes' ? 'aes' : 'openpgp';
  const packet = text.slice(PREFIX[kind].length) + (keys.hmac === null ? '' : hmacOf(keys.hmac, text));
  if (kind === 'aes') checkAesSize(message, text, packet, keys.hmac !== null);
  else if (text.length < PACKET_MAX_LENGTH && packet.length <= PACKET_MAX_LENGTH) mustBeOpenPgp(text, packet);
  else {
    mustFit(await sizesOf(encryption, host.nowSeconds), plain, macLength);
    throw new SpaError(
      'packet-too-long',
      `the packet has ${packet.length} characters, but ${PACKET_MAX_LENGTH} is the limit: use ed25519/cv25519 keys (about 650 characters) or RSA-2048`,
    );
  }
  return packet;
}

/** What is wrong with bytes that are no packet, as far as it can be told without a key. */
export type PacketFault = Extract<SpaErrorCode, 'packet-length' | 'packet-alphabet' | 'packet-prefix'>;

/** The checks that need no key: length, alphabet, prefix. `bytes` is a datagram's payload. Throws nothing: junk is cheap. */
export function inspectPacket(bytes: Uint8Array): Packet | PacketFault {
  if (bytes.length < PACKET_MIN_LENGTH || bytes.length > PACKET_MAX_LENGTH) return 'packet-length';
  if (!isBase64Alphabet(bytes)) return 'packet-alphabet';
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  if (text.startsWith(PREFIX.aes) || text.startsWith(PREFIX.openpgp)) return 'packet-prefix';
  return { text: text as Packet['text'], kind: packetKind(text) };
}

/**
 * As {@link inspectPacket}.
 * @throws SpaError `packet-length`, `packet-alphabet`, `packet-prefix`
 */
export function parsePacket(bytes: Uint8Array): Packet {
  const packet = inspectPacket(bytes);
  if (typeof packet === 'string') throw new SpaError(packet, explainFault(packet));
  return packet;
}

/** One line for the operator. */
export function explainFault(fault: PacketFault): string {
  return FAULTS[fault];
}

/**
 * Opens a packet with one receiver's keys: HMAC first, then decryption, then the message.
 *
 * Any bytes that {@link parsePacket} lets pass give a message or a SpaError, nothing else.
 * @throws SpaError `packet-kind` if the keys are for the other kind of packet; `hmac`, `packet-base64`, `decrypt`,
 * `signature`, `digest`, `message-malformed`.
 */
export async function openPacket(
  packet: Packet,
  keys: OpeningKeys,
  host: { readonly nowSeconds: number },
): Promise<OpenedPacket> {
  if (packet.kind !== keys.kind) throw new SpaError('packet-kind', explainKind(packet.kind));
  const decrypted = await beginOpening(packet).decrypt(keys, host);
  return decrypted.verify(keys.kind === 'aes' ? [] : keys.certificates);
}

/** One line for the operator about a packet that no key is for. */
export function explainKind(kind: PacketKind): string {
  return `no key is for ${KIND_NAMES[kind]} packets`;
}

/** What a packet is decrypted with: of an OpenPGP receiver's keys, all but the certificates. */
export type DecryptionKeys = { readonly hmac: HmacKey | null } & (
  | { readonly kind: 'aes'; readonly key: SymmetricKey }
  | ({ readonly kind: 'openpgp' } & Omit<OpenPgpOpeningKeys, 'certificates'>)
);

/** A packet that is being opened with the keys of several receivers. What they have in common is done once. */
export interface Opening {
  /** True if the packet ends in its MAC under that key. It costs a few microseconds and makes no promise. */
  hasMac(hmac: HmacKey): boolean;
  /**
   * The recipients that an OpenPGP packet names in the clear, by key ID: none if it is no such packet or does not end in its
   * MAC under `hmac`, null if its base64 is not canonical. All zero is a recipient who is not named.
   */
  recipients(hmac: HmacKey | null): readonly string[] | null;
  /** The container of an AES packet; null if its base64 is not canonical, or if it does not end in its MAC under `hmac`. */
  container(hmac: HmacKey | null): Buffer | null;
  /** `nowSeconds` of the first call counts for all. @throws SpaError `hmac`, `packet-base64`, `decrypt` */
  decrypt(keys: DecryptionKeys, host: { readonly nowSeconds: number }): Promise<DecryptedPacket>;
}

/** A packet that was decrypted; who signed is not known yet. */
export interface DecryptedPacket {
  /** Key IDs of those who are said to have signed; null if the keys ask for no signature. Proof of nothing. */
  readonly signers: readonly string[] | null;
  /** @throws SpaError `signature` if none of `certificates` signed, `digest`, `message-malformed` */
  verify(certificates: readonly Certificate[]): Promise<OpenedPacket>;
}

/** Begins to open a packet. Keys are told apart by identity: equal ones should be one object. */
export function beginOpening(packet: Packet): Opening {
  return new PacketOpening(packet);
}

/** What junk does not come to is not made for it. */
class PacketOpening implements Opening {
  readonly #packet: Packet;
  readonly #prefixes = new Map<HmacKey, readonly string[]>();
  readonly #blobs = new Map<HmacKey | null, readonly Buffer[] | null>();
  #texts: Map<SymmetricKey, string> | null = null;
  #decryptors: Map<Buffer, OpenPgpDecryptor> | null = null;

  constructor(packet: Packet) {
    this.#packet = packet;
  }

  hasMac(hmac: HmacKey): boolean {
    return this.#prefixesWith(hmac).length > 0;
  }

  recipients(hmac: HmacKey | null): readonly string[] | null {
    return this.#blobsWith(hmac)?.flatMap(keyIdsOf) ?? null;
  }

  container(hmac: HmacKey | null): Buffer | null {
    return this.#blobsWith(hmac)?.[0] ?? null;
  }

  async decrypt(
    keys: DecryptionKeys,
    { nowSeconds }: { readonly nowSeconds: number },
  ): Promise<DecryptedPacket> {
    const { hmac } = keys;
    if (hmac !== null && !this.hasMac(hmac)) throw new SpaError('hmac', 'the HMAC does not fit');
    const blobs = this.#blobsWith(hmac);
    if (blobs === null) throw new SpaError('packet-base64', 'the packet is not canonical base64');
    if (keys.kind === 'aes') return unsignedPacket(this.#textOf(keys.key, blobs[0] ?? Buffer.alloc(0)));
    const { secretKeys } = keys;
    const isVouched = hmac !== null;
    const decrypted = await firstThatDecrypts(
      blobs.map((blob) => () => this.#decryptorOf(blob, nowSeconds)({ secretKeys, isVouched })),
    );
    return keys.requireSignature ? signedPacket(decrypted, nowSeconds) : unsignedPacket(decrypted.text);
  }

  #prefixesWith(hmac: HmacKey): readonly string[] {
    const known = this.#prefixes.get(hmac);
    if (known !== undefined) return known;
    const prefixes = prefixesWithMac(this.#packet, hmac);
    this.#prefixes.set(hmac, prefixes);
    return prefixes;
  }

  /** What the packet can have been, with an HMAC key only what its MAC fits; null if some of it is not canonical base64. */
  #blobsWith(hmac: HmacKey | null): readonly Buffer[] | null {
    const known = this.#blobs.get(hmac);
    if (known !== undefined) return known;
    const { kind, text } = this.#packet;
    const texts =
      hmac === null
        ? candidateTexts(kind, text)
        : this.#prefixesWith(hmac).map((prefix) => prefix + splitHmac(hmac, text).text);
    const decoded = texts.map(decodeBase64);
    const blobs = decoded.every((blob) => blob !== null) ? decoded : null;
    this.#blobs.set(hmac, blobs);
    return blobs;
  }

  #textOf(key: SymmetricKey, blob: Buffer): string {
    this.#texts ??= new Map();
    const text = this.#texts.get(key) ?? decryptSymmetric(key, blob);
    this.#texts.set(key, text);
    return text;
  }

  #decryptorOf(blob: Buffer, nowSeconds: number): OpenPgpDecryptor {
    this.#decryptors ??= new Map();
    const decryptor = this.#decryptors.get(blob) ?? decryptorOf(blob, nowSeconds);
    this.#decryptors.set(blob, decryptor);
    return decryptor;
  }
}

/** Identity of a message by its decrypted text: the same however the packet was spelled on the wire. */
export function identify(text: string): MessageId {
  return hash('sha256', Buffer.from(text, 'latin1'), 'hex') as MessageId;
}

/** Null if nobody knows, or whoever judged the keys before cannot load them now. */
async function sizesOf(encryption: Sealing, nowSeconds: number): Promise<SealingSizes | null> {
  if (encryption.kind !== 'openpgp') return null;
  const keys = 'plan' in encryption ? await encryption.load().catch(() => null) : encryption;
  return keys === null ? null : sealingSizes(keys, nowSeconds);
}

function mustFit(sizes: SealingSizes | null, plain: string, macLength: number): void {
  const reason = sizes === null ? null : explainTooLong(sizes, plain.length, macLength);
  if (reason !== null) throw new SpaError('packet-too-long', reason);
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

/**
 * fwknopd tells AES from OpenPGP by length alone, twice: first by that of the packet, unless its stanza runs commands; then by
 * that of the text without the MAC, to which it has put the prefix only if there is one. One below the minimum it never reads.
 */
function checkAesSize({ request, digest }: Message, text: string, packet: string, hasHmac: boolean): void {
  if (packet.length < PACKET_MIN_LENGTH) {
    throw new SpaError(
      'packet-too-short',
      `the packet has ${packet.length} characters, fewer than fwknopd takes (${PACKET_MIN_LENGTH}): use an HMAC, or the digest sha256`,
    );
  }
  const inner = hasHmac ? text.length : packet.length;
  const outer = request.kind === 'command' ? 0 : packet.length;
  if (Math.max(inner, outer) < PEER_OPENPGP_MIN_LENGTH) return;
  const shorter =
    SHORTER[request.kind] +
    (digestLength(digest) > digestLength('sha256') ? ', or use the digest sha256' : '');
  throw new SpaError(
    'packet-too-long',
    `the packet has ${packet.length} characters, more than fwknopd takes with AES (${PEER_OPENPGP_MIN_LENGTH - 1}): ${shorter}`,
  );
}

const SHORTER: Readonly<Record<RequestKind, string>> = {
  command: 'write a shorter command',
  access: 'ask for fewer ports',
  'nat-access': 'ask for fewer ports, or give the address of the host inside, not its name',
  'local-nat-access': 'ask for fewer ports, or give the address of the server, not its name',
};

function mustBeOpenPgp(text: string, packet: string): void {
  if (Math.min(packet.length, text.length) >= PEER_OPENPGP_MIN_LENGTH) return;
  throw new SpaError(
    'packet-too-short',
    `the packet has ${packet.length} characters, and fwknopd takes one this short for AES: sign it`,
  );
}

/**
 * Bits that are always zero, of the text's last character and of the MAC's, are looked at first: of random junk fifteen of
 * sixteen packets cost no HMAC.
 */
function prefixesWithMac(packet: Packet, hmac: HmacKey): readonly string[] {
  const { text, mac } = splitHmac(hmac, packet.text);
  if (!canEndAt(mac, mac.length - 1, mac.length)) return [];
  return candidatePrefixes(packet.kind, text).filter(
    (prefix) =>
      canEndAt(text, text.length - 1, prefix.length + text.length) && endsInMac(hmac, prefix, packet.text),
  );
}

/** The first success, or the last failure. @throws SpaError `decrypt` */
async function firstThatDecrypts(
  attempts: readonly (() => Promise<DecryptedOpenPgp>)[],
): Promise<DecryptedOpenPgp> {
  const [attempt, ...others] = attempts;
  if (attempt === undefined) throw new SpaError('decrypt', 'the packet does not decrypt');
  try {
    return await attempt();
  } catch (error) {
    if (others.length === 0 || !(error instanceof SpaError)) throw error;
    return firstThatDecrypts(others);
  }
}

function signedPacket(decrypted: DecryptedOpenPgp, nowSeconds: number): DecryptedPacket {
  return {
    signers: decrypted.signers,
    verify: async (certificates) => {
      const signed = await decrypted.verify(certificates);
      if (signed === null) {
        const { signers } = decrypted;
        const reason = await whyNotSigned(certificates, signers, nowSeconds);
        throw new SpaError('signature', reason ?? explainSigners(signers));
      }
      return opened(decrypted.text, signed);
    },
  };
}

function unsignedPacket(text: string): DecryptedPacket {
  return { signers: null, verify: async () => opened(text, { signer: null, signedAtSeconds: null }) };
}

function opened(
  text: string,
  { signer, signedAtSeconds }: Pick<OpenedPacket, 'signer' | 'signedAtSeconds'>,
): OpenedPacket {
  return { id: identify(text), message: decodeMessage(text), signer, signedAtSeconds };
}

/** One line about signatures of strangers. Anybody can put hundreds into a packet: it names only the first. */
export function explainSigners(signers: readonly string[]): string {
  const [first, ...others] = signers;
  if (first === undefined) return 'the packet is not signed';
  const more = others.length === 0 ? '' : `, nor ${others.length} more`;
  return `no permitted operator made the signature of key ${first}${more}`;
}
