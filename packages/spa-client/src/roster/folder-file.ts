import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from 'spa-host';

/**
 * A file of a roster's folder; null if it is not there. What is in the folder may be a stranger's proposal: a symbolic link could
 * show a file of whoever reads it, or never end.
 * @throws ConfigError if there is a symbolic link on the way, or it is no file, larger than `maxBytes`, or cannot be read
 */
export function readFolderFile(folder: string, path: string, maxBytes: number): Buffer | null {
  const file = join(folder, path);
  mustLeadThroughFolders(folder, path);
  const descriptor = open(file);
  if (descriptor === null) return null;
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) throw new ConfigError({ file }, 'is no file; put one there instead');
    if (stats.size > maxBytes) throw new ConfigError({ file }, `is larger than ${maxBytes} octets`);
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** @throws ConfigError if something on the way from `folder` to `path` is there and is no folder: a symbolic link, too */
export function mustLeadThroughFolders(folder: string, path: string): void {
  const parts = path.split('/');
  for (let depth = 1; depth < parts.length; depth += 1) {
    const above = join(folder, ...parts.slice(0, depth));
    const stats = lstatSync(above, { throwIfNoEntry: false });
    if (stats === undefined) return;
    if (!stats.isDirectory()) throw new ConfigError({ file: above }, 'is no folder; put one there instead');
  }
}

/** Does not wait for the writer of a pipe. */
function open(file: string): number | null {
  try {
    return openSync(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    throw new ConfigError({ file }, REASONS[code] ?? `cannot be read: ${code}`);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ELOOP: 'is a symbolic link; put the file itself there',
  ENOTDIR: 'cannot be read: what it is in is no folder',
  EACCES: 'cannot be read: permission denied',
};
