import type { PartialConfig } from 'openpgp';
import { type Certificate, type KeptKey, KeyError, type SecretKey } from './openpgp-keys.ts';
import { type SealingFiles, sealByPlan } from './openpgp-seal.ts';
import type { SealingPlan } from './sealing-plan.ts';

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
      signingKeys: keys.signer.openpgpKey(),
      format: 'binary',
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

/** The library takes dates; the time itself still comes from the caller. */
export function dateOf(seconds: number): InstanceType<typeof globalThis.Date> {
  // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a number is converted.
  return new Date(seconds * 1000);
}
