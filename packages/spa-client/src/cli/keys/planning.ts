import type { Plan } from 'spa-core';
import { planFolder } from '../../roster/plan-folder.ts';
import type { RosterFolder } from '../../roster/roster-folder.ts';
import { startProgress } from '../progress.ts';

/** As {@link planFolder}. Signatures that nobody has verified here before take their time: a person is told how many it were. */
export async function planWithProgress(
  folder: RosterFolder,
  secretsFolder: string,
  nowSeconds: number,
): Promise<Plan> {
  const progress = startProgress();
  try {
    return await planFolder(folder, secretsFolder, nowSeconds, (count) => {
      if (count % STEP === 0) progress.update(`verified ${count} signatures that are new here`);
    });
  } finally {
    progress.stop();
  }
}

/** To write each of a hundred thousand would take longer than to verify them. */
const STEP = 200;
