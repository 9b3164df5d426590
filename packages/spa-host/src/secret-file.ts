import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { ConfigError } from './config-error.ts';

/** A file that was read, and who else can get at it: each a text with the command that mends that; null if nobody. */
export interface GuardedFile {
  readonly data: Buffer;
  /** Others can read or change it: not for a file with a secret. */
  readonly exposure: string | null;
  /** Others can change it: not for a file that is believed. */
  readonly forgery: string | null;
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
 * The content of a file that is no secret, but believed.
 * @throws ConfigError if the file cannot be read, is writable for others, or belongs to somebody else.
 */
export function readTrustedFile(path: string): Buffer {
  const { data, forgery } = readGuardedFile(path);
  if (forgery !== null) throw new ConfigError({ file: path }, forgery);
  return data;
}

/**
 * The content of a file that may hold a secret: the caller, who reads what is in it, decides what matters.
 * @throws ConfigError if the file cannot be read.
 */
export function readGuardedFile(path: string): GuardedFile {
  const descriptor = attempt(path, () => openSync(path, 'r'));
  try {
    const stats = fstatSync(descriptor);
    if (stats.isDirectory()) throw new ConfigError({ file: path }, 'this is a directory; name a file');
    return {
      data: readAll(path, descriptor),
      exposure: exposureOf(path, stats),
      forgery: forgeryOf(path, stats),
    };
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

/** No configuration and no key is longer, but a device never ends. */
const MAX_BYTES = 64 << 20;
const PIECE_BYTES = 1 << 16;

function readAll(path: string, descriptor: number): Buffer {
  const pieces: Buffer[] = [];
  for (let total = 0; total <= MAX_BYTES; ) {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    const length = attempt(path, () => readSync(descriptor, piece));
    if (length === 0) return Buffer.concat(pieces);
    pieces.push(piece.subarray(0, length));
    total += length;
  }
  throw new ConfigError({ file: path }, `is longer than ${MAX_BYTES >> 20} MiB; name another`);
}

function attempt<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new ConfigError({ file: path }, `cannot be read: ${reason(error)}`);
  }
}

function exposureOf(path: string, stats: Stats): string | null {
  const foreign = foreignOf(path, stats);
  if (foreign !== null) return `holds a secret and ${foreign}`;
  if (process.getuid === undefined || (stats.mode & 0o066) === 0) return null;
  return `holds a secret and others have access to it; run: chmod 600 ${quoted(path)}`;
}

function forgeryOf(path: string, stats: Stats): string | null {
  // /dev/null is everybody's, and what is written there is not read again.
  if (stats.isCharacterDevice()) return null;
  const foreign = foreignOf(path, stats);
  if (foreign !== null) return foreign;
  if (process.getuid === undefined || (stats.mode & 0o022) === 0) return null;
  return `others can change it; run: chmod go-w ${quoted(path)}`;
}

function foreignOf(path: string, { uid }: Stats): string | null {
  const self = process.getuid?.();
  if (self === undefined || uid === self || uid === 0) return null;
  return `belongs to user ${uid}; run: chown ${self} ${quoted(path)}`;
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
