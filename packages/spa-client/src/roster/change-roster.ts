import { join } from 'node:path';
import { type CertifyingKey, type Fingerprint, type Roster, signDetached } from 'spa-core';
import { changeFiles } from './change-set.ts';
import { withFolderLock } from './folder-lock.ts';
import { editRoster, type RosterEdit } from './roster-edit.ts';
import { parseRoster, ROSTER_FILE } from './roster-file.ts';
import { type RosterFolder, readRosterFolder, SIGNATURE_FILE } from './roster-folder.ts';

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

/** Finds secret keys by their fingerprint: `CertifyingKeys` does. */
export interface SigningKeys {
  readonly find: (
    fingerprint: Fingerprint,
    purpose: string,
  ) => Promise<{ readonly key: CertifyingKey } | null>;
}

/**
 * Changes a roster, all or nothing: raises its version, and signs it if the authority's secret key is here; otherwise the
 * signature that is there goes, because it is not of this text.
 * @throws ConfigError if the roster would be wrong, FolderBusyError, and what `decide` throws: then nothing has changed
 */
export async function changeRoster(
  path: string,
  keys: SigningKeys,
  nowSeconds: number,
  decide: (folder: RosterFolder) => RosterChange | Promise<RosterChange>,
): Promise<ChangedRoster> {
  return withFolderLock(path, async () => {
    const folder = await readRosterFolder(path);
    const { edits, files } = await decide(folder);
    const version = { path: ['version'], value: folder.roster.version + 1 };
    const text = editRoster(folder.text, [...edits, version]);
    const roster = parseRoster(join(path, ROSTER_FILE), text);
    const signature = await signText(roster, text, keys, nowSeconds);
    const signed = new Map([
      ...files,
      [ROSTER_FILE, text] as const,
      [SIGNATURE_FILE, signature.text] as const,
    ]);
    await changeFiles(path, signed);
    return { roster, signature: signature.state };
  });
}

/** A roster's text, signed by its authority if the key is here. `text` null: there is no signature. */
export async function signText(
  { authority, name }: Roster,
  text: string,
  keys: SigningKeys,
  nowSeconds: number,
): Promise<{ readonly state: ChangedRoster['signature']; readonly text: string | null }> {
  if (authority === null) return { state: 'none', text: null };
  const found = await keys.find(authority.key.fingerprint, `spa-keys: to sign the roster "${name}" with`);
  if (found === null) return { state: 'lacking', text: null };
  return { state: 'signed', text: await signDetached(found.key, Buffer.from(text), nowSeconds) };
}
