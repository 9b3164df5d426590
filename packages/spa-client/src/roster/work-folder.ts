import { lstatSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from 'spa-host';

/**
 * Where in `folder` a run keeps what is half done: its lock and the changes that it is about to make. Not for git, which is
 * told so.
 */
export function workFolderOf(folder: string): string {
  return join(folder, '.spa-keys');
}

/** The same, made if it is not there (mode 0700). @throws ConfigError if that cannot be done. */
export function makeWorkFolder(folder: string): string {
  const path = workFolderOf(folder);
  mustBeWorkFolder(path);
  try {
    mkdirSync(path, { mode: 0o700 });
    writeFileSync(join(path, '.gitignore'), '*\n', { mode: 0o600 });
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw new ConfigError({ file: path }, `cannot be made: ${REASONS[code] ?? code}`);
  }
  return path;
}

/**
 * What is there must be a folder: through a symbolic link, as a stranger's proposal may hold one, others' files would be taken for
 * left-overs. @throws ConfigError
 */
export function mustBeWorkFolder(path: string): void {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined || stats.isDirectory()) return;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new ConfigError({ file: path }, `cannot be read: ${REASONS[code] ?? code}`);
  }
  throw new ConfigError({ file: path }, 'is no folder; remove it');
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'the folder that it belongs into is not there',
  ENOTDIR: 'what it belongs into is no folder',
  EACCES: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
};
