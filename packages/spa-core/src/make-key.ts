import { type RawCertificate, readRawCertificates } from './certificate-packets.ts';
import { KeyError } from './openpgp-keys.ts';

/** A key that is to be made. */
export interface KeyPlan {
  /** As gpg writes it: `Alice Liddell <alice@example.org>`, or a name alone. */
  readonly userId: string;
  /** Seconds since 1970; null: never. */
  readonly expiresAtSeconds: number | null;
  /** When it says to be made, in seconds since 1970. */
  readonly nowSeconds: number;
  /** Null: none, the file alone guards it. */
  readonly passphrase: string | null;
  /** `ecc`: Ed25519 and Curve25519, as gpg makes by default from 2.3 on. */
  readonly algorithm: 'ecc' | 'rsa3072';
}

/** A key that was made. */
export interface MadeKey {
  readonly certificate: RawCertificate;
  /** Armored. */
  readonly secretKey: string;
}

/**
 * A new key of version 4, which gpg and fwknop can use: a primary key that certifies and signs, a subkey that encrypts.
 * @throws KeyError if `userId` is no user ID. RangeError if it would expire before it is made.
 */
export async function makeKey({
  userId,
  expiresAtSeconds,
  nowSeconds,
  passphrase,
  algorithm,
}: KeyPlan): Promise<MadeKey> {
  if (expiresAtSeconds !== null && expiresAtSeconds <= nowSeconds) {
    throw new RangeError('a key ends after it is made');
  }
  const openpgp = await import('openpgp');
  const { privateKey, publicKey } = await openpgp.generateKey({
    ...TYPES[algorithm],
    userIDs: parseUserId(userId),
    // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a number is converted.
    date: new Date(nowSeconds * 1000),
    keyExpirationTime: expiresAtSeconds === null ? 0 : expiresAtSeconds - nowSeconds,
    ...(passphrase === null ? {} : { passphrase }),
    format: 'object',
    // What the library adds of its own, gpg's keys do not have.
    config: { v6Keys: false, aeadProtect: false, nonDeterministicSignaturesViaNotation: false },
  });
  const [certificate] = readRawCertificates(publicKey.write());
  if (certificate === undefined) throw new TypeError('the library made nothing');
  return { certificate, secretKey: privateKey.armor() };
}

const TYPES = {
  ecc: { type: 'ecc', curve: 'ed25519Legacy' },
  rsa3072: { type: 'rsa', rsaBits: 3072 },
} as const;

const USER_ID_MAX_LENGTH = 200;

function parseUserId(userId: string): { readonly name?: string; readonly email?: string } {
  const [, name = '', email] = /^([^<>]*?) ?(?:<([^<>\s@]+@[^<>\s@]+)>)?$/.exec(userId) ?? [];
  const isOne = userId !== '' && userId.length <= USER_ID_MAX_LENGTH && userId === joined(name, email);
  if (!isOne || /\p{Cc}/u.test(userId) || name !== name.trim()) {
    throw new KeyError(`${JSON.stringify(userId)} is no user ID; write NAME <ADDRESS@HOST>, or a NAME`);
  }
  return { ...(name === '' ? {} : { name }), ...(email === undefined ? {} : { email }) };
}

function joined(name: string, email: string | undefined): string {
  if (email === undefined) return name;
  return name === '' ? `<${email}>` : `${name} <${email}>`;
}
