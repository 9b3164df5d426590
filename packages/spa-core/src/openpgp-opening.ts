import { SpaError } from './errors.ts';
import { PACKET_AGE_MAX_SECONDS } from './limits.ts';
import type { DecryptionKey } from './native-keys.ts';
import { isCheapToRead } from './openpgp-compressed.ts';
import { type Certificate, type Fingerprint, KeptKey, type SecretKey } from './openpgp-keys.ts';
import { couldSign, decryptWithLibrary, type LibraryKeys, sessionKeyFromLibrary } from './openpgp-library.ts';
import { decryptContent, readSignedText, type SignedText, verifySignedText } from './openpgp-native.ts';
import { firstPacket, type OpenPgpPacket, splitPackets, TAG } from './openpgp-packets.ts';
import { ANONYMOUS_RECIPIENT, decryptSessionKey, recipientOf, type SessionKey } from './session-key.ts';

/** A secret key of ours, here or with its keeper. */
type OpeningKey = SecretKey | KeptKey;

/** What decrypts a message. `isVouched`: an HMAC proved that its sender holds a shared secret. */
export interface OpenPgpDecryptionKeys {
  readonly secretKeys: readonly OpeningKey[];
  readonly isVouched: boolean;
}

/** A message that was decrypted; its signatures are not verified yet. */
export interface DecryptedOpenPgp {
  readonly text: string;
  /** Key IDs of the (sub)keys that are said to have signed, 16 upper-case hexadecimal digits each. */
  readonly signers: readonly string[];
  /** Who of `certificates` signed; null if nobody did, or when his key was not valid. */
  verify(certificates: readonly Certificate[]): Promise<Signed | null>;
}

/** A signature that was verified. */
export interface Signed {
  /** Primary fingerprint of the certificate. */
  readonly signer: Fingerprint;
  /** When the signature says that it was made, in seconds since 1970. */
  readonly signedAtSeconds: number;
}

/** Opens one message with whatever keys it is given. @throws SpaError `decrypt`, whatever is wrong. */
export type OpenPgpDecryptor = (keys: OpenPgpDecryptionKeys) => Promise<DecryptedOpenPgp>;

/** A packet has room for ten recipients, and each attempt is public-key work. */
const MAX_ATTEMPTS = 4;

/**
 * The decryptor of a binary OpenPGP message. What two of its calls have in common, by the identity of the keys, is done once.
 *
 * Node's crypto does what is usual, the keeper of a kept key gives the session key and nothing else, the library does all else. What no HMAC vouches for gets to the library only after Node has
 * decrypted it and it was found cheap to read.
 *
 * The age of a signature is the caller's to check (`signedAtSeconds`): what is refused here is a signature that is
 * more than the longest possible age ahead of `nowSeconds`, or made when its key was not valid.
 */
export function decryptorOf(blob: Buffer, nowSeconds: number): OpenPgpDecryptor {
  const { recipients, encrypted } = readEnvelope(blob);
  const latestSeconds = nowSeconds + PACKET_AGE_MAX_SECONDS;
  const native = memoized((recipient: Recipient) =>
    memoized((key: DecryptionKey) => decryptNatively(key, recipient, encrypted)),
  );
  const kept = memoized((recipient: Recipient) =>
    memoized((key: KeptKey) => decryptByKeeper(key, recipient, encrypted)),
  );
  const library = memoized((keys: LibraryKeys) => decryptWithLibrary(blob, keys, latestSeconds));
  const sessionKeys = memoized((keys: LibraryKeys) => sessionKeyFromLibrary(blob, keys));
  const signedText = memoized((content: Content) => {
    const text = readSignedText(content.octets);
    return text === null ? null : fromSignedText(text, latestSeconds, () => library(content.sessionKey));
  });
  const read = async (content: Content, isVouched: boolean): Promise<DecryptedOpenPgp> => {
    const usual = signedText(content);
    if (usual !== null) return usual;
    if (!isVouched && !isCheapToRead(content.octets)) throw doesNotDecrypt();
    return library(content.sessionKey);
  };

  return async ({ secretKeys, isVouched }) => {
    if (!recipients.some(({ keyId }) => isOneOf(secretKeys, keyId))) throw doesNotDecrypt();
    const attempts = recipients.flatMap((recipient) =>
      nativeKeys(secretKeys, recipient.keyId).map((key) => ({ recipient, key })),
    );
    for (const { recipient, key } of attempts.slice(0, MAX_ATTEMPTS)) {
      const content = native(recipient)(key);
      if (content !== null) return read(content, isVouched);
    }
    const keepers = recipients.flatMap((recipient) =>
      secretKeys.filter((key) => key instanceof KeptKey).map((key) => ({ recipient, key })),
    );
    for (const { recipient, key } of keepers.slice(0, MAX_ATTEMPTS)) {
      const content = await kept(recipient)(key);
      if (content !== null) return read(content, isVouched);
    }
    if (!areHere(secretKeys) || secretKeys.length === 0) throw doesNotDecrypt();
    if (isVouched) return library(secretKeys);
    if (attempts.length > 0) throw doesNotDecrypt();
    const sessionKey = await sessionKeys(secretKeys);
    const content = sessionKey === null ? null : contentOf(encrypted, sessionKey);
    if (content === null) throw doesNotDecrypt();
    return read(content, isVouched);
  };
}

/** The recipients that the message names in the clear, as 16 upper-case hexadecimal digits; all zero: not named. */
export function keyIdsOf(blob: Buffer): readonly string[] {
  return readRecipients(blob).recipients.map(({ keyId }) => keyId);
}

/** A recipient that the message names. */
interface Recipient {
  readonly keyId: string;
  readonly packet: OpenPgpPacket;
}

/** What was encrypted, its modification detection code checked. */
interface Content {
  readonly octets: Buffer;
  readonly sessionKey: SessionKey;
}

/** The recipients at the beginning of a message, and the packet after them if it is of the usual kind and the last one. */
function readEnvelope(blob: Buffer): {
  readonly recipients: readonly Recipient[];
  readonly encrypted: OpenPgpPacket | null;
} {
  const { recipients, rest } = readRecipients(blob);
  const [encrypted, ...more] = splitPackets(rest) ?? [];
  const isUsual = encrypted?.tag === TAG.symmetricallyEncrypted && more.length === 0;
  return { recipients, encrypted: isUsual ? encrypted : null };
}

/** The recipients at the beginning of a message, and what follows them. */
function readRecipients(blob: Buffer): { readonly recipients: readonly Recipient[]; readonly rest: Buffer } {
  const recipients: Recipient[] = [];
  let rest = blob;
  for (let first = firstPacket(rest); first !== null; first = firstPacket(rest)) {
    const { packet } = first;
    const keyId = packet.tag === TAG.publicKeyEncryptedSessionKey ? recipientOf(packet.body) : null;
    if (keyId === null) break;
    recipients.push({ keyId, packet });
    rest = first.rest;
  }
  return { recipients, rest };
}

function areHere(secretKeys: readonly OpeningKey[]): secretKeys is readonly SecretKey[] {
  return secretKeys.every((key) => !(key instanceof KeptKey));
}

function isOneOf(secretKeys: readonly OpeningKey[], keyId: string): boolean {
  return keyId === ANONYMOUS_RECIPIENT || secretKeys.some((key) => key.keyIds.includes(keyId));
}

/** The keys of ours that a session key for `keyId` can be decrypted with. */
function nativeKeys(secretKeys: readonly OpeningKey[], keyId: string): readonly DecryptionKey[] {
  return secretKeys.flatMap((secretKey) => {
    const wanted = keyId === ANONYMOUS_RECIPIENT ? secretKey.keyIds : [keyId];
    return wanted.map((id) => secretKey.decryptionKey(id)).filter((key) => key !== null);
  });
}

function decryptNatively(
  key: DecryptionKey,
  { packet }: Recipient,
  encrypted: OpenPgpPacket | null,
): Content | null {
  const sessionKey = decryptSessionKey(key, packet.body);
  return sessionKey === null ? null : contentOf(encrypted, sessionKey);
}

/** No keeper is asked for what could not be read. */
async function decryptByKeeper(
  key: KeptKey,
  { packet }: Recipient,
  encrypted: OpenPgpPacket | null,
): Promise<Content | null> {
  const sessionKey = encrypted === null ? null : await key.sessionKey(packet.body);
  return sessionKey === null ? null : contentOf(encrypted, sessionKey);
}

function contentOf(encrypted: OpenPgpPacket | null, sessionKey: SessionKey): Content | null {
  const octets = encrypted === null ? null : decryptContent(encrypted.body, sessionKey);
  return octets === null ? null : { octets, sessionKey };
}

/** `library` gives the same message for keys that Node does not verify with. */
function fromSignedText(
  text: SignedText,
  latestSeconds: number,
  library: () => Promise<DecryptedOpenPgp>,
): DecryptedOpenPgp {
  return {
    text: text.data.toString('latin1'),
    signers: [text.keyId],
    verify: async (certificates) => {
      if (text.createdSeconds > latestSeconds) return null;
      const exotic: Certificate[] = [];
      for (const certificate of certificates.filter(({ keyIds }) => keyIds.includes(text.keyId))) {
        const key = certificate.verificationKey(text.keyId);
        if (key === null) exotic.push(certificate);
        else if (verifySignedText(text, key) && (await couldSign(certificate, text))) {
          return { signer: certificate.fingerprint, signedAtSeconds: text.createdSeconds };
        }
      }
      return exotic.length === 0 ? null : (await library()).verify(exotic);
    },
  };
}

function doesNotDecrypt(): SpaError {
  return new SpaError('decrypt', 'the packet does not decrypt');
}

/** `compute`, once for each key. */
function memoized<Key extends object, Value>(compute: (key: Key) => Value): (key: Key) => Value {
  const known = new Map<Key, Value>();
  return (key) => {
    const before = known.get(key);
    if (before !== undefined) return before;
    const value = compute(key);
    known.set(key, value);
    return value;
  };
}
