import { join } from 'node:path';
import type { CertifyingKey, Fingerprint, Roster } from 'spa-core';
import { changeFiles } from './change-set.ts';
import { editRoster, type RosterEdit } from './roster-edit.ts';
import { parseRoster, ROSTER_FILE } from './roster-file.ts';
import { type RosterFolder, readRosterFolder } from './roster-folder.ts';
import { withRosterLock } from './roster-lock.ts';
import {
  filesOfSignatures,
  makeSignatures,
  NO_SIGNATURES,
  type RosterSignatures,
  type SignedRoster,
} from './roster-signatures.ts';

/** What is to be changed in a roster's folder, besides the version and the signature. */
export interface RosterChange {
  readonly edits: readonly RosterEdit[];
  /** Other files by their path in the folder: content, or null to remove it. */
  readonly files: ReadonlyMap<string, Buffer | string | null>;
}

/** The roster after a change. `lacking`: the authority's secret key is not here, and somebody must run `spa-keys sign`. */
export interface ChangedRoster {
  readonly roster: Roster;
  readonly signature: 'signed' | 'lacking' | 'none';
}

/** Finds what signs files: `CertifyingKeys` does. */
export interface SigningKeys {
  readonly findSigner: (
    fingerprint: Fingerprint,
    purpose: string,
    nowSeconds: number,
  ) => Promise<{ readonly key: CertifyingKey } | null>;
}

/**
 * Changes a roster, all or nothing: raises its version, and signs it if the authority's secret key is here; otherwise the
 * signatures that are there go, because they are not of this text.
 * @throws ConfigError if the roster would be wrong, FolderBusyError, and what `decide` throws: then nothing has changed
 */
export async function changeRoster(
  path: string,
  keys: SigningKeys,
  nowSeconds: number,
  decide: (folder: RosterFolder) => RosterChange | Promise<RosterChange>,
): Promise<ChangedRoster> {
  return withRosterLock(path, async () => {
    const folder = await readRosterFolder(path);
    const { edits, files } = await decide(folder);
    const version = { path: ['version'], value: folder.roster.version + 1 };
    const text = editRoster(folder.text, [...edits, version]);
    const roster = parseRoster(join(path, ROSTER_FILE), text);
    const { state, made } = await signText({ ...folder, roster, text }, keys, nowSeconds);
    await changeFiles(
      path,
      new Map([...files, [ROSTER_FILE, text] as const, ...filesOfSignatures(made, folder.signatures)]),
    );
    return { roster, signature: state };
  });
}

/**
 * A roster's text, and what bastions read of it, signed by its authority if the key is here.
 * @throws ConfigError if nobody would believe that
 */
export async function signText(
  signed: Omit<SignedRoster, 'signatures'>,
  keys: SigningKeys,
  nowSeconds: number,
): Promise<{ readonly state: ChangedRoster['signature']; readonly made: RosterSignatures }> {
  const { authority, name } = signed.roster;
  if (authority === null) return { state: 'none', made: NO_SIGNATURES };
  const purpose = `spa-keys: to sign the roster "${name}" with`;
  const found = await keys.findSigner(authority.key.fingerprint, purpose, nowSeconds);
  if (found === null) return { state: 'lacking', made: NO_SIGNATURES };
  return { state: 'signed', made: await makeSignatures(found.key, signed, nowSeconds) };
}
