import type { Message, PartialConfig } from 'openpgp';
import { SpaError } from './errors.ts';
import { INFLATED_MAX_BYTES } from './openpgp-compressed.ts';
import type { Certificate, SecretKey } from './openpgp-keys.ts';
import type { SignedText } from './openpgp-native.ts';
import type { DecryptedOpenPgp, Signed } from './openpgp-opening.ts';
import { ANONYMOUS_RECIPIENT, type SessionKey } from './session-key.ts';

/** What the library decrypts with: a session key that is known already, or its own way to it. */
export type LibraryKeys = SessionKey | readonly SecretKey[];

const CONFIG: PartialConfig = { maxDecompressedMessageSize: INFLATED_MAX_BYTES };

/** The message, decrypted by openpgp.js, and once more when it is verified. @throws SpaError `decrypt`, whatever is wrong. */
export async function decryptWithLibrary(
  blob: Buffer,
  keys: LibraryKeys,
  latestSeconds: number,
): Promise<DecryptedOpenPgp> {
  const { data, signatures } = await decrypt(blob, keys, [], latestSeconds);
  return {
    text: Buffer.from(data).toString('latin1'),
    signers: signatures.map(({ keyID }) => keyIdOf(keyID)),
    verify: async (certificates) => {
      const verified = await decrypt(blob, keys, certificates, latestSeconds);
      for (const signature of verified.signatures) {
        const signed = await readSignature(signature, certificates);
        if (signed !== null) return signed;
      }
      return null;
    },
  };
}

/** The session key, decrypted by openpgp.js with one of our keys; null if it cannot, or if it is for no AES. */
export async function sessionKeyFromLibrary(blob: Buffer, keys: LibraryKeys): Promise<SessionKey | null> {
  if (!isSecretKeys(keys)) return keys;
  const openpgp = await import('openpgp');
  try {
    const message = await readMessage(blob);
    const decryptionKeys = keys.map((key) => key.openpgpKey());
    const found = await openpgp.decryptSessionKeys({ message, decryptionKeys, config: CONFIG });
    for (const { algorithm, data } of found) {
      if (algorithm === 'aes128' || algorithm === 'aes192' || algorithm === 'aes256')
        return { algorithm, data };
    }
    return null;
  } catch {
    return null;
  }
}

/** True if the library finds that the (sub)key was there and valid for signing when it is said to have signed. */
export async function couldSign(
  certificate: Certificate,
  { keyId, createdSeconds }: SignedText,
): Promise<boolean> {
  const key = certificate.openpgpKey();
  const part = key.getKeys().find((candidate) => keyIdOf(candidate.getKeyID()) === keyId);
  if (part === undefined || part.getCreationTime() > dateOf(createdSeconds)) return false;
  try {
    await key.getSigningKey(part.getKeyID(), dateOf(createdSeconds));
    return true;
  } catch {
    return false;
  }
}

/** Why the signature of a key of `certificates` does not count at that time, in one line; null: none of them has the key. */
export async function whyNotSigned(
  certificates: readonly Certificate[],
  signers: readonly string[],
  atSeconds: number,
): Promise<string | null> {
  for (const certificate of certificates) {
    const keyId = signers.find((signer) => certificate.keyIds.includes(signer));
    if (keyId === undefined) continue;
    const key = certificate.openpgpKey();
    const part = key.getKeys().find((candidate) => keyIdOf(candidate.getKeyID()) === keyId);
    const reason =
      certificate.unsupportedCurve === null
        ? await key.getSigningKey(part?.getKeyID(), dateOf(atSeconds)).then(() => FORGED, lastWords)
        : `the curve ${certificate.unsupportedCurve} is not supported`;
    return `the signature of key ${keyId} of ${certificate.fingerprint} does not count: ${reason}`;
  }
  return null;
}

const FORGED = 'it does not fit';

/** The library names its reasons from the outside in. */
function lastWords({ message }: Error): string {
  const words = message.replaceAll(/\s+/g, ' ').split(': ').at(-1) ?? message;
  return words.charAt(0).toLowerCase() + words.slice(1);
}

type LibraryDate = ReturnType<typeof dateOf>;
type LibraryMessage = Message<Uint8Array>;

interface DecryptedMessage {
  readonly data: Uint8Array;
  readonly signatures: readonly LibrarySignature[];
}

interface LibrarySignature {
  readonly keyID: LibraryKeyId;
  readonly verified: Promise<true>;
  readonly signature: Promise<{ readonly packets: readonly { readonly created: LibraryDate | null }[] }>;
}

interface LibraryKeyId {
  toHex(): string;
}

async function readMessage(blob: Buffer): Promise<LibraryMessage> {
  const openpgp = await import('openpgp');
  return openpgp.readMessage({ binaryMessage: blob, config: CONFIG });
}

async function decrypt(
  blob: Buffer,
  keys: LibraryKeys,
  certificates: readonly Certificate[],
  latestSeconds: number,
): Promise<DecryptedMessage> {
  const openpgp = await import('openpgp');
  try {
    const message = await readMessage(blob);
    if (isSecretKeys(keys) && !isFor(message, keys)) throw new Error('it is for somebody else');
    const decrypted = await openpgp.decrypt({
      message,
      ...(isSecretKeys(keys)
        ? { decryptionKeys: keys.map((key) => key.openpgpKey()) }
        : { sessionKeys: keys }),
      verificationKeys: certificates.map((certificate) => certificate.openpgpKey()),
      format: 'binary',
      date: dateOf(latestSeconds),
      config: CONFIG,
    });
    return { ...decrypted, signatures: Array.from(decrypted.signatures) } as unknown as DecryptedMessage;
  } catch {
    throw new SpaError('decrypt', 'the packet does not decrypt');
  }
}

function isFor(message: LibraryMessage, keys: readonly SecretKey[]): boolean {
  const ours = new Set([ANONYMOUS_RECIPIENT, ...keys.flatMap((key) => key.keyIds)]);
  return message.getEncryptionKeyIDs().some((id) => ours.has(keyIdOf(id)));
}

async function readSignature(
  result: LibrarySignature,
  certificates: readonly Certificate[],
): Promise<Signed | null> {
  try {
    await result.verified;
  } catch {
    return null;
  }
  const keyId = keyIdOf(result.keyID);
  const certificate = certificates.find((candidate) => candidate.keyIds.includes(keyId));
  const created = (await result.signature).packets[0]?.created;
  if (certificate === undefined || created === null || created === undefined) return null;
  return { signer: certificate.fingerprint, signedAtSeconds: Math.floor(created.getTime() / 1000) };
}

function isSecretKeys(keys: LibraryKeys): keys is readonly SecretKey[] {
  return Array.isArray(keys);
}

function keyIdOf(id: LibraryKeyId): string {
  return id.toHex().toUpperCase();
}

/** The library takes dates; the time itself still comes from the caller. */
function dateOf(seconds: number) {
  // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a number is converted.
  return new Date(seconds * 1000);
}
