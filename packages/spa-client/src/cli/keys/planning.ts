import type { Plan } from 'spa-core';
import { planFolder } from '../../roster/plan-folder.ts';
import type { RosterSignatureState } from '../../roster/plan-json.ts';
import { type RosterFolder, readRosterFolder, rosterSignatureState } from '../../roster/roster-folder.ts';
import { startProgress } from '../progress.ts';
import { type PlaceValues, rosterPath, secretsPath } from './common-options.ts';

/** How it stands with a roster's folder. */
export interface Standing {
  readonly folder: RosterFolder;
  readonly plan: Plan;
  readonly signature: RosterSignatureState;
}

/**
 * How it stands now with the folder that the options name. Signatures that nobody has verified here before take their time: a
 * person is told how many it were.
 * @throws ConfigError if the roster cannot be read, or is wrong
 */
export async function readStanding(values: Pick<PlaceValues, 'roster' | 'secrets'>): Promise<Standing> {
  const nowSeconds = Math.floor(Date.now() / 1000);
  const folder = await readRosterFolder(rosterPath(values));
  const secretsFolder = secretsPath(values, folder.roster.name);
  const progress = startProgress();
  try {
    const plan = await planFolder(folder, secretsFolder, nowSeconds, (count) => {
      if (count % STEP === 0) progress.update(`verified ${count} signatures that are new here`);
    });
    return { folder, plan, signature: await rosterSignatureState(folder, nowSeconds) };
  } finally {
    progress.stop();
  }
}

/** To write each of a hundred thousand would take longer than to verify them. */
const STEP = 200;
