import { statSync } from 'node:fs';
import {
  type BastionRoster,
  BastionRosterError,
  type Fingerprint,
  KeyError,
  parseBastionRoster,
  type RawCertificate,
  readRawCertificates,
  verifyDetached,
} from 'spa-core';
import { ConfigError, type ConfigPlace, readTrustedFile } from 'spa-host';
import type { Stated } from '../config/keywords.ts';
import { type AcceptedRoster, digestOf, readAccepted } from './accepted.ts';
import { timeText } from './describe.ts';

/** What fwknopd.conf says of the roster. */
export interface RosterConfig {
  /** `SPA_ROSTER`; its signature is beside it, with `.asc` at the end of the name. */
  readonly file: Stated<string>;
  /** `SPA_ROSTER_SIGNER_CERT_FILE` */
  readonly signerCertFile: Stated<string>;
  /** `SPA_ROSTER_SIGNER`; null: whoever is in that file, which then has one certificate. */
  readonly signers: Stated<readonly Fingerprint[]> | null;
  /** Where the last roster that was accepted is remembered. */
  readonly stateFile: string;
}

/** A roster that may come into force: its signature fits, and it is not older than the one before. */
export interface LoadedRoster {
  readonly roster: BastionRoster;
  /** What is to be remembered once it is in force; when it was accepted, if it was before. */
  readonly accepted: AcceptedRoster;
  readonly isNew: boolean;
}

/** When it is loaded, and who is told what is not as it should be and still no error, in one line each. */
export interface RosterContext {
  readonly nowSeconds: number;
  readonly warn: (line: string) => void;
}

/** How far ahead of ours the clock of who signs may be, in seconds. */
const CLOCK_DIFFERENCE_SECONDS = 300;
const MAX_ROSTER_BYTES = 8_388_608;
const MAX_SIGNATURE_BYTES = 65_536;
const MAX_CERTIFICATE_BYTES = 4_194_304;

/**
 * Reads the roster and verifies it; nothing is remembered yet.
 * @throws ConfigError if it cannot be read, is nobody's who may sign it, is malformed, or older than the last one.
 */
export async function loadRoster(
  { file, signerCertFile, signers, stateFile }: RosterConfig,
  { nowSeconds, warn }: RosterContext,
): Promise<LoadedRoster> {
  const octets = readBounded(file, file.value, MAX_ROSTER_BYTES);
  const signature = readBounded(file, `${file.value}.asc`, MAX_SIGNATURE_BYTES);
  const authorities = await readAuthorities(signerCertFile, signers);
  const verified = await verify(file.place, `${file.value}.asc`, () =>
    verifyDetached(octets, signature, authorities, nowSeconds + CLOCK_DIFFERENCE_SECONDS),
  );
  if (verified === null) {
    const who = authorities.map(({ fingerprint }) => fingerprint).join(' or ');
    throw new ConfigError(
      file.place,
      `${file.value}.asc is no valid signature of this file by ${who}; sign it again (spa-keys), or correct SPA_ROSTER_SIGNER_CERT_FILE`,
    );
  }
  const roster = parse(file, octets);
  const sha256 = digestOf(octets);
  const before = rememberedOf(stateFile, warn);
  const isNew = before === null || before.version !== roster.version;
  const accepted: AcceptedRoster = {
    ...{ roster: roster.roster, version: roster.version, sha256, signer: verified.signer },
    acceptedAtSeconds: isNew ? nowSeconds : before.acceptedAtSeconds,
  };
  if (before !== null) mustNotGoBack(file.place, before, accepted, stateFile);
  return { roster, accepted, isNew };
}

function mustNotGoBack(
  place: ConfigPlace,
  before: AcceptedRoster,
  next: AcceptedRoster,
  stateFile: string,
): void {
  if (next.roster !== before.roster) {
    throw new ConfigError(
      place,
      `this is the roster "${next.roster}", and this host follows "${before.roster}"; to follow the other, remove ${stateFile}`,
    );
  }
  if (next.version < before.version) {
    throw new ConfigError(
      place,
      `version ${next.version} is older than ${before.version}, which this host has had since ${timeText(before.acceptedAtSeconds)}; push the newest one`,
    );
  }
  if (next.version === before.version && next.sha256 !== before.sha256) {
    throw new ConfigError(
      place,
      `version ${next.version} is not what this host has as version ${before.version}; raise the version, and sign it again`,
    );
  }
}

/** Who can damage the file can remove it too; and nobody could come to repair it while no door opens. */
function rememberedOf(stateFile: string, warn: RosterContext['warn']): AcceptedRoster | null {
  const remembered = readAccepted(stateFile);
  if (remembered !== 'damaged') return remembered;
  warn(
    `${stateFile}: this file is damaged, so that nobody knows which roster was the last; the one that is here is taken`,
  );
  return null;
}

async function readAuthorities(
  file: Stated<string>,
  pinned: Stated<readonly Fingerprint[]> | null,
): Promise<readonly RawCertificate[]> {
  const data = readBounded(file, file.value, MAX_CERTIFICATE_BYTES);
  const all = await verify(file.place, file.value, async () => readRawCertificates(data));
  if (pinned === null) {
    if (all.length === 1) return all;
    const list = all.map(({ fingerprint }) => fingerprint).join(', ');
    throw new ConfigError(
      file.place,
      `${file.value} has several certificates; write SPA_ROSTER_SIGNER with one of: ${list}`,
    );
  }
  return pinned.value.map((fingerprint) => {
    const found = all.find((certificate) => certificate.fingerprint === fingerprint);
    if (found !== undefined) return found;
    const list = all.map((certificate) => certificate.fingerprint).join(', ');
    throw new ConfigError(pinned.place, `${file.value} has no certificate ${fingerprint}; it has ${list}`);
  });
}

function parse({ value: path, place }: Stated<string>, octets: Buffer): BastionRoster {
  try {
    return parseBastionRoster(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets));
  } catch (error) {
    if (error instanceof BastionRosterError) throw new ConfigError(place, `${path}: ${error.message}`);
    if (error instanceof TypeError) throw new ConfigError(place, `${path}: it is no UTF-8`);
    throw error;
  }
}

/** A file that is too large is not read at all. */
function readBounded({ place }: Stated<string>, path: string, maxBytes: number): Buffer {
  try {
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > maxBytes) {
      throw new ConfigError({ file: path }, `it has more than ${maxBytes} bytes`);
    }
    return readTrustedFile(path);
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(place, error.message);
    throw error;
  }
}

async function verify<T>(place: ConfigPlace, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof KeyError) throw new ConfigError(place, `${path}: ${error.message}`);
    throw error;
  }
}
