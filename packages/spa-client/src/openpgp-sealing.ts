import {
  type Certificate,
  KeyError,
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
  type GnupgHome,
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
 * A signing key that GnuPG does not export without a passphrase that nobody gave (or that is on a card) stays there:
 * gpg then signs and encrypts itself, with gpg-agent's cache and pinentry.
 * @throws ConfigError, KeyError if a key cannot be read or used; UsageError if signer or recipient is missing.
 */
export async function loadOpenPgpSealing(settings: Settings, secrets: SecretSource): Promise<Sealing> {
  const home = { directory: settings.gpgHome ?? null, program: settings.gpgProgram ?? 'gpg' };
  const [recipient, signer] = await Promise.all([
    loadRecipient(settings, home),
    loadSigner(settings, home, secrets),
  ]);
  if (signer !== null) return { kind: 'openpgp', signer, recipient };
  return gpgSealing(settings, home, recipient);
}

async function loadRecipient(settings: Settings, home: GnupgHome): Promise<Certificate> {
  const { gpgRecipientKeyFile: file, gpgRecipient: keyId } = settings;
  if (file !== undefined)
    return onlyOne(file, await inFile(file, readCertificates(readGuardedFile(file).data)));
  if (keyId === undefined) {
    throw new UsageError(
      'encrypt to whom? give --gpg-recipient-key KEY or --gpg-recipient-key-file FILE (GPG_RECIPIENT, GPG_RECIPIENT_KEY_FILE in the rc file)',
    );
  }
  return onlyOne(keyId, await readCertificates(await exportOneCertificate(home, keyId)));
}

/** Null: only gpg itself can sign with the key. */
async function loadSigner(
  settings: Settings,
  home: GnupgHome,
  secrets: SecretSource,
): Promise<SecretKey | null> {
  const { gpgSignerKeyFile: file, gpgSigner: keyId } = settings;
  if (file !== undefined) return signerFromFile(file, settings, secrets);
  if (keyId === undefined) {
    throw new UsageError(
      'sign as whom? give --gpg-signer-key KEY or --gpg-signer-key-file FILE (GPG_SIGNER, GPG_SIGNER_KEY_FILE in the rc file)',
    );
  }
  return signerFromHome(keyId, settings, home, secrets);
}

async function signerFromFile(file: string, settings: Settings, secrets: SecretSource): Promise<SecretKey> {
  const key = onlyOne(file, await inFile(file, readSecretKeys(readPrivateFile(file))));
  if (!key.isLocked) return key;
  const passphrase = knownPassphrase(settings, secrets) ?? (await secrets.ask(`passphrase of ${file}`));
  return inFile(file, unlockSecretKey(key, textOf(passphrase)));
}

async function signerFromHome(
  keyId: string,
  settings: Settings,
  home: GnupgHome,
  secrets: SecretSource,
): Promise<SecretKey | null> {
  const known = knownPassphrase(settings, secrets);
  const passphrase = known === null ? null : textOf(known);
  const exported = await exportSecretKey(home, keyId, passphrase);
  const key = exported === null ? null : await readExportedKey(exported, passphrase);
  if (key !== null) return key;
  if (settings.gpgPassphrase !== undefined || secrets.piped !== null) {
    throw new KeyError(`the signing passphrase does not open the key "${keyId}" of ${nameOf(home)}`);
  }
  if (settings.gpgNoPassphrase) {
    throw new KeyError(`the key "${keyId}" of ${nameOf(home)} has a passphrase; take GPG_NO_SIGNING_PW out`);
  }
  return null;
}

/** Null: a stub (the key is on a card), of a kind that only gpg knows, or still locked. */
async function readExportedKey(exported: Buffer, passphrase: string | null): Promise<SecretKey | null> {
  try {
    const [key] = await readSecretKeys(exported);
    if (key === undefined || !key.isLocked) return key ?? null;
    return passphrase === null ? null : await unlockSecretKey(key, passphrase);
  } catch (error) {
    if (error instanceof KeyError) return null;
    throw error;
  }
}

function gpgSealing(settings: Settings, home: GnupgHome, recipient: Certificate): Sealing {
  if (settings.gpgRecipientKeyFile !== undefined) {
    throw new ConfigError(
      { file: settings.gpgRecipientKeyFile },
      `gpg has to encrypt itself, because it keeps the signing key; run gpg --import on this file and write GPG_RECIPIENT ${recipient.fingerprint}`,
    );
  }
  const signer = settings.gpgSigner ?? '';
  const keys = { signer, recipient: recipient.fingerprint, passphrase: null };
  return { kind: 'external', signAndEncrypt: (text) => signAndEncrypt(home, keys, text) };
}

/** fwknop takes KEY for the signing passphrase too. */
function knownPassphrase(settings: Settings, secrets: SecretSource): Secret | null {
  if (settings.gpgPassphrase !== undefined) return settings.gpgPassphrase;
  return secrets.piped ?? (settings.key?.kind === 'given' ? settings.key.secret : null);
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

function nameOf(home: GnupgHome): string {
  return home.directory ?? '~/.gnupg';
}
