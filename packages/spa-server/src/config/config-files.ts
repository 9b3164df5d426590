import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, readPrivateFile } from 'spa-host';

/** The files that hold stanzas and keys. */
export interface ConfigFiles {
  /** The text of a file. @throws ConfigError if it cannot be read, or if others can. */
  readonly read: (path: string) => string;
  /** The paths of a folder's `*.conf`, sorted by name. @throws ConfigError if there is no such folder. */
  readonly list: (folder: string) => readonly string[];
}

/** The files of this host. */
export const HOST_FILES: ConfigFiles = {
  read: (path) => {
    mustNotBePipe(path);
    return decodeText(path, readPrivateFile(path));
  },
  list: (folder) =>
    namesIn(folder)
      .filter((name) => name.endsWith('.conf') && !name.startsWith('.'))
      .sort()
      .map((name) => join(folder, name)),
};

/** A file's content as text. @throws ConfigError if it is none. */
export function decodeText(path: string, data: Buffer): string {
  const text = data.toString('utf8');
  if (text.includes('\0')) throw new ConfigError({ file: path }, 'this is no text file; name another');
  return text;
}

/** A daemon that reads its configuration again must not wait for whoever writes there. @throws ConfigError */
export function mustNotBePipe(path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isFIFO()) throw new ConfigError({ file: path }, 'this is a pipe; name a file');
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new ConfigError(
      { file: folder },
      code === 'ENOENT' ? 'there is no such folder' : `cannot be read: ${message}`,
    );
  }
}
