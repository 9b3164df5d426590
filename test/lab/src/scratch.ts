import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder of our own that is taken away with all that is in it. Its path is short: sockets of gpg-agent lie below. */
export interface Scratch {
  /** The path of `name` in it. */
  path(...name: readonly string[]): string;
  remove(): void;
}

/** A new folder below the system's temporary one, mode 0700. */
export function createScratch(): Scratch {
  const root = mkdtempSync(join(tmpdir(), 'spa-'));
  return {
    path: (...name) => join(root, ...name),
    remove: () => rmSync(root, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** A folder in a scratch folder, which goes with it. */
export function folderIn(scratch: Pick<Scratch, 'path'>, name: string): Pick<Scratch, 'path'> {
  mkdirSync(scratch.path(name), { mode: 0o700 });
  return { path: (...rest) => scratch.path(name, ...rest) };
}
