import {
  type CipherMode,
  type DigestName,
  type Fingerprint,
  HMAC_KEY_MAX_BYTES,
  HmacKey,
  parseCipherMode,
  parseDigestName,
  parseFingerprint,
  SYMMETRIC_KEY_MAX_BYTES,
  SymmetricKey,
} from 'spa-core';
import { ConfigError, type ConfigPlace, readAll } from 'spa-host';
import { NO_NAT } from '../decision/nat.ts';
import type { Stanza } from '../decision/stanza.ts';
import { type Block, readBlocks } from './access-blocks.ts';
import {
  COMMAND_KEYWORDS,
  type CommandText,
  readCommands,
  readCycle,
  warnOfCommands,
} from './command-settings.ts';
import type { ConfigFiles } from './config-files.ts';
import { ACCESS_DIFFERENCES, differencesOf } from './differences.ts';
import {
  ignoredKeywords,
  type KeywordTable,
  type ReadValue,
  readSettings,
  type Settings,
  type Stated,
  type Statement,
  warnOfRepetition,
  withAliases,
} from './keywords.ts';
import { pickNat, STANZA_NAT_KEYWORDS, type StanzaNat } from './nat-config.ts';
import type { ParsedConfig } from './server-config.ts';
import {
  integerBetween,
  keyBase64,
  keyText,
  quote,
  readBoolean,
  readList,
  readNetworks,
  readPassphrase,
  readPath,
  readProgram,
  readProtoPorts,
  readUsername,
} from './values.ts';

/** A stanza whose OpenPGP keys are still names, of keys in a GnuPG home or of files; so are users and groups. */
export interface StanzaText extends Omit<Stanza, 'keys' | 'signers' | 'commands'> {
  /** What this file says of NAT; `nat` is none until fwknopd.conf has been asked (`natPolicy`). */
  readonly natSaid: StanzaNat;
  readonly source: ConfigPlace;
  /** Null: no packet of AES opens here. */
  readonly symmetric: SymmetricKey | null;
  readonly hmac: HmacKey | null;
  /** Null: no packet of OpenPGP opens here. */
  readonly openpgp: OpenPgpText | null;
  /** Null: commands of messages are not run. */
  readonly commands: CommandText | null;
}

/** Who certifies: the bastion's own key, or the certificate with that fingerprint. */
export type Certifier = 'bastion' | Fingerprint;

/** What a stanza says of its OpenPGP keys. */
export interface OpenPgpText {
  /** `GPG_HOME_DIR` and `GPG_EXE`; null: those of fwknopd.conf. */
  readonly homeDirectory: string | null;
  readonly program: string | null;
  /** `GPG_DECRYPT_ID`: the only key that opens packets. Null: the only one in the key file. */
  readonly decryptId: Stated<string> | null;
  readonly decryptKeyFile: Stated<string> | null;
  readonly passphrase: Stated<string> | null;
  /** False: `GPG_DISABLE_SIG` without `GPG_REQUIRE_SIG`. */
  readonly requireSignature: boolean;
  /** The line that says that whoever may sign whose key is valid in the home, in gpg's eyes; null: lists or files name them. */
  readonly validSigners: ConfigPlace | null;
  /** `GPG_REMOTE_ID` and `GPG_FINGERPRINT_ID`: who signs must be in each of them that is there. */
  readonly remoteIds: Stated<readonly string[]> | null;
  readonly fingerprints: Stated<readonly Fingerprint[]> | null;
  readonly signerCertFile: Stated<string> | null;
  /** `SPA_CERTIFIED_BY`: whose certification a signer needs, of one of them; null: he needs none. */
  readonly certifiedBy: Stated<readonly Certifier[]> | null;
}

/**
 * Reads access.conf (section 6.1) and what it includes; with several `paths`, each of them. No key is looked up yet.
 *
 * Of a keyword said twice in a stanza the last counts, as in fwknopd, with a warning; so does the last of `KEY` and
 * `KEY_BASE64`.
 * @throws ConfigError; its message never holds a key.
 */
export function parseAccessConfig(
  paths: readonly string[],
  files: ConfigFiles,
): ParsedConfig<readonly StanzaText[]> {
  const blocks = readBlocks(paths, files, ACCESS_KEYWORDS);
  if (blocks.value.length === 0) {
    throw new ConfigError(
      { file: paths.join(', ') },
      'there is no stanza; write SOURCE ANY and below it keys and OPEN_PORTS',
    );
  }
  const warnings = [...blocks.warnings];
  const value = readAll(blocks.value.map((block, index) => () => readStanza(block, index + 1, warnings)));
  const withoutEffect = ignoredKeywords(KEYWORDS);
  const differences = blocks.value.flatMap((block) =>
    differencesOf(ACCESS_DIFFERENCES, withoutEffect, block),
  );
  return { value, warnings, differences: [...differences, ...blocks.differences] };
}

const DEFAULT_TIMEOUT_SECONDS = 30;
const DEFAULT_MAX_TIMEOUT_SECONDS = 300;

const KEYWORDS = {
  SOURCE: readNetworks,
  DESTINATION: readNetworks,
  KEY: keyText(SYMMETRIC_KEY_MAX_BYTES),
  KEY_BASE64: keyBase64(SYMMETRIC_KEY_MAX_BYTES),
  HMAC_KEY: keyText(HMAC_KEY_MAX_BYTES),
  HMAC_KEY_BASE64: keyBase64(HMAC_KEY_MAX_BYTES),
  HMAC_DIGEST_TYPE: readDigestName,
  ENCRYPTION_MODE: readEncryptionMode,
  OPEN_PORTS: readProtoPorts,
  RESTRICT_PORTS: readProtoPorts,
  FW_ACCESS_TIMEOUT: readAccessTimeout,
  MAX_FW_TIMEOUT: integerBetween(1, 8_388_608, 'seconds'),
  REQUIRE_SOURCE_ADDRESS: readBoolean,
  REQUIRE_USERNAME: readUsername,
  ACCESS_EXPIRE: readDate,
  ACCESS_EXPIRE_EPOCH: integerBetween(1, 9_999_999_999, 'seconds since 1970'),
  GPG_HOME_DIR: readPath,
  GPG_EXE: readProgram,
  GPG_DECRYPT_ID: readKeyName,
  GPG_DECRYPT_PW: readPassphrase,
  GPG_DECRYPT_KEY_FILE: readPath,
  GPG_ALLOW_NO_PW: readBoolean,
  GPG_REQUIRE_SIG: readBoolean,
  GPG_DISABLE_SIG: readBoolean,
  GPG_IGNORE_SIG_VERIFY_ERROR: readBoolean,
  GPG_REMOTE_ID: readKeyIds,
  GPG_FINGERPRINT_ID: readFingerprints,
  GPG_SIGNER_CERT_FILE: readPath,
  SPA_CERTIFIED_BY: readCertifiers,

  ...COMMAND_KEYWORDS,
  ...STANZA_NAT_KEYWORDS,
} satisfies Readonly<Record<string, ReadValue<unknown>>>;

type AccessSettings = Settings<typeof KEYWORDS>;

const ALIASES: Readonly<Record<string, keyof AccessSettings>> = { REQUIRE_SOURCE: 'REQUIRE_SOURCE_ADDRESS' };

/** All keywords of access.conf, each with what reads its value. */
export const ACCESS_KEYWORDS: KeywordTable = {
  ...withAliases(KEYWORDS, ALIASES),
  '%include': readPath,
  '%include_folder': readPath,
  '%include_keys': readPath,
};

function canonicalKeyword(statement: Statement): Statement {
  const keyword = Object.hasOwn(ALIASES, statement.keyword) ? ALIASES[statement.keyword] : undefined;
  return keyword === undefined ? statement : { ...statement, keyword };
}

function readStanza(block: Block, number: number, warnings: string[]): StanzaText {
  const statements = block.map(canonicalKeyword);
  const settings = readSettings(KEYWORDS, statements);
  warnings.push(...warnOfRepetition(statements, (keyword) => keyword.replace(/_(BASE64|EPOCH)$/, '')));
  const source = block[0].place;
  const symmetric = lastOf(statements, settings, 'KEY', 'KEY_BASE64');
  const hmac = lastOf(statements, settings, 'HMAC_KEY', 'HMAC_KEY_BASE64');
  const openpgp = readOpenPgp(settings);
  mustHaveKeys(source, settings, symmetric, hmac, openpgp);
  const timeouts = readTimeouts(settings);
  const stanza: StanzaText = {
    number,
    place: `${source.file}:${source.line}`,
    source,
    sources: settings.SOURCE?.value ?? 'any',
    destinations: settings.DESTINATION?.value ?? 'any',
    expiresAtSeconds: lastOf(statements, settings, 'ACCESS_EXPIRE', 'ACCESS_EXPIRE_EPOCH')?.value ?? null,
    symmetric: symmetric === null ? null : new SymmetricKey(symmetric.value, modeOf(settings)),
    hmac: hmac === null ? null : new HmacKey(hmac.value, settings.HMAC_DIGEST_TYPE?.value ?? 'sha256'),
    openpgp,
    openPorts: settings.OPEN_PORTS?.value ?? null,
    restrictPorts: settings.RESTRICT_PORTS?.value ?? [],
    ...timeouts,
    requireSourceAddress: settings.REQUIRE_SOURCE_ADDRESS?.value ?? false,
    requireUsername: settings.REQUIRE_USERNAME?.value ?? null,
    commands: readCommands(settings),
    cycle: readCycle(settings, timeouts.accessTimeoutSeconds),
    nat: NO_NAT,
    natSaid: pickNat<StanzaNat>(STANZA_NAT_KEYWORDS, settings),
    doorsAtDestination: false,
  };
  warnings.push(...warnOf(stanza, settings, [symmetric, hmac]), ...warnOfCommands(settings));
  return stanza;
}

/** Of several keywords for one thing, the one that was said last. */
function lastOf<Keyword extends keyof AccessSettings>(
  statements: readonly Statement[],
  settings: AccessSettings,
  ...ways: readonly Keyword[]
): NonNullable<AccessSettings[Keyword]> | null {
  const last = statements.findLast(({ keyword }) => ways.some((way) => way === keyword));
  return last === undefined ? null : (settings[last.keyword as Keyword] ?? null);
}

function modeOf({ ENCRYPTION_MODE }: AccessSettings): CipherMode {
  return ENCRYPTION_MODE === undefined || ENCRYPTION_MODE.value === 'asymmetric'
    ? 'cbc'
    : ENCRYPTION_MODE.value;
}

function readOpenPgp(settings: AccessSettings): OpenPgpText | null {
  const { GPG_DECRYPT_ID: decryptId, GPG_DECRYPT_KEY_FILE: decryptKeyFile } = settings;
  if (decryptId === undefined && decryptKeyFile === undefined) {
    const { GPG_DECRYPT_PW, GPG_FINGERPRINT_ID, GPG_REMOTE_ID, GPG_SIGNER_CERT_FILE } = settings;
    const stray =
      GPG_DECRYPT_PW ??
      GPG_FINGERPRINT_ID ??
      GPG_REMOTE_ID ??
      GPG_SIGNER_CERT_FILE ??
      settings.SPA_CERTIFIED_BY;
    if (stray === undefined) return null;
    throw new ConfigError(
      stray.place,
      "this needs the bastion's own key; write GPG_DECRYPT_ID (a fingerprint in GPG_HOME_DIR) or GPG_DECRYPT_KEY_FILE",
    );
  }
  return {
    homeDirectory: settings.GPG_HOME_DIR?.value ?? null,
    program: settings.GPG_EXE?.value ?? null,
    decryptId: decryptId ?? null,
    decryptKeyFile: decryptKeyFile ?? null,
    passphrase: settings.GPG_DECRYPT_PW ?? null,
    requireSignature: readRequireSignature(settings, (decryptId ?? decryptKeyFile)?.place ?? { file: '' }),
    validSigners: namesSigners(settings) ? null : (settings.GPG_DISABLE_SIG?.place ?? null),
    remoteIds: settings.GPG_REMOTE_ID ?? null,
    fingerprints: settings.GPG_FINGERPRINT_ID ?? null,
    signerCertFile: settings.GPG_SIGNER_CERT_FILE ?? null,
    certifiedBy: settings.SPA_CERTIFIED_BY ?? null,
  };
}

function namesSigners(settings: AccessSettings): boolean {
  const { GPG_FINGERPRINT_ID, GPG_REMOTE_ID, GPG_SIGNER_CERT_FILE } = settings;
  return (GPG_FINGERPRINT_ID ?? GPG_REMOTE_ID ?? GPG_SIGNER_CERT_FILE) !== undefined;
}

/** Both `GPG_DISABLE_SIG` and `GPG_REQUIRE_SIG`: fwknopd checks signatures, and needs no list of those who may sign. */
function readRequireSignature(settings: AccessSettings, place: ConfigPlace): boolean {
  const { GPG_DISABLE_SIG: disable, GPG_REQUIRE_SIG: require } = settings;
  if (disable?.value === true) return require?.value === true;
  if (namesSigners(settings)) return true;
  throw new ConfigError(
    place,
    'nobody may sign; write GPG_FINGERPRINT_ID with the full fingerprints of the operators',
  );
}

function mustHaveKeys(
  source: ConfigPlace,
  settings: AccessSettings,
  symmetric: Stated<Buffer> | null,
  hmac: Stated<Buffer> | null,
  openpgp: OpenPgpText | null,
): void {
  const mode = settings.ENCRYPTION_MODE;
  if (mode?.value === 'asymmetric' && openpgp === null) {
    throw new ConfigError(mode.place, 'Asymmetric needs OpenPGP keys; write GPG_DECRYPT_ID too, or CBC');
  }
  if (symmetric === null && openpgp === null) {
    throw new ConfigError(
      source,
      'this stanza has no key; write KEY_BASE64 and HMAC_KEY_BASE64, or GPG_DECRYPT_ID',
    );
  }
  if (symmetric !== null && hmac !== null && symmetric.value.equals(hmac.value)) {
    throw new ConfigError(hmac.place, 'the two keys of this stanza are equal; write two different ones');
  }
  const { SPA_CERTIFIED_BY: certified } = settings;
  if (certified !== undefined && (symmetric !== null || openpgp?.requireSignature === false)) {
    throw new ConfigError(
      certified.place,
      `nobody signs the packets that ${symmetric === null ? 'GPG_DISABLE_SIG' : 'KEY'} lets in; remove one of the two lines`,
    );
  }
  if (hmac === null && settings.HMAC_DIGEST_TYPE !== undefined) {
    throw new ConfigError(settings.HMAC_DIGEST_TYPE.place, 'there is no HMAC key; write HMAC_KEY_BASE64 too');
  }
}

/** Who may keep a door open for so long without asking may ask for it. */
function readTimeouts(settings: AccessSettings): Pick<Stanza, 'accessTimeoutSeconds' | 'maxTimeoutSeconds'> {
  const { FW_ACCESS_TIMEOUT: access, MAX_FW_TIMEOUT: max } = settings;
  const maxTimeoutSeconds = max?.value ?? Math.max(DEFAULT_MAX_TIMEOUT_SECONDS, access?.value ?? 0);
  if (access !== undefined && access.value > maxTimeoutSeconds) {
    throw new ConfigError(
      access.place,
      `${access.value} is more than MAX_FW_TIMEOUT (${maxTimeoutSeconds}); write MAX_FW_TIMEOUT ${access.value} too, or less here`,
    );
  }
  const accessTimeoutSeconds = access?.value ?? Math.min(DEFAULT_TIMEOUT_SECONDS, maxTimeoutSeconds);
  return { accessTimeoutSeconds, maxTimeoutSeconds };
}

/** `keys`: those that count, of AES and of the HMAC. */
function warnOf(
  stanza: StanzaText,
  settings: AccessSettings,
  keys: readonly (Stated<Buffer> | null)[],
): readonly string[] {
  const at = (stated: Stated<unknown>): string =>
    `${stated.place.file}:${stated.place.line}: ${stated.place.keyword}`;
  const here = `${stanza.place}: SOURCE`;
  const warnings: string[] = [];
  if (stanza.openPorts === null) {
    warnings.push(`${here}: any port may be opened; write OPEN_PORTS tcp/22`);
  }
  if (stanza.hmac === null) {
    warnings.push(`${here}: packets are not authenticated before they are decrypted; write HMAC_KEY_BASE64`);
  }
  const { HMAC_DIGEST_TYPE: digest, ENCRYPTION_MODE: mode } = settings;
  if (digest?.value === 'md5' || digest?.value === 'sha1') {
    warnings.push(`${at(digest)}: ${digest.value} is weak; write sha256 here and on the client`);
  }
  const weakness = mode === undefined ? undefined : WEAK_MODES[mode.value];
  if (mode !== undefined && weakness !== undefined) {
    warnings.push(`${at(mode)}: ${weakness}; write CBC here and on the client`);
  }
  for (const key of keys) {
    if (key?.place.keyword !== 'KEY' && key?.place.keyword !== 'HMAC_KEY') continue;
    warnings.push(
      `${at(key)}: a pass phrase can be guessed by whoever has one packet; write ${key.place.keyword}_BASE64 with a random key (spa-client --key-gen) here and on the client`,
    );
  }
  const short = settings.GPG_REMOTE_ID?.value.find((id) => id.length === 8);
  if (settings.GPG_REMOTE_ID !== undefined && short !== undefined) {
    warnings.push(
      `${at(settings.GPG_REMOTE_ID)}: a key with the ID ${short} can be made by anybody; write GPG_FINGERPRINT_ID with all 40 digits`,
    );
  }
  if (!stanza.requireSourceAddress) {
    warnings.push(
      `${here}: a packet may leave its address open, and whoever catches it can send it first; write REQUIRE_SOURCE_ADDRESS Y`,
    );
  }
  if (settings.GPG_DISABLE_SIG?.value === true && stanza.openpgp?.requireSignature === false) {
    warnings.push(
      `${at(settings.GPG_DISABLE_SIG)}: SIGNATURES ARE NOT CHECKED: whoever knows the bastion's public key opens the door; write GPG_FINGERPRINT_ID instead`,
    );
  }
  if (settings.GPG_IGNORE_SIG_VERIFY_ERROR?.value === true) {
    warnings.push(
      `${at(settings.GPG_IGNORE_SIG_VERIFY_ERROR)}: a signature that does not verify is refused all the same, for anybody can forge it; keys need no certification here, so remove the line`,
    );
  }
  if (settings.GPG_REQUIRE_SIG?.value === false && settings.GPG_DISABLE_SIG?.value !== true) {
    warnings.push(`${at(settings.GPG_REQUIRE_SIG)}: a signature is required all the same, as in fwknopd`);
  }
  return warnings;
}

const WEAK_MODES: Readonly<Partial<Record<CipherMode | 'asymmetric', string>>> = {
  ecb: 'ECB shows which parts of a packet are equal',
  cfb: 'nothing but the HMAC protects a packet in CFB mode from being changed',
  ofb: 'nothing but the HMAC protects a packet in OFB mode from being changed',
  ctr: 'nothing but the HMAC protects a packet in CTR mode from being changed',
  legacy: 'legacy uses no more than 16 bytes of the key',
};

function readDigestName(value: string, place: ConfigPlace): DigestName {
  const name = parseDigestName(value);
  if (name !== null) return name;
  throw new ConfigError(place, `${quote(value)} is no digest; write sha256 here and on the client`);
}

/** `Asymmetric` is what fwknop calls OpenPGP's: it says nothing that the keys do not. */
function readEncryptionMode(value: string, place: ConfigPlace): CipherMode | 'asymmetric' {
  if (/^asymmetric$/i.test(value)) return 'asymmetric';
  const mode = parseCipherMode(value);
  if (mode !== null) return mode;
  throw new ConfigError(
    place,
    `${quote(value)} is no mode; write CBC here and on the client (or CTR, CFB, OFB, ECB, legacy, and Asymmetric for OpenPGP)`,
  );
}

/** 0 is fwknop's word for its default. */
function readAccessTimeout(value: string, place: ConfigPlace): number {
  return integerBetween(0, 8_388_608, 'seconds')(value, place) || DEFAULT_TIMEOUT_SECONDS;
}

/** The first second of that day in local time, in seconds since 1970. */
function readDate(value: string, place: ConfigPlace): number {
  const [, month, day, year] = /^(\d{1,2})\/(\d{1,2})\/(\d{4})$/.exec(value)?.map(Number) ?? [];
  if (month !== undefined && day !== undefined && year !== undefined) {
    const date = new Date(year, month - 1, day);
    if (date.getMonth() === month - 1 && date.getDate() === day) return date.getTime() / 1000;
  }
  throw new ConfigError(place, `${quote(value)} is no date; write month, day and year, as in 12/31/2030`);
}

/** Whatever gpg takes for a key: fingerprint, key ID, mail address. */
function readKeyName(value: string, place: ConfigPlace): string {
  if (/^[\w.@<>+ -]{4,128}$/.test(value) && !value.startsWith('-')) return value;
  throw new ConfigError(place, `${quote(value)} names no key; write the fingerprint of the bastion's key`);
}

function readKeyIds(value: string, place: ConfigPlace): readonly string[] {
  return readList(value).map((item) => {
    const hex = item.replace(/^0x/i, '').toUpperCase();
    if (/^([0-9A-F]{8}|[0-9A-F]{16}|[0-9A-F]{40})$/.test(hex)) return hex;
    throw new ConfigError(
      place,
      `${quote(item)} is no key ID; write 8, 16 or (best) all 40 hexadecimal digits`,
    );
  });
}

function readFingerprints(value: string, place: ConfigPlace): readonly Fingerprint[] {
  return readList(value).map((item) => {
    const fingerprint = parseFingerprint(item);
    if (fingerprint !== null) return fingerprint;
    throw new ConfigError(
      place,
      `${quote(item)} is no fingerprint; write the 40 hexadecimal digits that gpg --list-keys shows`,
    );
  });
}

function readCertifiers(value: string, place: ConfigPlace): readonly Certifier[] {
  return readList(value).map((item) => {
    if (item.toLowerCase() === 'bastion') return 'bastion';
    const fingerprint = parseFingerprint(item);
    if (fingerprint !== null) return fingerprint;
    throw new ConfigError(
      place,
      `${quote(item)} is nobody who certifies; write bastion (its own key), or all 40 digits of the authority's fingerprint`,
    );
  });
}
