import { randomUUID } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file without a name: a child that inherits its descriptor reads it, nobody else finds it, and it goes with us. */
export interface TransactionFile {
  readonly descriptor: number;
  /** Makes `text` its whole content. @throws the system's error, such as ENOSPC. */
  write(text: string): void;
  close(): void;
}

/** Folders in memory first. */
const FOLDERS = ['/dev/shm', '/run', tmpdir()];

/** A new empty one; null if there is no folder to make it in. */
export function openTransactionFile(folders: readonly string[] = FOLDERS): TransactionFile | null {
  const descriptor = folders.map(openNameless).find((one) => one !== null) ?? null;
  if (descriptor === null) return null;
  return {
    descriptor,
    write: (text) => {
      const bytes = Buffer.from(text);
      ftruncateSync(descriptor, 0);
      for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at, bytes.length - at, at);
    },
    close: () => closeSync(descriptor),
  };
}

function openNameless(folder: string): number | null {
  const path = join(folder, `spa-${randomUUID()}`);
  try {
    const descriptor = openSync(path, 'wx+', 0o600);
    unlinkSync(path);
    return descriptor;
  } catch {
    return null;
  }
}
