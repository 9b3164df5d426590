import type { Message, PartialConfig, PublicKey } from 'openpgp';
import { SpaError } from './errors.ts';
import { PACKET_AGE_MAX_SECONDS } from './limits.ts';
import { type Certificate, type Fingerprint, KeyError, type SecretKey } from './openpgp-keys.ts';
import { decryptSignedText, type SignedText, verifySignedText } from './openpgp-native.ts';
import { firstPacket, type OpenPgpPacket, splitPackets, TAG } from './openpgp-packets.ts';
import { type SealingFiles, sealByPlan } from './openpgp-seal.ts';
import type { SealingPlan } from './sealing-plan.ts';
import { decryptSessionKey, recipientOf, type SessionKey } from './session-key.ts';

/** Who signs and for whom. */
export interface OpenPgpSealingKeys {
  readonly signer: SecretKey;
  readonly recipient: Certificate;
}

/** The same as key files that were judged before: the library is loaded only if the judgement does not fit. */
export interface PlannedSealing {
  readonly plan: SealingPlan;
  readonly files: SealingFiles;
  readonly load: () => Promise<OpenPgpSealingKeys>;
}

/** Who can open, and whose signature counts. */
export interface OpenPgpOpeningKeys {
  readonly secretKeys: readonly SecretKey[];
  /** Certificates of those who may sign. */
  readonly certificates: readonly Certificate[];
  /** False: the packet may be unsigned, and a signature is not looked at. */
  readonly requireSignature: boolean;
}

/** A message that was decrypted and, if a signature is required, verified. */
export interface OpenedOpenPgp {
  readonly text: string;
  /** Primary fingerprint of the certificate that signed; null if no signature is required. */
  readonly signer: Fingerprint | null;
  /** When the signature says that it was made, in seconds since 1970. Null as `signer`. */
  readonly signedAtSeconds: number | null;
}

/** The key ID of a recipient who is not named (RFC 9580 section 5.1.8). */
const ANONYMOUS_RECIPIENT = '0000000000000000';

/** A text of 1.5 kB at most; what inflates to more was made to hurt. Signatures stay short enough for RSA-3072. */
export const LIBRARY_CONFIG: PartialConfig = {
  aeadProtect: false,
  maxDecompressedMessageSize: 16_384,
  nonDeterministicSignaturesViaNotation: false,
};

/**
 * Signs and encrypts `text` as one binary OpenPGP message: PKESK version 3, SEIPD version 1.
 * @throws KeyError if a key cannot sign or encrypt: expired, revoked, of the wrong kind.
 */
export async function sealOpenPgp(
  keys: OpenPgpSealingKeys | PlannedSealing,
  text: string,
  nowSeconds: number,
): Promise<Uint8Array> {
  if (!('plan' in keys)) return sealWithLibrary(keys, text, nowSeconds);
  const sealed = sealByPlan(keys.plan, keys.files, text, nowSeconds);
  return sealed ?? sealWithLibrary(await keys.load(), text, nowSeconds);
}

async function sealWithLibrary(
  keys: OpenPgpSealingKeys,
  text: string,
  nowSeconds: number,
): Promise<Uint8Array> {
  const openpgp = await import('openpgp');
  const message = await openpgp.createMessage({ binary: Buffer.from(text, 'latin1') });
  try {
    return await openpgp.encrypt({
      message,
      encryptionKeys: keys.recipient.openpgpKey(),
      signingKeys: keys.signer.openpgpKey(),
      format: 'binary',
      date: dateOf(nowSeconds),
      config: LIBRARY_CONFIG,
    });
  } catch (error) {
    throw new KeyError((error as Error).message.replaceAll(/\s+/g, ' '));
  }
}

/** Finds out whether one can encrypt to a certificate. @throws KeyError if not: expired, revoked, of the wrong kind. */
export async function checkRecipient(certificate: Certificate, nowSeconds: number): Promise<void> {
  try {
    await certificate.openpgpKey().getEncryptionKey(undefined, dateOf(nowSeconds));
  } catch (error) {
    throw new KeyError((error as Error).message.replaceAll(/\s+/g, ' '));
  }
}

/**
 * Decrypts a binary OpenPGP message and verifies its signature: Node's crypto does what is usual, the library all else.
 *
 * The age of the signature is the caller's to check (`signedAtSeconds`): what is refused here is a signature that is
 * more than the longest possible age ahead of `nowSeconds`, or made when its key was not valid.
 * @throws SpaError `decrypt`, whatever is wrong; `signature` if none of `certificates` signed it.
 */
export async function openOpenPgp(
  keys: OpenPgpOpeningKeys,
  blob: Buffer,
  nowSeconds: number,
): Promise<OpenedOpenPgp> {
  const latest = nowSeconds + PACKET_AGE_MAX_SECONDS;
  const first = firstPacket(blob);
  const sessionKey = first === null ? null : nativeSessionKey(keys, first.packet);
  const usual = sessionKey && first && (await openUsual(keys, first.rest, sessionKey, latest));
  if (usual !== null) return usual;
  const decrypted = await decryptMessage(keys, blob, sessionKey, dateOf(latest));
  const text = Buffer.from(decrypted.data).toString('latin1');
  if (!keys.requireSignature) return { text, signer: null, signedAtSeconds: null };
  for (const signature of decrypted.signatures) {
    const verified = await verifySignature(keys, signature);
    if (verified !== null) return { text, ...verified };
  }
  throw new SpaError('signature', describeSigners(decrypted.signatures));
}

type LibraryDate = ReturnType<typeof dateOf>;

interface DecryptedMessage {
  readonly data: Uint8Array;
  readonly signatures: readonly LibrarySignature[];
}

interface LibrarySignature {
  readonly keyID: { toHex(): string };
  readonly verified: Promise<true>;
  readonly signature: Promise<{ readonly packets: readonly { readonly created: LibraryDate | null }[] }>;
}

async function decryptMessage(
  keys: OpenPgpOpeningKeys,
  blob: Buffer,
  sessionKey: SessionKey | null,
  date: LibraryDate,
): Promise<DecryptedMessage> {
  const openpgp = await import('openpgp');
  try {
    const message: Message<Uint8Array> = await openpgp.readMessage({
      binaryMessage: blob,
      config: LIBRARY_CONFIG,
    });
    const ours = new Set([ANONYMOUS_RECIPIENT, ...keys.secretKeys.flatMap((key) => key.keyIds)]);
    if (!message.getEncryptionKeyIDs().some((id) => ours.has(id.toHex().toUpperCase()))) {
      throw new SpaError('decrypt', 'the packet does not decrypt');
    }
    const decrypted = await openpgp.decrypt({
      message,
      ...(sessionKey === null
        ? { decryptionKeys: keys.secretKeys.map((key) => key.openpgpKey()) }
        : { sessionKeys: sessionKey }),
      verificationKeys: verificationKeys(keys),
      format: 'binary',
      date,
      config: LIBRARY_CONFIG,
    });
    return decrypted as unknown as DecryptedMessage;
  } catch {
    throw new SpaError('decrypt', 'the packet does not decrypt');
  }
}

/** Anybody can put hundreds of signatures into a packet: a line for the operator names only the first. */
function describeSigners(signatures: readonly LibrarySignature[]): string {
  const [first, ...others] = signatures.map((signature) => signature.keyID.toHex().toUpperCase());
  if (first === undefined) return 'the packet is not signed';
  const more = others.length === 0 ? '' : `, nor ${others.length} more`;
  return `no permitted operator made the signature of key ${first}${more}`;
}

/** The session key in a message's first packet, if Node decrypts it with one of our keys. */
function nativeSessionKey(
  { secretKeys }: OpenPgpOpeningKeys,
  { tag, body }: OpenPgpPacket,
): SessionKey | null {
  const keyId = tag === TAG.publicKeyEncryptedSessionKey ? recipientOf(body) : null;
  if (keyId === null) return null;
  for (const secretKey of secretKeys) {
    const key = secretKey.decryptionKey(keyId);
    if (key !== null) return decryptSessionKey(key, body);
  }
  return null;
}

/** Opens what follows the session key, if it has the usual form and one of `certificates` signed it; null if not. */
async function openUsual(
  keys: OpenPgpOpeningKeys,
  encryptedPart: Buffer,
  sessionKey: SessionKey,
  latestSeconds: number,
): Promise<OpenedOpenPgp | null> {
  const [encrypted, ...more] = splitPackets(encryptedPart) ?? [];
  if (!keys.requireSignature || encrypted?.tag !== TAG.symmetricallyEncrypted || more.length > 0) return null;
  const text = decryptSignedText(encrypted.body, sessionKey);
  if (text === null || text.createdSeconds > latestSeconds) return null;
  for (const certificate of keys.certificates) {
    const key = certificate.verificationKey(text.keyId);
    if (key === null || !verifySignedText(text, key)) continue;
    if (!(await couldSign(certificate, text))) continue;
    const { fingerprint } = certificate;
    return { text: text.data.toString('latin1'), signer: fingerprint, signedAtSeconds: text.createdSeconds };
  }
  return null;
}

/** True if the library finds that the (sub)key was there and valid for signing when it is said to have signed. */
async function couldSign(certificate: Certificate, { keyId, createdSeconds }: SignedText): Promise<boolean> {
  const key = certificate.openpgpKey();
  const part = key.getKeys().find((candidate) => candidate.getKeyID().toHex().toUpperCase() === keyId);
  if (part === undefined || part.getCreationTime() > dateOf(createdSeconds)) return false;
  try {
    await key.getSigningKey(part.getKeyID(), dateOf(createdSeconds));
    return true;
  } catch {
    return false;
  }
}

function verificationKeys(keys: OpenPgpOpeningKeys): PublicKey[] {
  return keys.requireSignature ? keys.certificates.map((certificate) => certificate.openpgpKey()) : [];
}

async function verifySignature(
  keys: OpenPgpOpeningKeys,
  result: LibrarySignature,
): Promise<{ readonly signer: Fingerprint; readonly signedAtSeconds: number } | null> {
  try {
    await result.verified;
  } catch {
    return null;
  }
  const keyId = result.keyID.toHex().toUpperCase();
  const certificate = keys.certificates.find((candidate) => candidate.keyIds.includes(keyId));
  const created = (await result.signature).packets[0]?.created;
  if (certificate === undefined || created === null || created === undefined) return null;
  return { signer: certificate.fingerprint, signedAtSeconds: Math.floor(created.getTime() / 1000) };
}

/** The library takes dates; the time itself still comes from the caller. */
export function dateOf(seconds: number): InstanceType<typeof globalThis.Date> {
  // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a number is converted.
  return new Date(seconds * 1000);
}
