import { lstatSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from 'spa-host';
import { makePrivateDirectory } from '../private-directory.ts';
import type { BundleFile } from './bundle.ts';
import { changeFiles } from './change-set.ts';
import { withFolderLock } from './folder-lock.ts';

/** The bundles to write, by their folders, as in `bastions/us-east-1a`. */
export type BundleFolders = ReadonlyMap<string, readonly BundleFile[]>;

/**
 * Writes bundles below `out`, all or none: files with mode 0600, folders 0700. What else is in their folders goes; with `isAll`
 * those of everybody else go too.
 * @throws ConfigError if others have access to `out`, or it cannot be written
 * @throws FolderBusyError if another run is at it
 */
export async function writeBundles(out: string, bundles: BundleFolders, isAll: boolean): Promise<void> {
  try {
    makePrivateDirectory(out);
  } catch (error) {
    throw new ConfigError({ file: out }, `cannot be made: ${(error as NodeJS.ErrnoException).code}`);
  }
  checkPrivacy(out);
  await withFolderLock(out, async () => {
    const changes = new Map<string, string | null>();
    const folders = isAll ? KINDS.flatMap((kind) => namesIn(out, kind)) : [...bundles.keys()];
    for (const folder of folders) {
      for (const file of namesIn(out, folder)) changes.set(file, null);
    }
    for (const [folder, files] of bundles) {
      for (const { path, content } of files) changes.set(`${folder}/${path}`, content);
    }
    await changeFiles(out, changes, 0o600);
    for (const folder of folders.filter((one) => !bundles.has(one))) removeEmpty(join(out, folder));
  });
}

const KINDS = ['bastions', 'operators'] as const;

function namesIn(out: string, folder: string): readonly string[] {
  const path = join(out, folder);
  const isThere = lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return isThere ? readdirSync(path).map((name) => `${folder}/${name}`) : [];
}

function removeEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Somebody keeps something of his own there.
  }
}

function checkPrivacy(path: string): void {
  const { mode } = lstatSync(path);
  if (process.getuid === undefined || (mode & 0o077) === 0) return;
  throw new ConfigError(
    { file: path },
    `bundles hold secrets and others have access to this folder; run: chmod 700 ${path}`,
  );
}
