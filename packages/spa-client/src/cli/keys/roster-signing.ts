import type { RosterSigning } from '../../roster/bastion-bundle.ts';
import type { RosterFolder } from '../../roster/roster-folder.ts';
import type { PlaceValues } from './common-options.ts';

/** How the rosters of bastions are signed, and its end. */
export interface OpenSigning {
  /** Null: there is no authority, or its key is not here. */
  readonly signing: RosterSigning | null;
  readonly close: () => void;
}

/** Looks for the authority's key. */
export async function openRosterSigning(
  _folder: RosterFolder,
  _values: PlaceValues,
  _secretsFolder: string,
  _nowSeconds: number,
): Promise<OpenSigning> {
  return { signing: null, close: () => {} };
}
