import type { Key, Subkey } from 'openpgp';
import { dateOf, LIBRARY_CONFIG, type SigningKeys } from './openpgp.ts';
import { KeyError } from './openpgp-keys.ts';
import { decryptContent, readSignedText } from './openpgp-native.ts';
import { splitPackets, TAG } from './openpgp-packets.ts';
import { isSessionKey } from './session-key.ts';

/**
 * The library's judgement of a signer and a recipient: which of their keys to use, and how. It holds for the very octets
 * of the two key files that it was made from, in the time from `fromSeconds` until before `untilSeconds`. No secret.
 */
export interface SealingPlan {
  /** Fingerprint of the recipient's (sub)key, 40 upper-case hexadecimal digits. */
  readonly encryptTo: string;
  /** The same of the signer's. */
  readonly signWith: string;
  readonly cipher: 'aes128' | 'aes192' | 'aes256';
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  readonly fromSeconds: number;
  readonly untilSeconds: number;
}

/**
 * Has the library judge the keys for a day. Null if it would not choose the same at the day's end (a key expires, another
 * begins), or if what it makes with them is not the usual packet.
 * @throws KeyError if a key cannot sign or encrypt.
 */
export async function planSealing(keys: SigningKeys, nowSeconds: number): Promise<SealingPlan | null> {
  const untilSeconds = nowSeconds + DAY_SECONDS;
  const choice = await chooseKeys(keys, nowSeconds);
  const later = await chooseKeys(keys, untilSeconds).catch(() => null);
  if (later?.encryptTo !== choice.encryptTo || later.signWith !== choice.signWith) return null;
  const methods = await chooseMethods(keys, nowSeconds);
  return methods && { ...choice, ...methods, fromSeconds: nowSeconds, untilSeconds };
}

const DAY_SECONDS = 86_400;

type Choice = Pick<SealingPlan, 'encryptTo' | 'signWith'>;
type Methods = Pick<SealingPlan, 'cipher' | 'hash'>;

async function chooseKeys({ signer, recipient }: SigningKeys, atSeconds: number): Promise<Choice> {
  const date = dateOf(atSeconds);
  const fingerprintOf = (key: Key | Subkey): string => key.getFingerprint().toUpperCase();
  try {
    return {
      encryptTo: fingerprintOf(await recipient.openpgpKey().getEncryptionKey(undefined, date)),
      signWith: fingerprintOf(await signer.openpgpKey().getSigningKey(undefined, date)),
    };
  } catch (error) {
    throw new KeyError((error as Error).message.replaceAll(/\s+/g, ' '));
  }
}

/** Cipher and hash follow from what both keys prefer: seen in a packet that the library makes. */
async function chooseMethods(
  { signer, recipient }: SigningKeys,
  nowSeconds: number,
): Promise<Methods | null> {
  const openpgp = await import('openpgp');
  const encryptionKeys = recipient.openpgpKey();
  const options = { encryptionKeys, date: dateOf(nowSeconds), config: LIBRARY_CONFIG };
  const sessionKey = await openpgp.generateSessionKey(options);
  if (!isSessionKey(sessionKey)) return null;
  const sealed = await openpgp.encrypt({
    ...options,
    message: await openpgp.createMessage({ binary: Buffer.from('a text') }),
    signingKeys: signer.openpgpKey(),
    sessionKey,
    format: 'binary',
  });
  const [recipientPart, encrypted, ...more] = splitPackets(Buffer.from(sealed)) ?? [];
  const isUsual =
    recipientPart?.tag === TAG.publicKeyEncryptedSessionKey &&
    encrypted?.tag === TAG.symmetricallyEncrypted &&
    more.length === 0;
  const content = isUsual ? decryptContent(encrypted.body, sessionKey) : null;
  const signed = content && readSignedText(content);
  return signed && { cipher: sessionKey.algorithm, hash: signed.signature.hash };
}
