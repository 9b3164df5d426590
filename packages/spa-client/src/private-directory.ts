import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a directory, and those above it, for nobody else (mode 0700); one that is there stays as it is.
 *
 * Not by Node's `recursive`, which tries for ever where a file system says ENOENT below a directory that is there, as /proc
 * and autofs do.
 * @throws what the system says
 */
export function makePrivateDirectory(path: string): void {
  if (tryToMake(path)) return;
  makePrivateDirectory(dirname(path));
  if (!tryToMake(path)) throw Object.assign(new Error(`${path}: cannot be made`), { code: 'ENOENT' });
}

/** False if the directory above is not there. */
function tryToMake(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return true;
    if (code === 'ENOENT' && dirname(path) !== path) return false;
    throw error;
  }
}
