import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Fingerprint,
  KeyError,
  type KeyFault,
  keysOf,
  type Party,
  type PartyKey,
  type RawCertificate,
  type Roster,
  readRawCertificates,
  verifyDetached,
} from 'spa-core';
import { ConfigError } from 'spa-host';
import type { RosterSignatureState } from './plan-json.ts';
import { parseRoster, ROSTER_FILE } from './roster-file.ts';
import { readSettled } from './settled-folder.ts';

/** Detached signature of the roster's exact octets, beside it. */
export const SIGNATURE_FILE: string = `${ROSTER_FILE}.asc`;

/** A roster with the certificates that it names. */
export interface RosterFolder {
  /** The folder's path. */
  readonly path: string;
  readonly roster: Roster;
  /** The roster's file as it is. */
  readonly text: string;
  /** Armored; null: the roster is not signed. It is not verified: see `verifyRosterSignature`. */
  readonly signature: string | null;
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
    return { path, roster, text, signature: readSignature(path), ...readCertificates(path, roster) };
  });
}

/** What of a roster's signature: `missing` and `wrong` mean that `spa-keys sign` is due. */
export async function rosterSignatureState(
  folder: RosterFolder,
  nowSeconds: number,
): Promise<RosterSignatureState> {
  if (folder.roster.authority === null) return 'none';
  if (folder.signature === null) return 'missing';
  return (await verifyRosterSignature(folder, nowSeconds)) === null ? 'wrong' : 'good';
}

/** Who signed the roster as it is, and when; null: nobody whose word counts. */
export async function verifyRosterSignature(
  { text, signature, roster, certificates }: RosterFolder,
  nowSeconds: number,
): Promise<{ readonly signer: Fingerprint; readonly signedAtSeconds: number } | null> {
  if (signature === null || roster.authority === null) return null;
  const signers = keysOf(roster.authority, nowSeconds).flatMap(
    (key) => certificates.get(key.fingerprint) ?? [],
  );
  return verifyDetached(Buffer.from(text), signature, signers, nowSeconds);
}

/** The roster's text. @throws ConfigError if there is none */
export function readRosterText(path: string): string {
  const file = join(path, ROSTER_FILE);
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      { file },
      code === 'ENOENT'
        ? 'there is no roster; --roster names its folder, and spa-keys init starts one'
        : `cannot be read: ${code}`,
    );
  }
}

/** All parties of a roster, the authority first. */
export function partiesOf({ authority, operators, bastions }: Roster): readonly Party[] {
  return [...(authority === null ? [] : [authority]), ...operators, ...bastions];
}

/** More than ten thousand certifications by RSA-4096 keys. */
const CERTIFICATE_MAX_BYTES = 16 * 1024 * 1024;

function readSignature(path: string): string | null {
  try {
    return readFileSync(join(path, SIGNATURE_FILE), 'utf8');
  } catch {
    return null;
  }
}

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
  const file = join(path, certificateFile);
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined) return { state: 'missing', reason: `there is no ${certificateFile}` };
  if (!stats.isFile() || stats.size > CERTIFICATE_MAX_BYTES) {
    return { state: 'unusable', reason: `${certificateFile} is no file of a certificate` };
  }
  try {
    const all = readRawCertificates(readFileSync(file));
    const own = all.find((one) => one.fingerprint === fingerprint);
    if (own !== undefined) return own;
    const others = all.map((one) => one.fingerprint).join(', ');
    return { state: 'mismatch', reason: `${certificateFile} holds ${others}` };
  } catch (error) {
    if (!(error instanceof KeyError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
    return { state: 'unusable', reason: `${certificateFile}: ${(error as Error).message}` };
  }
}
