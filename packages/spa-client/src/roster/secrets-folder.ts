import { existsSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Fingerprint, SecretReference } from 'spa-core';
import { ConfigError, readPrivateFile } from 'spa-host';
import { makePrivateDirectory } from '../private-directory.ts';
import { changeFiles } from './change-set.ts';
import { withFolderLock } from './folder-lock.ts';

/** Where a secret key is, relative to the folder of the secrets. */
export function secretKeyFile(fingerprint: Fingerprint): string {
  return `keys/${fingerprint}.asc`;
}

/**
 * A file of the folder of the secrets; null if it is not there, or the folder is not.
 * @throws ConfigError if others have access to the folder or the file, or it cannot be read.
 */
export function readSecret(folder: string, file: string): Buffer | null {
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (stats === undefined) return null;
  checkPrivacy(folder, stats);
  const path = join(folder, file);
  return existsSync(path) ? readPrivateFile(path) : null;
}

/**
 * The secret that a roster refers to: what the file holds, or the environment's variable, without white space around it.
 * Null: it is not there.
 * @throws ConfigError as {@link readSecret}
 */
export function readReferredSecret(folder: string, reference: SecretReference): string | null {
  if (reference.kind === 'env') return process.env[reference.variable]?.trim() || null;
  return readSecret(folder, reference.file)?.toString('utf8').trim() || null;
}

/**
 * Changes files of the folder of the secrets (null: remove), all or none: files with mode 0600, folders 0700. The folder is made
 * if it is not there.
 * @throws ConfigError if others have access to the folder, or it cannot be written
 * @throws FolderBusyError if another run is at it
 */
export async function changeSecrets(
  folder: string,
  changes: ReadonlyMap<string, Buffer | string | null>,
): Promise<void> {
  if (changes.size === 0) return;
  try {
    makePrivateDirectory(folder);
  } catch (error) {
    throw new ConfigError({ file: folder }, `cannot be made: ${(error as NodeJS.ErrnoException).code}`);
  }
  checkPrivacy(folder, statSync(folder));
  await withFolderLock(folder, () => changeFiles(folder, changes, 0o600));
}

function checkPrivacy(folder: string, stats: Stats): void {
  if (!stats.isDirectory())
    throw new ConfigError({ file: folder }, 'is no folder; name another with --secrets');
  const self = process.getuid?.();
  if (self === undefined) return;
  if (stats.uid !== self) {
    throw new ConfigError(
      { file: folder },
      `holds secrets and belongs to user ${stats.uid}; run: chown ${self} ${folder}`,
    );
  }
  if ((stats.mode & 0o077) !== 0) {
    throw new ConfigError(
      { file: folder },
      `holds secrets and others have access to it; run: chmod 700 ${folder}`,
    );
  }
}
