import { randomUUID } from 'node:crypto';
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file that a child shares with us by its descriptor: it has no name, nobody else finds it, and it goes with us. */
export interface NamelessFile {
  readonly descriptor: number;
  /** Makes `text` its whole content. @throws the system's error, such as ENOSPC. */
  replace(text: string): void;
  /** Its whole content. */
  read(): string;
  close(): void;
}

/** Folders in memory first. */
const FOLDERS = ['/dev/shm', '/run', tmpdir()];

/** A new empty one, to which all writing appends; null if there is no folder to make it in. */
export function openNamelessFile(folders: readonly string[] = FOLDERS): NamelessFile | null {
  for (const folder of folders) {
    const descriptor = open(join(folder, `spa-${randomUUID()}`));
    if (descriptor !== null) return fileOf(descriptor);
  }
  return null;
}

function open(path: string): number | null {
  try {
    const descriptor = openSync(path, 'ax+', 0o600);
    unlinkSync(path);
    return descriptor;
  } catch {
    return null;
  }
}

function fileOf(descriptor: number): NamelessFile {
  return {
    descriptor,
    replace: (text) => {
      const bytes = Buffer.from(text);
      ftruncateSync(descriptor, 0);
      for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
    },
    read: () => {
      const bytes = Buffer.alloc(fstatSync(descriptor).size);
      const length = readSync(descriptor, bytes, 0, bytes.length, 0);
      return bytes.toString('utf8', 0, length);
    },
    close: () => closeSync(descriptor),
  };
}
