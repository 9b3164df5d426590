import { randomBytes } from 'node:crypto';
import { type BigIntStats, constants, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ConfigError } from 'spa-host';
import { mustLeadThroughFolders } from './folder-file.ts';
import { makeWorkFolder, mustBeWorkFolder, workFolderOf } from './work-folder.ts';

/** 0600 for secrets, 0644 for what git keeps. */
export type FileMode = 0o600 | 0o644;

/**
 * Changes several files of `folder`, all or none, whenever the process or the host may stop: a content, or null to remove the
 * file, by its relative path. Folders that are missing are made with mode 0700.
 *
 * The new contents are written beside and made durable; one rename then says that they count. From there on the change is
 * brought to its end by this run or by the next that has the lock ({@link recoverChanges}).
 *
 * The caller has the folder's lock: see `withFolderLock`.
 * @throws ConfigError if a path leads out of the folder or through a symbolic link, or if the folder cannot be written; then
 *   nothing has changed.
 */
export async function changeFiles(
  folder: string,
  changes: ReadonlyMap<string, Buffer | string | null>,
  mode: FileMode = 0o644,
): Promise<void> {
  if (changes.size === 0) return;
  for (const path of changes.keys()) checkPath(folder, path);
  const work = makeWorkFolder(folder);
  const drafts = join(work, `draft-${randomBytes(6).toString('hex')}`);
  try {
    await mkdir(drafts, { mode: 0o700 });
    const rows = await writeDrafts(drafts, [...changes], mode);
    const manifest = JSON.stringify({ format: FORMAT, place: placeOf(drafts), changes: rows });
    await writeDurably(join(drafts, MANIFEST), manifest, 0o600);
    await syncFolder(drafts);
    await rename(drafts, join(work, PENDING));
  } catch (error) {
    await rm(drafts, { recursive: true, force: true });
    throw error instanceof ConfigError
      ? error
      : new ConfigError({ file: folder }, `cannot be changed: ${(error as Error).message}`);
  }
  await syncFolder(work);
  await carryOut(folder);
}

/**
 * Brings to its end what a killed run had decided in `folder`, and forgets what it had not. The caller has the folder's lock.
 * @throws ConfigError if what is there was not written by such a run
 */
export async function recoverChanges(folder: string): Promise<void> {
  const work = workFolderOf(folder);
  await carryOut(folder);
  const isLeftOver = (name: string): boolean =>
    name.startsWith('draft-') || (/^lock\.\d+\./.test(name) && isOld(join(work, name)));
  for (const name of namesIn(work).filter(isLeftOver)) {
    await rm(join(work, name), { recursive: true, force: true });
  }
}

const PENDING = 'pending';
const MANIFEST = 'manifest.json';
/** The manifest of the last change that was carried out. */
const DONE = 'done.json';
const FORMAT = 'spa-keys changes 2';
const MANIFEST_MAX_BYTES = 4 << 20;
/** As many as Node has threads for. */
const PARALLEL_WRITES = 4;

/** One file. `draft` null: it goes. */
interface Change {
  readonly path: string;
  readonly draft: string | null;
}

async function writeDrafts(
  drafts: string,
  changes: readonly (readonly [path: string, content: Buffer | string | null])[],
  mode: FileMode,
): Promise<readonly Change[]> {
  const rows = changes.map(([path, content], index) => ({
    path,
    content,
    draft: content === null ? null : String(index),
  }));
  const queue = rows.values();
  const worker = async (): Promise<void> => {
    for (const { content, draft } of queue) {
      if (content !== null && draft !== null) await write(join(drafts, draft), content, mode);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_WRITES }, worker));
  // All are with the file system by now: it needs no commit of its own for each.
  for (const { draft } of rows) if (draft !== null) await makeDurable(join(drafts, draft));
  return rows.map(({ path, draft }) => ({ path, draft }));
}

/** Every step may have been done before, by a run that was killed after it. */
async function carryOut(folder: string): Promise<void> {
  const pending = join(workFolderOf(folder), PENDING);
  const changes = readManifest(folder, join(pending, MANIFEST));
  if (changes !== null) {
    const folders = new Set<string>();
    for (const { path, draft } of changes) {
      checkPath(folder, path);
      const target = join(folder, path);
      folders.add(dirname(target));
      if (draft === null) await rm(target, { force: true });
      else await moveInto(join(pending, draft), target);
    }
    for (const directory of folders) await syncFolder(directory);
    await rename(join(pending, MANIFEST), join(workFolderOf(folder), DONE));
  }
  await rm(pending, { recursive: true, force: true });
}

async function moveInto(draft: string, target: string): Promise<void> {
  const stats = lstatSync(draft, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isFile()) throw new ConfigError({ file: draft }, 'is no file that a run wrote; remove it');
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  await rename(draft, target);
}

/** Null: no change is under way. */
function readManifest(folder: string, path: string): readonly Change[] | null {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return null;
  const self = process.getuid?.() ?? stats.uid;
  const isOurs = stats.isFile() && stats.size <= MANIFEST_MAX_BYTES && stats.uid === self;
  const changes = isOurs ? parseManifest(readFileSync(path, 'utf8'), placeOf(dirname(path))) : null;
  if (changes === null) {
    throw new ConfigError({ file: path }, `was not written by a run of ours; remove ${workFolderOf(folder)}`);
  }
  return changes;
}

/** What a run wrote here knows; what came with the folder, as a proposal in git may, cannot. */
function placeOf(drafts: string): string {
  const { dev, ino } = lstatSync(drafts, { bigint: true });
  return `${dev} ${ino}`;
}

function parseManifest(text: string, here: string): readonly Change[] | null {
  try {
    const { format, place, changes } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    const isOurs = format === FORMAT && place === here;
    return isOurs && Array.isArray(changes) && changes.every(isChange) ? changes : null;
  } catch {
    return null;
  }
}

function isChange(row: unknown): row is Change {
  if (typeof row !== 'object' || row === null) return false;
  const { path, draft } = row as Record<string, unknown>;
  return (
    typeof path === 'string' && (draft === null || (typeof draft === 'string' && /^\d{1,9}$/.test(draft)))
  );
}

/** A run that only now tries for the lock still needs its draft. */
function isOld(path: string): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats !== undefined && Date.now() - stats.mtimeMs > 60_000;
}

/** What a folder that came from elsewhere says must not reach beyond it. */
function checkPath(folder: string, path: string): void {
  const parts = path.split('/');
  const isPlain = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0'));
  if (!isPlain || parts[0] === '.git' || parts[0] === '.spa-keys') {
    throw new ConfigError({ file: folder }, `${JSON.stringify(path)} is no path of a file in this folder`);
  }
  mustLeadThroughFolders(folder, path);
}

async function writeDurably(path: string, content: Buffer | string, mode: number): Promise<void> {
  await write(path, content, mode);
  await makeDurable(path);
}

async function write(path: string, content: Buffer | string, mode: number): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
  try {
    await file.writeFile(content);
    // The umask may have taken something away.
    await file.chmod(mode);
  } finally {
    await file.close();
  }
}

async function makeDurable(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const directory = await open(path, 'r').catch(() => null);
  if (directory === null) return;
  try {
    await directory.sync();
  } catch {
    // Some file systems know no such thing.
  } finally {
    await directory.close();
  }
}

/** Names the last change of `folder`, differently after each; `under way`: one is being carried out, or its run was killed. */
export function lastChange(folder: string): string {
  const work = workFolderOf(folder);
  mustBeWorkFolder(work);
  if (look(join(work, PENDING, MANIFEST)) !== undefined) return 'under way';
  const done = look(join(work, DONE));
  return done === undefined ? 'none' : `${done.ino} ${done.ctimeNs}`;
}

/** Undefined: it is not there. @throws ConfigError */
function look(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const cause = code === 'EACCES' ? 'permission denied; work on a copy of your own (git clone)' : code;
    throw new ConfigError({ file: path }, `cannot be read: ${cause}`);
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
