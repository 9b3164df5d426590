import type { PublicKey, Subkey } from 'openpgp';
import type { Certificate } from './openpgp-keys.ts';

/** What a certificate's keys are wanted for. */
export type KeyUse = 'certify' | 'encrypt' | 'sign';

/** Whether a certificate can be used, and until when. Times in seconds since 1970; `expiresAtSeconds` null: never. */
export type Validity =
  | { readonly state: 'valid'; readonly expiresAtSeconds: number | null }
  | { readonly state: 'expired'; readonly expiresAtSeconds: number }
  | { readonly state: 'not-yet-valid'; readonly createdAtSeconds: number }
  | { readonly state: 'revoked' }
  | { readonly state: 'unusable'; readonly reason: string };

/**
 * Whether `certificate` can be used at `nowSeconds`: its primary key to certify, or the (sub)key that a packet would be
 * encrypted to or signed with. `reason` is one line. Who vouches for it is another question: see `certifiersOf`.
 */
export async function validityOf(
  certificate: Certificate,
  use: KeyUse,
  nowSeconds: number,
): Promise<Validity> {
  const key = certificate.openpgpKey();
  const now = dateOf(nowSeconds);
  if (await key.isRevoked(undefined, undefined, now)) return { state: 'revoked' };
  try {
    const part = await USES[use](key, now);
    return { state: 'valid', expiresAtSeconds: await expiryOf(key, part, now) };
  } catch (error) {
    return (await outOfTime(key, use, nowSeconds)) ?? { state: 'unusable', reason: oneLine(error) };
  }
}

type LibraryDate = ReturnType<typeof dateOf>;
type KeyPart = PublicKey | Subkey;

/** The library's way to the part that is used. A date that is null leaves expiry out. They throw if there is none. */
const USES: Readonly<Record<KeyUse, (key: PublicKey, date: LibraryDate | null) => Promise<KeyPart>>> = {
  certify: async (key, date) => {
    // The library takes null here as it does for the others; its types do not say so.
    await key.verifyPrimaryKey(date as LibraryDate);
    const { selfCertification } = await key.getPrimaryUser(date as LibraryDate);
    const [flags] = selfCertification.keyFlags ?? [];
    if (flags !== undefined && (flags & MAY_CERTIFY) === 0) throw new Error('its key may not certify');
    return key;
  },
  encrypt: (key, date) => key.getEncryptionKey(undefined, date),
  sign: (key, date) => key.getSigningKey(undefined, date),
};

/** Key flag (RFC 9580 section 5.2.3.29). */
const MAY_CERTIFY = 0x01;

/** Only time stands in the way: the part has expired, or is not there yet. */
async function outOfTime(key: PublicKey, use: KeyUse, nowSeconds: number): Promise<Validity | null> {
  try {
    const part = await USES[use](key, null);
    const createdAtSeconds = secondsOf(part.getCreationTime());
    if (createdAtSeconds > nowSeconds) return { state: 'not-yet-valid', createdAtSeconds };
    const expiresAtSeconds = await expiryOf(key, part, null);
    return expiresAtSeconds === null ? null : { state: 'expired', expiresAtSeconds };
  } catch {
    return null;
  }
}

/** A subkey ends with its primary key at the latest. */
async function expiryOf(key: PublicKey, part: KeyPart, date: LibraryDate | null): Promise<number | null> {
  const ends = [
    await key.getExpirationTime(),
    part === key ? null : await (part as Subkey).getExpirationTime(date as LibraryDate),
  ];
  const seconds = ends.flatMap((end) => (end === null || typeof end === 'number' ? [] : [secondsOf(end)]));
  return seconds.length === 0 ? null : Math.min(...seconds);
}

function oneLine(error: unknown): string {
  return (error as Error).message.replaceAll(/\s+/g, ' ');
}

function secondsOf(date: LibraryDate): number {
  return Math.floor(date.getTime() / 1000);
}

/** The library takes dates; the time itself still comes from the caller. */
function dateOf(seconds: number) {
  // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a number is converted.
  return new Date(seconds * 1000);
}
