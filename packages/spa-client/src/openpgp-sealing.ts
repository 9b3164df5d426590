import {
  type Certificate,
  checkRecipient,
  KeyError,
  parseFingerprint,
  readCertificates,
  readSecretKeys,
  type Sealing,
  type SecretKey,
  unlockSecretKey,
} from 'spa-core';
import {
  ConfigError,
  exportOneCertificate,
  exportSecretKey,
  findKey,
  type GnupgHome,
  type GnupgSealing,
  readGuardedFile,
  readPrivateFile,
  signAndEncrypt,
  UsageError,
} from 'spa-host';
import type { SecretSource } from './packet-keys.ts';
import type { Secret } from './secret.ts';
import type { Settings } from './settings.ts';

/**
 * Signer and recipient of an OpenPGP packet, each from a key file or a GnuPG home.
 *
 * With a signing key of a GnuPG home, gpg signs and encrypts itself, with gpg-agent's cache and pinentry: the key stays
 * where it is, be that a card, and it is quicker than to fetch it.
 * @throws ConfigError, KeyError if a key cannot be read or used; UsageError if signer or recipient is missing.
 */
export async function loadOpenPgpSealing(settings: Settings, secrets: SecretSource): Promise<Sealing> {
  const home = { directory: settings.gpgHome ?? null, program: settings.gpgProgram ?? 'gpg' };
  const { gpgSignerKeyFile: file } = settings;
  if (file === undefined) return gpgSealing(settings, home, knownPassphrase(settings, secrets));
  const [recipient, signer] = await Promise.all([
    loadRecipient(settings, home),
    signerFromFile(file, settings, secrets),
  ]);
  return { kind: 'openpgp', signer, recipient };
}

async function loadRecipient(settings: Settings, home: GnupgHome): Promise<Certificate> {
  const { gpgRecipientKeyFile: file, gpgRecipient: keyId } = settings;
  if (file !== undefined) return certificateFromFile(file);
  if (keyId === undefined) throw noRecipient();
  return onlyOne(keyId, await readCertificates(await exportOneCertificate(home, keyId)));
}

async function certificateFromFile(file: string): Promise<Certificate> {
  return onlyOne(file, await inFile(file, readCertificates(readGuardedFile(file).data)));
}

async function signerFromFile(file: string, settings: Settings, secrets: SecretSource): Promise<SecretKey> {
  const key = onlyOne(file, await inFile(file, readSecretKeys(readPrivateFile(file))));
  if (!key.isLocked) return key;
  const passphrase = knownPassphrase(settings, secrets) ?? (await secrets.ask(`passphrase of ${file}`));
  return inFile(file, unlockSecretKey(key, textOf(passphrase)));
}

async function gpgSealing(settings: Settings, home: GnupgHome, known: Secret | null): Promise<Sealing> {
  const { gpgSigner: keyId, gpgNoPassphrase } = settings;
  const [recipient, signer] = await Promise.all([
    gpgRecipient(settings, home),
    keyId === undefined ? Promise.reject(noSigner()) : fingerprintOf(home, 'secret', keyId),
  ]);
  // An empty passphrase instead of none: who says that the key has none is not asked for it.
  const passphrase = known === null ? (gpgNoPassphrase ? '' : null) : textOf(known);
  const keys = { signer, recipient, passphrase };
  return {
    kind: 'external',
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

/** gpg takes a certificate from a file without a question, so that the library looks at it before. */
async function gpgRecipient(settings: Settings, home: GnupgHome): Promise<GnupgSealing['recipient']> {
  const { gpgRecipientKeyFile: file, gpgRecipient: keyId } = settings;
  if (file === undefined) {
    if (keyId === undefined) throw noRecipient();
    return fingerprintOf(home, 'public', keyId);
  }
  const certificate = await certificateFromFile(file);
  await inFile(file, checkRecipient(certificate, Math.floor(Date.now() / 1000)));
  return { file };
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

function noSigner(): UsageError {
  return new UsageError(
    'sign as whom? give --gpg-signer-key KEY or --gpg-signer-key-file FILE (GPG_SIGNER, GPG_SIGNER_KEY_FILE in the rc file)',
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
