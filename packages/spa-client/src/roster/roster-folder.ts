import { join } from 'node:path';
import {
  type Fingerprint,
  KeyError,
  type KeyFault,
  type Party,
  type PartyKey,
  type RawCertificate,
  type Roster,
  readRawCertificates,
} from 'spa-core';
import { ConfigError } from 'spa-host';
import { readFolderFile } from './folder-file.ts';
import type { RosterSignatureState } from './plan-json.ts';
import { parseRoster, ROSTER_FILE } from './roster-file.ts';
import { type RosterSignatures, readSignatures, verifySignatures } from './roster-signatures.ts';
import { readSettled } from './settled-folder.ts';

/** A roster with the certificates that it names. */
export interface RosterFolder {
  /** The folder's path. */
  readonly path: string;
  readonly roster: Roster;
  /** The roster's file as it is. */
  readonly text: string;
  /** They are not verified: see `verifySignatures`. */
  readonly signatures: RosterSignatures;
  /** By the fingerprint that the roster names. */
  readonly certificates: ReadonlyMap<Fingerprint, RawCertificate>;
  /** Why there is no certificate, for each key that has none here. */
  readonly faults: ReadonlyMap<Fingerprint, KeyFault>;
}

/**
 * The roster of a folder, at a moment when nobody changes it. A certificate that is not there is none of the errors: see `faults`.
 * @throws ConfigError if the roster cannot be read, or is wrong
 */
export async function readRosterFolder(path: string): Promise<RosterFolder> {
  return readSettled(path, () => {
    const file = join(path, ROSTER_FILE);
    const text = readRosterText(path);
    const roster = parseRoster(file, text);
    return { path, roster, text, signatures: readSignatures(path), ...readCertificates(path, roster) };
  });
}

/** How it stands with a roster's signatures: all but `good` and `none` mean that `spa-keys sign` is due. */
export async function rosterSignatureState(
  folder: RosterFolder,
  nowSeconds: number,
): Promise<RosterSignatureState> {
  if (folder.roster.authority === null) return 'none';
  if (folder.signatures.roster === null) return 'missing';
  const made = await verifySignatures(folder, nowSeconds);
  if (made === null) return 'wrong';
  return made.lacking.length === 0 ? 'good' : 'partial';
}

/** The roster's text. @throws ConfigError if there is none */
export function readRosterText(path: string): string {
  const octets = readFolderFile(path, ROSTER_FILE, ROSTER_MAX_BYTES);
  if (octets !== null) return octets.toString('utf8');
  throw new ConfigError(
    { file: join(path, ROSTER_FILE) },
    'there is no roster; --roster names its folder, and spa-keys init starts one',
  );
}

/** All parties of a roster, the authority first. */
export function partiesOf({ authority, operators, bastions }: Roster): readonly Party[] {
  return [...(authority === null ? [] : [authority]), ...operators, ...bastions];
}

/** 300 operators on 200 bastions are about 100 KB. */
const ROSTER_MAX_BYTES = 4 * 1024 * 1024;
/** More than ten thousand certifications by RSA-4096 keys. */
const CERTIFICATE_MAX_BYTES = 16 * 1024 * 1024;

function readCertificates(path: string, roster: Roster): Pick<RosterFolder, 'certificates' | 'faults'> {
  const certificates = new Map<Fingerprint, RawCertificate>();
  const faults = new Map<Fingerprint, KeyFault>();
  for (const { key, retiring } of partiesOf(roster)) {
    for (const one of retiring === null ? [key] : [key, retiring]) {
      const found = readCertificate(path, one);
      if ('state' in found) faults.set(one.fingerprint, found);
      else certificates.set(one.fingerprint, found);
    }
  }
  return { certificates, faults };
}

function readCertificate(
  path: string,
  { fingerprint, certificateFile }: PartyKey,
): RawCertificate | KeyFault {
  try {
    const octets = readFolderFile(path, certificateFile, CERTIFICATE_MAX_BYTES);
    if (octets === null) return { state: 'missing', reason: `there is no ${certificateFile}` };
    const all = readRawCertificates(octets);
    const own = all.find((one) => one.fingerprint === fingerprint);
    if (own !== undefined) return own;
    const others = all.map((one) => one.fingerprint).join(', ');
    return { state: 'mismatch', reason: `${certificateFile} holds ${others}` };
  } catch (error) {
    if (error instanceof ConfigError) return { state: 'unusable', reason: error.message };
    if (!(error instanceof KeyError)) throw error;
    return { state: 'unusable', reason: `${certificateFile}: ${error.message}` };
  }
}
