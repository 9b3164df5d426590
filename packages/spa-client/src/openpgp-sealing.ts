import {
  type Certificate,
  KeyError,
  type KeySize,
  parseFingerprint,
  planSealing,
  readCertificates,
  readSecretKeys,
  type Sealing,
  type SealingFiles,
  type SealingSizes,
  type SecretKey,
  type SigningKeys,
  sealingSizes,
  unlockSecretKey,
} from 'spa-core';
import {
  ConfigError,
  exportOneCertificate,
  exportSecretKey,
  findKey,
  type GnupgHome,
  type GnupgSealing,
  listKeySizes,
  readPrivateFile,
  readTrustedFile,
  signAndEncrypt,
  UsageError,
} from 'spa-host';
import type { SecretSource } from './packet-keys.ts';
import { readSealingPlan, writeSealingPlan } from './sealing-plan-file.ts';
import type { Secret } from './secret.ts';
import type { Settings } from './settings.ts';

/**
 * Signer and recipient of an OpenPGP packet, each from a key file or a GnuPG home.
 *
 * With a signing key of a GnuPG home, gpg signs and encrypts itself, with gpg-agent's cache and pinentry: the key stays
 * where it is, be that a card, and it is quicker than to fetch it.
 * Without a signer the packet is not signed, as fwknop has it: a server takes that with `GPG_DISABLE_SIG` only.
 * @throws ConfigError, KeyError if a key cannot be read or used; UsageError if the recipient is missing.
 */
export async function loadOpenPgpSealing(settings: Settings, secrets: SecretSource): Promise<Sealing> {
  const home = { directory: settings.gpgHome ?? null, program: settings.gpgProgram ?? 'gpg' };
  const { gpgSignerKeyFile: file, gpgSigner, gpgRecipientKeyFile } = settings;
  if (file !== undefined) return fileSealing(file, settings, home, secrets);
  const isAllInFiles = gpgSigner === undefined && gpgRecipientKeyFile !== undefined;
  if (!isAllInFiles) return gpgSealing(settings, home, knownPassphrase(settings, secrets));
  const recipient = await readRecipient(await recipientData(settings, home));
  return { kind: 'openpgp', signer: null, recipient };
}

/** Keys that were judged before need no library. */
async function fileSealing(
  signerFile: string,
  settings: Settings,
  home: GnupgHome,
  secrets: SecretSource,
): Promise<Sealing> {
  const recipient = await recipientData(settings, home);
  const files = { signer: readPrivateFile(signerFile), recipient: recipient.data };
  const load = async (): Promise<SigningKeys> => ({
    recipient: await readRecipient(recipient),
    signer: await readSigner(signerFile, files.signer, settings, secrets),
  });
  const nowSeconds = Math.floor(Date.now() / 1000);
  const plan = readSealingPlan(files, nowSeconds);
  if (plan !== null) return { kind: 'openpgp', plan, files, load };
  const keys = await load();
  await rememberPlan(files, keys, nowSeconds);
  return { kind: 'openpgp', ...keys };
}

/** Best effort: what is wrong with the keys is said when they are used. */
async function rememberPlan(files: SealingFiles, keys: SigningKeys, nowSeconds: number): Promise<void> {
  const plan = await planSealing(keys, nowSeconds).catch(() => null);
  if (plan !== null) writeSealingPlan(files, plan);
}

/** A recipient's certificate, not read yet, and where it is from. */
interface RecipientData {
  readonly from: string;
  readonly data: Buffer;
}

async function recipientData(settings: Settings, home: GnupgHome): Promise<RecipientData> {
  const { gpgRecipientKeyFile: file, gpgRecipient: keyId } = settings;
  if (file !== undefined) return { from: file, data: readTrustedFile(file) };
  if (keyId === undefined) throw noRecipient();
  return { from: keyId, data: await exportOneCertificate(home, keyId) };
}

async function readRecipient({ from, data }: RecipientData): Promise<Certificate> {
  return onlyOne(from, await inFile(from, readCertificates(data)));
}

async function readSigner(
  file: string,
  data: Buffer,
  settings: Settings,
  secrets: SecretSource,
): Promise<SecretKey> {
  const key = onlyOne(file, await inFile(file, readSecretKeys(data)));
  if (!key.isLocked) return key;
  const passphrase = knownPassphrase(settings, secrets) ?? (await secrets.ask(`passphrase of ${file}`));
  return inFile(file, unlockSecretKey(key, textOf(passphrase)));
}

async function gpgSealing(settings: Settings, home: GnupgHome, known: Secret | null): Promise<Sealing> {
  const { gpgSigner: keyId, gpgNoPassphrase } = settings;
  const [recipient, signer] = await Promise.all([
    gpgRecipient(settings, home),
    keyId === undefined ? null : fingerprintOf(home, 'secret', keyId),
  ]);
  // An empty passphrase instead of none: who says that the key has none is not asked for it.
  const passphrase = known === null ? (gpgNoPassphrase ? '' : null) : textOf(known);
  const keys = { signer, recipient: recipient.name, passphrase };
  const sizes = await sizesOf(home, signer, recipient);
  return {
    kind: 'external',
    ...(sizes === null ? {} : { sizes }),
    signAndEncrypt: async (text) => {
      try {
        return await signAndEncrypt(home, keys, text);
      } catch (error) {
        throw await diagnose(error as Error, settings, home, keys);
      }
    },
  };
}

/** A whole fingerprint is taken at its word: gpg will say if there is no such key. */
async function fingerprintOf(home: GnupgHome, kind: 'public' | 'secret', keyId: string): Promise<string> {
  return parseFingerprint(keyId) ?? findKey(home, kind, keyId);
}

/** Whom gpg encrypts to. */
interface GpgRecipient {
  readonly name: GnupgSealing['recipient'];
  /** Null: gpg is to be asked. */
  readonly size: KeySize | null;
}

/** gpg takes a certificate from a file without a question, so that the library looks at it before. */
async function gpgRecipient(settings: Settings, home: GnupgHome): Promise<GpgRecipient> {
  const { gpgRecipientKeyFile: file, gpgRecipient: keyId } = settings;
  if (file === undefined) {
    if (keyId === undefined) throw noRecipient();
    return { name: await fingerprintOf(home, 'public', keyId), size: null };
  }
  const recipient = await readRecipient(await recipientData(settings, home));
  const now = Math.floor(Date.now() / 1000);
  const { recipient: size } = await inFile(file, sealingSizes({ signer: null, recipient }, now));
  return { name: { file }, size };
}

/** Null if gpg does not know; then it will say what is wrong. */
async function sizesOf(
  home: GnupgHome,
  signer: string | null,
  { name, size }: GpgRecipient,
): Promise<SealingSizes | null> {
  const signing = signer === null ? [] : [[signer, 'sign'] as const];
  const encrypting = typeof name === 'string' ? [[name, 'encrypt'] as const] : [];
  const found = await listKeySizes(home, [...signing, ...encrypting]);
  const recipient = size ?? found.at(-1) ?? null;
  const signerSize = signer === null ? null : found[0];
  return recipient === null || (signer !== null && !signerSize)
    ? null
    : { signer: signerSize ?? null, recipient };
}

/** Why gpg refused, as far as it can be said better than with gpg's last line. */
async function diagnose(
  error: Error,
  settings: Settings,
  home: GnupgHome,
  { signer, recipient, passphrase }: GnupgSealing,
): Promise<Error> {
  try {
    if (typeof recipient === 'string') await findKey(home, 'public', recipient);
    if (signer === null) return error;
    await findKey(home, 'secret', signer);
    if (passphrase === null || (await exportSecretKey(home, signer, passphrase)) !== null) return error;
  } catch (cause) {
    return cause as Error;
  }
  const key = `the key "${settings.gpgSigner}" of ${home.directory ?? '~/.gnupg'}`;
  return new KeyError(
    passphrase === ''
      ? `${key} has a passphrase; take GPG_NO_SIGNING_PW out`
      : `the signing passphrase does not open ${key}`,
  );
}

/** fwknop takes KEY for the signing passphrase too. */
function knownPassphrase(settings: Settings, secrets: SecretSource): Secret | null {
  if (settings.gpgPassphrase !== undefined) return settings.gpgPassphrase;
  return secrets.piped ?? (settings.key?.kind === 'given' ? settings.key.secret : null);
}

function noRecipient(): UsageError {
  return new UsageError(
    'encrypt to whom? give --gpg-recipient-key KEY or --gpg-recipient-key-file FILE (GPG_RECIPIENT, GPG_RECIPIENT_KEY_FILE in the rc file)',
  );
}

function textOf(secret: Secret): string {
  return secret.bytes().toString('utf8');
}

function onlyOne<Key extends { readonly fingerprint: string }>(where: string, keys: readonly Key[]): Key {
  const [key, ...others] = keys;
  if (key !== undefined && others.length === 0) return key;
  const fingerprints = keys.map((candidate) => candidate.fingerprint).join(', ');
  throw new ConfigError({ file: where }, `is ambiguous, it has several keys; keep one of ${fingerprints}`);
}

async function inFile<Result>(file: string, reading: Promise<Result>): Promise<Result> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof KeyError) throw new ConfigError({ file }, error.message);
    throw error;
  }
}
