import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { ConfigError } from './config-error.ts';

/** A file that was read. `exposure` says who else can get at it and the command that mends that; null if nobody. */
export interface GuardedFile {
  readonly data: Buffer;
  readonly exposure: string | null;
}

/**
 * The content of a file that holds a secret.
 * @throws ConfigError if the file cannot be read, is writable or readable for others, or belongs to somebody else.
 */
export function readPrivateFile(path: string): Buffer {
  const { data, exposure } = readGuardedFile(path);
  if (exposure !== null) throw new ConfigError({ file: path }, exposure);
  return data;
}

/**
 * The content of a file that may hold a secret: the caller, who reads what is in it, decides whether `exposure` matters.
 * @throws ConfigError if the file cannot be read.
 */
export function readGuardedFile(path: string): GuardedFile {
  const descriptor = openToRead(path);
  try {
    const stats = fstatSync(descriptor);
    if (stats.isDirectory()) throw new ConfigError({ file: path }, 'this is a directory; name a file');
    return { data: readFileSync(descriptor), exposure: exposureOf(path, stats) };
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Writes a file that only its owner can read (mode 0600), in one step: a reader sees the old content or the new.
 * A symbolic link stays, and the file that it names is replaced.
 * @throws ConfigError if that cannot be done, or if `path` is there and is no regular file.
 */
export function writePrivateFile(path: string, data: string | Uint8Array): void {
  let temporary: string | null = null;
  try {
    const target = regularFileBehind(path);
    const draft = `${target}.${randomBytes(6).toString('hex')}`;
    const descriptor = openSync(draft, 'wx', 0o600);
    temporary = draft;
    try {
      writeFileSync(descriptor, data);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(draft, target);
  } catch (error) {
    if (temporary !== null) unlinkSync(temporary);
    throw error instanceof ConfigError
      ? error
      : new ConfigError({ file: path }, `cannot be written: ${reason(error)}`);
  }
}

function openToRead(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw new ConfigError({ file: path }, `cannot be read: ${reason(error)}`);
  }
}

function exposureOf(path: string, stats: Stats): string | null {
  const self = process.getuid?.();
  if (self === undefined) return null;
  if (stats.uid !== self && stats.uid !== 0) {
    return `holds a secret and belongs to user ${stats.uid}; run: chown ${self} ${quoted(path)}`;
  }
  if ((stats.mode & 0o066) !== 0) {
    return `holds a secret and others have access to it; run: chmod 600 ${quoted(path)}`;
  }
  return null;
}

function regularFileBehind(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return path;
  if (!stats.isFile()) throw new ConfigError({ file: path }, 'is no regular file; name another');
  return realpathSync(path);
}

/** Safe to paste into a shell. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'this is a directory',
  ENOTDIR: 'a part of the path is no directory',
  ELOOP: 'too many symbolic links',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is read-only',
};

function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === undefined) throw error;
  return REASONS[code] ?? code;
}
