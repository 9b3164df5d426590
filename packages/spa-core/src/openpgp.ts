import type { Key, PartialConfig, Subkey } from 'openpgp';
import { type Certificate, type KeptKey, KeyError, type SecretKey } from './openpgp-keys.ts';
import { type SealingFiles, sealByPlan } from './openpgp-seal.ts';
import type { KeySize, SealingSizes } from './packet-size.ts';
import type { SealingPlan } from './sealing-plan.ts';

/** Who signs, or null for nobody, and for whom. */
export interface OpenPgpSealingKeys {
  readonly signer: SecretKey | null;
  readonly recipient: Certificate;
}

/** The same if somebody signs. */
export interface SigningKeys extends OpenPgpSealingKeys {
  readonly signer: SecretKey;
}

/** The same as key files that were judged before: the library is loaded only if the judgement does not fit. */
export interface PlannedSealing {
  readonly plan: SealingPlan;
  readonly files: SealingFiles;
  readonly load: () => Promise<SigningKeys>;
}

/** Who can open, and whose signature counts. */
export interface OpenPgpOpeningKeys {
  readonly secretKeys: readonly (SecretKey | KeptKey)[];
  /** Certificates of those who may sign. */
  readonly certificates: readonly Certificate[];
  /** False: the packet may be unsigned, and a signature is not looked at. */
  readonly requireSignature: boolean;
}

/** Signatures stay short enough for RSA-3072. */
export const LIBRARY_CONFIG: PartialConfig = {
  aeadProtect: false,
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
  const encryptionKeys = keys.recipient.openpgpKey();
  const options = { encryptionKeys, date: dateOf(nowSeconds), config: LIBRARY_CONFIG };
  try {
    // Without the AEAD algorithm that keys of RFC 9580 ask for: that form is longer, and opens only behind an HMAC.
    const { algorithm, data } = await openpgp.generateSessionKey(options);
    return await openpgp.encrypt({
      ...options,
      message,
      sessionKey: { algorithm, data },
      ...(keys.signer === null ? {} : { signingKeys: keys.signer.openpgpKey() }),
      format: 'binary',
    });
  } catch (error) {
    throw new KeyError((error as Error).message.replaceAll(/\s+/g, ' '));
  }
}

/** Sizes of the keys that a packet would be made with now. @throws KeyError as {@link sealOpenPgp} */
export async function sealingSizes(
  { signer, recipient }: OpenPgpSealingKeys,
  nowSeconds: number,
): Promise<SealingSizes> {
  const date = dateOf(nowSeconds);
  try {
    const [signing, encrypting] = await Promise.all([
      signer?.openpgpKey().getSigningKey(undefined, date),
      recipient.openpgpKey().getEncryptionKey(undefined, date),
    ]);
    return { signer: signing === undefined ? null : sizeOf(signing), recipient: sizeOf(encrypting) };
  } catch (error) {
    throw new KeyError((error as Error).message.replaceAll(/\s+/g, ' '));
  }
}

/** Curves are called after their size, but for those of RFC 7748. */
function sizeOf({ keyPacket }: Key | Subkey): KeySize {
  const { bits, curve, algorithm: name } = keyPacket.getAlgorithmInfo();
  const digits = Number(/\d+/.exec(curve ?? name)?.[0]);
  return { algorithm: Number(keyPacket.algorithm), bits: bits ?? (digits === 25519 ? 255 : digits) };
}

/** The library takes dates; the time itself still comes from the caller. */
export function dateOf(seconds: number): InstanceType<typeof globalThis.Date> {
  // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a number is converted.
  return new Date(seconds * 1000);
}
