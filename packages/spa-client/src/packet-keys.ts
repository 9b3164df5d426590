import {
  HMAC_KEY_MAX_BYTES,
  HmacKey,
  KeyError,
  type Sealing,
  SYMMETRIC_KEY_MAX_BYTES,
  SymmetricKey,
} from 'spa-core';
import { UsageError } from 'spa-host';
import { readKeyFile } from './key-file.ts';
import type { Secret } from './secret.ts';
import type { KeySource, Settings } from './settings.ts';

/** What a packet is sealed with. */
export interface PacketKeys {
  readonly encryption: Sealing;
  /** Null: no HMAC. */
  readonly hmac: HmacKey | null;
}

/** Where a secret comes from that the settings do not have. */
export interface SecretSource {
  /** The one secret that came through a pipe (`--fd`, `--stdin`): the encryption key or the signing passphrase. */
  readonly piped: Secret | null;
  /** Asks a person for `what`. @throws UsageError if nobody is there. */
  readonly ask: (what: string) => Promise<Secret>;
}

/** A source for runs in which nobody is asked. */
export const NOBODY: SecretSource = {
  piped: null,
  ask: (what) => Promise.reject(new UsageError(`nobody is asked for the ${what}`)),
};

/**
 * The keys that the settings name: AES, or OpenPGP from key files or a GnuPG home.
 * @throws ConfigError, KeyError if a key cannot be read or used; UsageError if one is missing.
 */
export async function loadPacketKeys(settings: Settings, secrets: SecretSource): Promise<PacketKeys> {
  mustSuitHmac(settings);
  const encryption = settings.useGpg
    ? await openPgpSealing(settings, secrets)
    : await aesSealing(settings, secrets);
  const hmac = await hmacKey(settings, secrets);
  if (hmac !== null && encryption.kind === 'aes' && encryption.key.bytes().equals(hmac.bytes())) {
    throw new KeyError(
      'the encryption key and the HMAC key are the same; make two with spa-client --key-gen',
    );
  }
  return { encryption, hmac };
}

/** fwknop's own rule: what knows legacy mode knows no HMAC. */
function mustSuitHmac({ useGpg, cipherMode, hmacKey, useHmac }: Settings): void {
  if (useGpg || cipherMode !== 'legacy') return;
  if (hmacKey === undefined && !useHmac) return;
  throw new UsageError(
    'legacy mode and an HMAC do not go together; write ENCRYPTION_MODE CBC, here and in access.conf',
  );
}

/** False: the packet would be encrypted with OpenPGP and signed by nobody. */
export function isSigned({ useGpg, gpgSigner, gpgSignerKeyFile }: Settings): boolean {
  return !useGpg || (gpgSigner ?? gpgSignerKeyFile) !== undefined;
}

async function openPgpSealing(settings: Settings, secrets: SecretSource): Promise<Sealing> {
  // Only a run that needs OpenPGP pays for loading it.
  const { loadOpenPgpSealing } = await import('./openpgp-sealing.ts');
  return loadOpenPgpSealing(settings, secrets);
}

async function aesSealing(settings: Settings, secrets: SecretSource): Promise<Sealing> {
  const secret =
    settings.key === undefined
      ? (secrets.piped ?? (await secrets.ask('encryption key')))
      : readKeySource(settings.key, settings.server);
  return {
    kind: 'aes',
    key: makeKey(
      'encryption key',
      secret,
      SYMMETRIC_KEY_MAX_BYTES,
      (bytes) => new SymmetricKey(bytes, settings.cipherMode),
    ),
  };
}

async function hmacKey(settings: Settings, secrets: SecretSource): Promise<HmacKey | null> {
  if (settings.hmacKey === undefined && !settings.useHmac) return null;
  const secret =
    settings.hmacKey === undefined
      ? await secrets.ask('HMAC key')
      : readKeySource(settings.hmacKey, settings.server);
  const digest = settings.hmacDigest ?? 'sha256';
  return makeKey('HMAC key', secret, HMAC_KEY_MAX_BYTES, (bytes) => new HmacKey(bytes, digest));
}

function readKeySource(source: KeySource, server: string | undefined): Secret {
  if (source.kind === 'given') return source.secret;
  if (server === undefined)
    throw new UsageError('a key file needs the host whose line to take: give -D HOST');
  return readKeyFile(source.path, server);
}

function makeKey<Key>(what: string, secret: Secret, max: number, make: (bytes: Buffer) => Key): Key {
  const bytes = secret.bytes();
  if (bytes.length >= 1 && bytes.length <= max) return make(bytes);
  throw new KeyError(`the ${what} has ${bytes.length} bytes; it must have 1 to ${max}`);
}
