import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError } from 'spa-host';
import { lastChange } from './change-set.ts';
import { FolderBusyError } from './folder-busy-error.ts';
import { withFolderLock } from './folder-lock.ts';

/**
 * What `read` makes of the files of `folder` while no change to them was under way: for who has no lock and needs none. It may be
 * called several times. A change that a killed run left half done is brought to its end first.
 * @throws ConfigError if that cannot be done, or changes do not end
 */
export async function readSettled<Result>(
  folder: string,
  read: () => Promise<Result> | Result,
): Promise<Result> {
  for (let patienceMs = PATIENCE_MS; patienceMs > 0; patienceMs -= PAUSE_MS) {
    const before = lastChange(folder);
    if (before !== UNDER_WAY) {
      const value = await read();
      if (lastChange(folder) === before) return value;
    } else if (!(await isEnded(folder))) await sleep(PAUSE_MS);
  }
  throw new ConfigError({ file: folder }, 'is being changed all the time; try again');
}

const UNDER_WAY = 'under way';
const PATIENCE_MS = 5_000;
const PAUSE_MS = 20;

/** False: the run that is at it lives. */
async function isEnded(folder: string): Promise<boolean> {
  try {
    await withFolderLock(folder, () => {});
    return true;
  } catch (error) {
    if (error instanceof FolderBusyError) return false;
    throw error;
  }
}
