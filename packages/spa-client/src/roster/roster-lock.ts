import { withFolderLock } from './folder-lock.ts';
import { readRosterText } from './roster-folder.ts';

/**
 * `withFolderLock` for a folder that has a roster: elsewhere not even the lock is left behind.
 * @throws ConfigError if there is none, FolderBusyError
 */
export function withRosterLock<Result>(path: string, work: () => Promise<Result> | Result): Promise<Result> {
  readRosterText(path);
  return withFolderLock(path, work);
}
