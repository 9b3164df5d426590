import { randomBytes } from 'node:crypto';
import {
  linkSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { ConfigError } from 'spa-host';
import { recoverChanges } from './change-set.ts';
import { FolderBusyError } from './folder-busy-error.ts';
import { makeWorkFolder } from './work-folder.ts';

/**
 * Runs `work` as the only one that changes `folder`, after what a killed run left half done was brought to its end. The lock of
 * a run that is dead counts no longer.
 * @throws FolderBusyError at once, if another run has the lock
 * @throws ConfigError if the folder cannot be written
 */
export async function withFolderLock<Result>(
  folder: string,
  work: () => Promise<Result> | Result,
): Promise<Result> {
  const lock = takeLock(folder);
  try {
    await recoverChanges(folder);
    return await work();
  } finally {
    release(lock);
  }
}

/** Who has a lock. */
interface Holder {
  readonly pid: number;
  /** When that process began, in the kernel's own count, because a pid is used again; null where nobody says. */
  readonly startTicks: string | null;
  /** Where that pid means something: the host, its boot, its namespace of processes. */
  readonly place: string;
  readonly host: string;
  readonly command: string;
  readonly since: string;
}

/**
 * A lock is a file `lock.N`, and the one with the highest number is what counts: to take the lock over from the dead or from
 * somebody who gave it back is to make the next number, which only one can do. That one is never removed while no higher one
 * is there, so that a number that was missed meanwhile is always seen in the second look.
 */
function takeLock(folder: string): string {
  const directory = makeWorkFolder(folder);
  const me = JSON.stringify(self());
  for (;;) {
    const [latest = 0] = lockNumbers(directory);
    const holder = latest === 0 ? null : readHolder(join(directory, `lock.${latest}`));
    if (holder !== null && isAlive(holder)) throw busy(folder, join(directory, `lock.${latest}`), holder);
    const mine = join(directory, `lock.${latest + 1}`);
    if (!makeWhole(mine, me)) continue;
    const [highest = 0, ...others] = lockNumbers(directory);
    if (highest !== latest + 1) {
      rmSync(mine, { force: true });
      continue;
    }
    for (const number of others) rmSync(join(directory, `lock.${number}`), { force: true });
    return mine;
  }
}

/** The file stays, without a holder. */
function release(lock: string): void {
  const draft = draftOf(lock);
  writeFileSync(draft, '{}', { flag: 'wx', mode: 0o600 });
  renameSync(draft, lock);
}

/** Highest first. */
function lockNumbers(directory: string): readonly number[] {
  const names = namesIn(directory).map((name) => /^lock\.([1-9]\d{0,14})$/.exec(name)?.[1]);
  return names.flatMap((digits) => (digits === undefined ? [] : [Number(digits)])).sort((a, b) => b - a);
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const cause = code === 'EACCES' ? 'permission denied; work on a copy of your own (git clone)' : code;
    throw new ConfigError({ file: directory }, `cannot be read: ${cause}`);
  }
}

/** Makes a file with all of its content at once; false if there is one. */
function makeWhole(path: string, content: string): boolean {
  const draft = draftOf(path);
  writeFileSync(draft, content, { flag: 'wx', mode: 0o600 });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    unlinkSync(draft);
  }
}

function draftOf(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}`;
}

/** Null: it was given back, or is gone, or is no lock that a run of ours wrote. */
function readHolder(path: string): Holder | null {
  try {
    const { pid, startTicks, place, host, command, since } = JSON.parse(readFileSync(path, 'utf8'));
    const texts = [place, host, command, since];
    if (!Number.isSafeInteger(pid) || pid < 1 || !texts.every((text) => typeof text === 'string'))
      return null;
    return {
      pid,
      startTicks: typeof startTicks === 'string' ? startTicks : null,
      place,
      host,
      command,
      since,
    };
  } catch {
    return null;
  }
}

/** Whoever cannot be seen from here is taken for alive. */
function isAlive({ pid, startTicks, place, host }: Holder): boolean {
  const here = placeOfPids();
  // Nothing outlives a boot of this host.
  if (host === hostname() && place.split(' ')[0] !== here.split(' ')[0]) return false;
  if (place !== here || host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const ticks = startTicksOf(pid);
  return startTicks === null || ticks === null || ticks === startTicks;
}

function self(): Holder {
  return {
    pid: process.pid,
    startTicks: startTicksOf(process.pid),
    place: placeOfPids(),
    host: hostname(),
    command: process.argv
      .slice(1, 3)
      .map((word) => basename(word))
      .join(' '),
    since: new Date().toISOString(),
  };
}

function placeOfPids(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '- -';
  }
}

/** The 22nd field; the second, the program's name, may hold anything but ends at the last parenthesis. */
function startTicksOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie holds nothing any more.
    return state === 'Z' || state === 'X' ? 'dead' : (fields[18] ?? null);
  } catch {
    return null;
  }
}

function busy(folder: string, lock: string, { pid, host, place, command, since }: Holder): FolderBusyError {
  const isHere = host === hostname() && place === placeOfPids();
  const where = isHere ? '' : ` on ${host}; if it is dead, remove ${lock}`;
  const word = command === '' ? 'another run' : command;
  return new FolderBusyError(`${folder}: ${word} works on it since ${since}, as process ${pid}${where}`);
}
