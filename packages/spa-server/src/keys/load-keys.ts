import { statSync } from 'node:fs';
import {
  type Certificate,
  KeptKey,
  KeyError,
  type OpeningKeys,
  provesItsKeeper,
  readCertificates,
  readSecretKeys,
  type SecretKey,
  unlockSecretKey,
} from 'spa-core';
import {
  ConfigError,
  type ConfigPlace,
  exportCertificates,
  exportOneCertificate,
  exportOneWithLocalCertifications,
  exportSecretKey,
  type GnupgHome,
  listValidKeys,
  readGuardedFile,
  readPrivateFile,
} from 'spa-host';
import { findPolicy } from '../commands/accounts.ts';
import type { Certifier, OpenPgpText, StanzaText } from '../config/access-config.ts';
import type { Stated } from '../config/keywords.ts';
import type { SignerTerms } from '../decision/signers.ts';
import type { Stanza } from '../decision/stanza.ts';
import { type CertificateMemory, certifiedTerms, createCertificateMemory } from './certified-signers.ts';
import { createFewAtOnce, type FewAtOnce, gpgKeeper } from './gpg-keeper.ts';
import { warnOfKeys } from './unusable-keys.ts';

/**
 * The stanzas with the keys, users and groups that they name. Who may sign is settled here, by full fingerprint: no key that comes into
 * the key ring later is trusted because its ID looks alike. What stanzas have in common is read once.
 * @throws ConfigError naming the line whose key is missing, ambiguous, locked, unreadable or not certified.
 */
export async function loadKeys(
  stanzas: readonly StanzaText[],
  defaultHome: GnupgHome,
  { nowSeconds, warn }: LoadingContext,
): Promise<readonly Stanza[]> {
  const memory = createCertificateMemory();
  const once = createOnce();
  const load: Loading = { defaultHome, once, memory, fewAtOnce: createFewAtOnce(), nowSeconds, warn };
  return Promise.all(stanzas.map((stanza) => loadStanza(stanza, load)));
}

/** When keys are loaded, and who is told what is not as it should be and still no error, in one line each. */
export interface LoadingContext {
  readonly nowSeconds: number;
  readonly warn: (line: string) => void;
}

interface Loading extends LoadingContext {
  readonly defaultHome: GnupgHome;
  readonly once: Once;
  readonly memory: CertificateMemory;
  readonly fewAtOnce: FewAtOnce;
}

/** The result of `work`, which is done once for all that have the same name. */
type Once = <T>(name: readonly unknown[], work: () => Promise<T>) => Promise<T>;

/** A failure is everybody's too, each at the line of his own. */
function createOnce(): Once {
  const known = new Map<string, Promise<unknown>>();
  return <T>(name: readonly unknown[], work: () => Promise<T>): Promise<T> => {
    const key = JSON.stringify(name);
    const found = known.get(key) as Promise<T> | undefined;
    if (found !== undefined) return found;
    const result = work();
    known.set(key, result);
    return result;
  };
}

async function loadStanza(text: StanzaText, loading: Loading): Promise<Stanza> {
  const { defaultHome, once, memory } = loading;
  const { source: _, natSaid: __, symmetric, hmac, openpgp, ...rest } = text;
  const commands = await findPolicy(text.commands);
  const keys: OpeningKeys[] = [];
  let signers: Stanza['signers'] = null;
  if (symmetric !== null) keys.push({ kind: 'aes', key: symmetric, hmac });
  if (openpgp !== null) {
    const home: GnupgHome = {
      directory: openpgp.homeDirectory ?? defaultHome.directory,
      program: openpgp.program ?? defaultHome.program,
    };
    const [secretKey, named] = await Promise.all([
      loadSecretKey(openpgp, home, loading),
      loadSigners(openpgp, home, loading),
    ]);
    const certifiers = await loadCertifiers(openpgp, secretKey, home, once);
    const certificates = withoutCertifiers(named, certifiers, openpgp);
    signers = await loadTerms(openpgp, certificates, certifiers, loading);
    warnOfKeys({ openpgp, certificates, bastion: secretKey.certificate() }, memory, loading);
    const { requireSignature } = openpgp;
    keys.push({ kind: 'openpgp', secretKeys: [secretKey], certificates, requireSignature, hmac });
  }
  return { ...rest, keys, signers, commands };
}

async function loadTerms(
  { certifiedBy }: OpenPgpText,
  certificates: readonly Certificate[],
  certifiers: readonly Certificate[],
  loading: Loading,
): Promise<ReadonlyMap<string, SignerTerms> | null> {
  if (certifiedBy === null) return null;
  const { place } = certifiedBy;
  return at(place, certifiedTerms({ place, certificates, certifiers }, loading.memory, loading));
}

/** Those of `SPA_CERTIFIED_BY`; none without it. */
async function loadCertifiers(
  text: OpenPgpText,
  secretKey: SecretKey | KeptKey,
  home: GnupgHome,
  once: Once,
): Promise<readonly Certificate[]> {
  const { certifiedBy, signerCertFile } = text;
  if (certifiedBy === null) return [];
  const { place } = certifiedBy;
  const load = async (certifier: Certifier): Promise<Certificate> => {
    if (certifier === 'bastion') return secretKey.certificate();
    if (signerCertFile === null) return certificateOfHome(home, { value: certifier, place }, text, once);
    const ring = await ringOf(signerCertFile, once);
    return certificateOfRing(ring, signerCertFile.value, { value: certifier, place });
  };
  return unique(await Promise.all(certifiedBy.value.map(load)));
}

/** A file of which no signer is named holds the authority's certificate too, and it is there to certify only. */
function withoutCertifiers(
  certificates: readonly Certificate[],
  certifiers: readonly Certificate[],
  { remoteIds, fingerprints, signerCertFile }: OpenPgpText,
): readonly Certificate[] {
  if (remoteIds !== null || fingerprints !== null) return certificates;
  const others = certificates.filter(({ fingerprint }) =>
    certifiers.every((certifier) => certifier.fingerprint !== fingerprint),
  );
  if (others.length > 0 || signerCertFile === null) return others;
  throw new ConfigError(signerCertFile.place, 'nobody is in this file but who certifies; add the operators');
}

async function loadSecretKey(
  text: OpenPgpText,
  home: GnupgHome,
  loading: Loading,
): Promise<SecretKey | KeptKey> {
  const { decryptId, decryptKeyFile, passphrase } = text;
  const { once } = loading;
  const key =
    decryptKeyFile !== null
      ? await secretKeyOfFile(decryptKeyFile, decryptId, once)
      : await secretKeyOfHome(home, decryptId, passphrase, loading);
  if (key instanceof KeptKey || !key.isLocked) return key;
  const place = (decryptKeyFile ?? decryptId)?.place ?? { file: '' };
  if (passphrase === null) {
    throw new ConfigError(place, 'this key is locked by a passphrase; write GPG_DECRYPT_PW too');
  }
  const name = ['unlocked', decryptKeyFile?.value, home, decryptId?.value, passphrase.value];
  return at(
    passphrase.place,
    once(name, () => unlockSecretKey(key, passphrase.value)),
  );
}

async function secretKeyOfFile(
  file: Stated<string>,
  id: Stated<string> | null,
  once: Once,
): Promise<SecretKey> {
  const keys = await at(
    file.place,
    once(['key file', file.value], async () => readSecretKeys(readPrivateFile(file.value))),
  );
  const chosen = id === null ? keys : keys.filter((key) => isNamed(key, hexOf(id.value)));
  const [key, ...others] = chosen;
  if (key === undefined) {
    throw new ConfigError(
      id?.place ?? file.place,
      `${file.value} has no such key; write the fingerprint of one of: ${listFingerprints(keys)}`,
    );
  }
  if (others.length > 0) {
    throw new ConfigError(
      id?.place ?? file.place,
      `${file.value} has several such keys; write GPG_DECRYPT_ID with one of: ${listFingerprints(chosen)}`,
    );
  }
  return key;
}

/** The key itself, if gpg hands it out. What is on a card, or in an agent that keeps it, is used where it is. */
async function secretKeyOfHome(
  home: GnupgHome,
  id: Stated<string> | null,
  passphrase: Stated<string> | null,
  loading: Loading,
): Promise<SecretKey | KeptKey> {
  if (id === null) throw new TypeError('a stanza names a key file or a key of the home');
  const { once, warn } = loading;
  const word = passphrase?.value ?? null;
  const name = [home, id.value, word];
  const exported = await at(
    id.place,
    once(['key', ...name], async () => {
      const data = await exportSecretKey(home, id.value, word);
      return { isHandedOut: data !== null, key: data === null ? null : await wholeSecretKey(data) };
    }),
  );
  if (exported.key !== null) return exported.key;
  const kept = await at(
    id.place,
    once(['kept', ...name], () => keptKey(home, id.value, word, loading)),
  );
  if (kept === null) throw noSecretKey(id, passphrase, exported.isHandedOut);
  await once(['told', ...name], async () => {
    const { file, line, keyword } = id.place;
    warn(
      `${file}:${line}: ${keyword}: gpg does not hand this key out and decrypts with it itself: each packet takes a gpg process, so do write HMAC_KEY_BASE64`,
    );
  });
  return kept;
}

/** Null if parts of it are elsewhere: a card's stub cannot even be read. */
async function wholeSecretKey(data: Buffer): Promise<SecretKey | null> {
  try {
    const [key] = await readSecretKeys(data);
    return key === undefined || key.isStub ? null : key;
  } catch (error) {
    if (error instanceof KeyError) return null;
    throw error;
  }
}

/** Null if gpg does not decrypt with it. */
async function keptKey(
  home: GnupgHome,
  id: string,
  passphrase: string | null,
  { fewAtOnce, nowSeconds }: Loading,
): Promise<KeptKey | null> {
  const [certificate] = await readCertificates(await exportOneCertificate(home, id));
  if (certificate === undefined) return null;
  const key = new KeptKey(certificate, gpgKeeper(home, passphrase, fewAtOnce));
  return (await provesItsKeeper(key, nowSeconds)) ? key : null;
}

function noSecretKey(
  id: Stated<string>,
  passphrase: Stated<string> | null,
  isHandedOut: boolean,
): ConfigError {
  if (isHandedOut) {
    return new ConfigError(
      id.place,
      'gpg has only a stub of this key and cannot decrypt with it; put the card in, and write its PIN as GPG_DECRYPT_PW',
    );
  }
  return passphrase === null
    ? new ConfigError(id.place, 'gpg needs the passphrase of this key; write GPG_DECRYPT_PW too')
    : new ConfigError(passphrase.place, 'gpg refuses this passphrase; write the one of GPG_DECRYPT_ID');
}

async function loadSigners(
  text: OpenPgpText,
  home: GnupgHome,
  loading: Loading,
): Promise<readonly Certificate[]> {
  const { once } = loading;
  if (text.requireSignature && text.validSigners !== null) {
    return validSigners(text.validSigners, home, loading);
  }
  if (text.signerCertFile === null) {
    return both(
      text,
      await Promise.all([
        resolveAll(text.remoteIds, (id) => certificateOfHome(home, id, text, once)),
        resolveAll(text.fingerprints, (id) => certificateOfHome(home, id, text, once)),
      ]),
    );
  }
  const file = text.signerCertFile;
  const ring = await ringOf(file, once);
  const lists = await Promise.all([
    resolveAll(text.remoteIds, async (id) => certificateOfRing(ring, file.value, id)),
    resolveAll(text.fingerprints, async (id) => certificateOfRing(ring, file.value, id)),
  ]);
  return lists.every((list) => list === null) ? unique(ring) : both(text, lists);
}

/** What gpg finds valid now: who is certified later counts when the daemon reads its files again. */
async function validSigners(
  place: ConfigPlace,
  home: GnupgHome,
  { once, warn }: Loading,
): Promise<readonly Certificate[]> {
  const certificates = await at(
    place,
    once(['valid keys', home], async () => {
      const fingerprints = await listValidKeys(home);
      return fingerprints.length === 0 ? [] : readCertificates(await exportCertificates(home, fingerprints));
    }),
  );
  const { file, line, keyword } = place;
  warn(
    `${file}:${line}: ${keyword}: with GPG_REQUIRE_SIG Y, whoever's key is valid in the GnuPG home may sign, now ${certificates.length}; write GPG_FINGERPRINT_ID with those who shall`,
  );
  return certificates;
}

function ringOf(file: Stated<string>, once: Once): Promise<readonly Certificate[]> {
  return at(
    file.place,
    once(['signers', file.value], async () => readCertificates(readSignerFile(file.value))),
  );
}

/** The file is public, but who can write it decides who comes in. */
function readSignerFile(path: string): Buffer {
  const { data } = readGuardedFile(path);
  if ((statSync(path).mode & 0o022) === 0) return data;
  throw new ConfigError({ file: path }, 'others may write it and let themselves in; run: chmod go-w on it');
}

async function resolveAll(
  ids: Stated<readonly string[]> | null,
  resolve: (id: Stated<string>) => Promise<Certificate>,
): Promise<readonly Certificate[] | null> {
  if (ids === null) return null;
  return unique(await Promise.all(ids.value.map((value) => resolve({ value, place: ids.place }))));
}

/** Certifications that are for this home only are asked for if certifications matter. */
async function certificateOfHome(
  home: GnupgHome,
  id: Stated<string>,
  { certifiedBy }: OpenPgpText,
  once: Once,
): Promise<Certificate> {
  const exportOne = certifiedBy === null ? exportOneCertificate : exportOneWithLocalCertifications;
  const [certificate] = await at(
    id.place,
    once(['certificate', certifiedBy === null, home, id.value], async () =>
      readCertificates(await exportOne(home, id.value)),
    ),
  );
  if (certificate === undefined) throw new ConfigError(id.place, `gpg exported nothing for ${id.value}`);
  return certificate;
}

function certificateOfRing(ring: readonly Certificate[], file: string, id: Stated<string>): Certificate {
  const [certificate, ...others] = unique(ring).filter((candidate) => isNamed(candidate, id.value));
  if (certificate === undefined) {
    throw new ConfigError(
      id.place,
      `${file} has no certificate ${id.value}; it has ${listFingerprints(ring)}`,
    );
  }
  if (others.length > 0) {
    throw new ConfigError(
      id.place,
      `${id.value} is ambiguous; write the whole fingerprint: ${listFingerprints([certificate, ...others])}`,
    );
  }
  return certificate;
}

/** Who is in both lists; a list that is not there excludes nobody. */
function both(
  text: OpenPgpText,
  [byId, byFingerprint]: readonly (readonly Certificate[] | null)[],
): readonly Certificate[] {
  if (!byId || !byFingerprint) return byId ?? byFingerprint ?? [];
  const allowed = byFingerprint.filter(({ fingerprint }) =>
    byId.some((other) => other.fingerprint === fingerprint),
  );
  if (allowed.length > 0) return allowed;
  throw new ConfigError(
    text.remoteIds?.place ?? { file: '' },
    'nobody is both here and in GPG_FINGERPRINT_ID; remove GPG_REMOTE_ID',
  );
}

function unique(certificates: readonly Certificate[]): readonly Certificate[] {
  return [...new Map(certificates.map((certificate) => [certificate.fingerprint, certificate])).values()];
}

/** `hex` is a fingerprint or the end of a key ID, of the primary key or a subkey: gpg names by either. */
function isNamed(key: Certificate | SecretKey, hex: string): boolean {
  const { fingerprints } = 'certificate' in key ? key.certificate() : key;
  return hex.length > 16
    ? fingerprints.some((fingerprint) => fingerprint === hex)
    : key.keyIds.some((keyId) => keyId.endsWith(hex));
}

function hexOf(id: string): string {
  return id.replaceAll(' ', '').replace(/^0x/i, '').toUpperCase();
}

function listFingerprints(keys: readonly (Certificate | SecretKey)[]): string {
  return keys.map((key) => key.fingerprint).join(', ');
}

/** The result of `work`; what is wrong with a key or a file becomes an error at the line that names it. */
async function at<T>(place: ConfigPlace, work: Promise<T> | (() => Promise<T>)): Promise<T> {
  try {
    return await (typeof work === 'function' ? work() : work);
  } catch (error) {
    if (error instanceof KeyError || error instanceof ConfigError)
      throw new ConfigError(place, error.message);
    throw error;
  }
}
