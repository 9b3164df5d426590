import { accessSync, constants, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';

/** Where Linux keeps firewall programs; a user's or a unit's PATH often lacks them. */
const SYSTEM_DIRECTORIES = ['/usr/sbin', '/sbin', '/usr/local/sbin', '/usr/bin', '/bin'];

/** The directories of `path` (default: the process's PATH), then the system's that it lacks. */
export function searchPath(path: string = process.env.PATH ?? ''): readonly string[] {
  return [...new Set([...path.split(':').filter(isAbsolute), ...SYSTEM_DIRECTORIES])];
}

/** The full path of the executable `name` (a name, or a path already), or null if there is none. */
export function findProgram(name: string, directories: readonly string[] = searchPath()): string | null {
  const candidates = isAbsolute(name) ? [name] : directories.map((directory) => join(directory, name));
  return candidates.find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
