import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Access,
  accessOf,
  type Bastion,
  bastionRosterOf,
  type CertifyingKey,
  type Fingerprint,
  formatBastionRoster,
  KeyError,
  keysOf,
  type RawCertificate,
  type Roster,
  signDetached,
  verifyDetached,
} from 'spa-core';
import { ConfigError } from 'spa-host';
import { readFolderFile } from './folder-file.ts';
import { ROSTER_FILE } from './roster-file.ts';

// An authority signs a roster, and what each bastion with spa-server reads of it, at one time. A bastion's text follows from the
// roster's and from that time alone, so that whoever has both can write it again, and only signatures are kept and carried.

/** Detached signature of the roster's exact octets, beside it. */
export const SIGNATURE_FILE: string = `${ROSTER_FILE}.asc`;

/** Where the signatures are of what bastions read, as `NAME.asc`. */
export const BASTION_SIGNATURES_FOLDER = 'bastion-rosters';

/** The signatures of a roster, armored and detached. They may be anybody's until they are verified. */
export interface RosterSignatures {
  /** Of the roster's text; null: there is none. */
  readonly roster: string | null;
  /** Of what bastions read, by their names. */
  readonly bastions: ReadonlyMap<string, string>;
}

/** Signatures that an authority made, with nothing missing. */
export interface MadeSignatures extends RosterSignatures {
  readonly roster: string;
}

/** A roster whose signatures are looked at. */
export interface SignedRoster {
  readonly text: string;
  readonly roster: Roster;
  readonly signatures: RosterSignatures;
  readonly certificates: ReadonlyMap<Fingerprint, RawCertificate>;
}

/** What a bastion reads of a roster, and its authority's signature of that. */
export interface SignedBastionRoster {
  readonly text: string;
  readonly signature: string;
}

/**
 * Who signed the roster's text, when (seconds since 1970), and the bastions' texts as of then whose signatures fit. Null: it is not
 * signed by anybody whose word counts. `lacking`: bastions whose signature is not there, or does not fit.
 */
export async function verifySignatures(
  { text, roster, signatures, certificates }: SignedRoster,
  nowSeconds: number,
): Promise<{
  readonly signedAtSeconds: number;
  readonly bastions: ReadonlyMap<string, SignedBastionRoster>;
  readonly lacking: readonly string[];
} | null> {
  if (signatures.roster === null || roster.authority === null) return null;
  const signers = keysOf(roster.authority, nowSeconds).flatMap(
    (key) => certificates.get(key.fingerprint) ?? [],
  );
  const isBy = async (octets: string, signature: string): Promise<number | null> => {
    try {
      const made = await verifyDetached(Buffer.from(octets), signature, signers, nowSeconds);
      return made?.signedAtSeconds ?? null;
    } catch (error) {
      if (error instanceof KeyError) return null;
      throw error;
    }
  };
  const signedAtSeconds = await isBy(text, signatures.roster);
  if (signedAtSeconds === null) return null;
  const bastions = new Map<string, SignedBastionRoster>();
  const lacking: string[] = [];
  for (const [name, own] of bastionTexts(roster, signedAtSeconds)) {
    const signature = signatures.bastions.get(name);
    if (signature !== undefined && (await isBy(own, signature)) !== null) {
      bastions.set(name, { text: own, signature });
    } else lacking.push(name);
  }
  return { signedAtSeconds, bastions, lacking };
}

/**
 * Signs a roster's text and what its bastions read, with what signs in its authority's name.
 * @throws ConfigError if that would not be believed, because its certificate in the roster's folder does not know the key
 */
export async function makeSignatures(
  key: CertifyingKey,
  { text, roster, certificates }: Omit<SignedRoster, 'signatures'>,
  nowSeconds: number,
): Promise<MadeSignatures> {
  const made: MadeSignatures = {
    roster: await signDetached(key, Buffer.from(text), nowSeconds),
    bastions: new Map(
      await Promise.all(
        [...bastionTexts(roster, nowSeconds)].map(
          async ([name, own]) => [name, await signDetached(key, Buffer.from(own), nowSeconds)] as const,
        ),
      ),
    ),
  };
  const verified = await verifySignatures({ text, roster, certificates, signatures: made }, nowSeconds);
  if (verified !== null && verified.lacking.length === 0) return made;
  const { fingerprint = key.fingerprint, certificateFile = 'its certificate' } = roster.authority?.key ?? {};
  throw new ConfigError(
    { file: ROSTER_FILE },
    `nobody would believe the signature by ${key.fingerprint}: ${certificateFile} does not say that this key may sign; ` +
      `bring it up to date: gpg --armor --export ${fingerprint}`,
  );
}

/** How many texts are signed with a roster besides its own. */
export function countBastionTexts(roster: Roster): number {
  return followersOf(roster).length;
}

/** The files of a roster's folder that hold signatures. @param before those that are there: of nobody's any more go */
export function filesOfSignatures(
  made: RosterSignatures,
  before: RosterSignatures,
): ReadonlyMap<string, string | null> {
  return new Map([
    [SIGNATURE_FILE, made.roster] as const,
    ...[...before.bastions.keys()].map((name) => [fileOf(name), null] as const),
    ...[...made.bastions].map(([name, signature]) => [fileOf(name), signature] as const),
  ]);
}

/** The signatures of a roster that has none. */
export const NO_SIGNATURES: RosterSignatures = { roster: null, bastions: new Map() };

/** The signatures in a roster's folder. @throws ConfigError if a file there is none, or a symbolic link */
export function readSignatures(path: string): RosterSignatures {
  const bastions = new Map<string, string>();
  for (const file of filesIn(join(path, BASTION_SIGNATURES_FOLDER))) {
    const name = file.endsWith('.asc') ? file.slice(0, -'.asc'.length) : '';
    const signature = name === '' ? null : readSignature(path, `${BASTION_SIGNATURES_FOLDER}/${file}`);
    if (signature !== null) bastions.set(name, signature);
  }
  return { roster: readSignature(path, SIGNATURE_FILE), bastions };
}

/** Some hundred signatures in one file are more than anybody means. */
const SIGNATURE_MAX_BYTES = 65_536;

function fileOf(bastion: string): string {
  return `${BASTION_SIGNATURES_FOLDER}/${bastion}.asc`;
}

/** Those that read a roster. */
function followersOf({ authority, bastions }: Roster): readonly Bastion[] {
  return authority === null ? [] : bastions.filter(({ capabilities }) => capabilities.includes('spa-server'));
}

function bastionTexts(roster: Roster, signedAtSeconds: number): ReadonlyMap<string, string> {
  const followers = followersOf(roster);
  if (followers.length === 0) return new Map();
  const access = new Map<string, Access[]>(followers.map(({ name }) => [name, []]));
  for (const one of accessOf(roster, signedAtSeconds)) access.get(one.bastion.name)?.push(one);
  return new Map(
    followers.map((bastion) => [
      bastion.name,
      formatBastionRoster(bastionRosterOf(roster, bastion, signedAtSeconds, access.get(bastion.name))),
    ]),
  );
}

function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readSignature(folder: string, file: string): string | null {
  return readFolderFile(folder, file, SIGNATURE_MAX_BYTES)?.toString('utf8') ?? null;
}
