import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type IpAddress, parseIpAddress } from 'spa-core';
import type { Meant } from '../grants/ledger.ts';

/** A close command that has to be run, as the next daemon finds it. */
export interface PendingClose {
  /** The same for the same command: see {@link CycleJournal.write}. */
  readonly id: string;
  readonly words: readonly string[];
  /** Milliseconds since 1970: also another boot has to know it. */
  readonly dueAt: number;
  /** From the last open command to the close command, so that a clock that was set does not prolong it. */
  readonly seconds: number;
  /** How often the open command ran. */
  readonly opens: number;
  /** Whose it is, for the log. */
  readonly origin: CommandOrigin;
}

/** The packet that commands are run for, and whose it is. */
export interface CommandOrigin extends Meant {
  /** Where it came from. */
  readonly source: IpAddress;
  readonly stanza: number;
}

/** What a journal of close commands says. */
export interface JournalContent {
  readonly pending: readonly PendingClose[];
  /** Files that are none of ours, or not as we wrote them; what they say is not run. */
  readonly damaged: readonly string[];
}

/** Close commands that are still to be run, on stable storage. Each method @throws the system's error. */
export interface CycleJournal {
  read(): Promise<JournalContent>;
  /** Writes it, or writes it anew; when this resolves it outlives a crash of the host. */
  write(pending: PendingClose): Promise<void>;
  /** It was run. After a crash of the host it may be there again. */
  remove(id: string): Promise<void>;
}

/** A journal of a daemon that runs nothing: it says nothing and keeps nothing. */
export const NO_JOURNAL: CycleJournal = {
  read: async () => ({ pending: [], damaged: [] }),
  write: async () => {},
  remove: async () => {},
};

/**
 * The journal in `folder`, which is made when it is first written: a file for each close command, that is there as a whole or not at
 * all. What they say is run as root, so that files that others could have written do not count.
 */
export function openCycleJournal(folder: string): CycleJournal {
  const pathOf = (id: string): string => join(folder, `${id}.json`);
  return {
    read: async () => {
      const pending: PendingClose[] = [];
      const damaged: string[] = [];
      for (const name of await listFolder(folder)) {
        if (name.endsWith(DRAFT)) continue;
        const path = join(folder, name);
        const parsed = parsePending(await readOwn(path));
        if (parsed === null || pathOf(parsed.id) !== path) damaged.push(path);
        else pending.push(parsed);
      }
      return { pending, damaged };
    },
    write: async (pending) => {
      const path = pathOf(pending.id);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const draft = await open(`${path}${DRAFT}`, 'w', 0o600);
      try {
        await draft.writeFile(JSON.stringify(pending));
        await draft.sync();
      } finally {
        await draft.close();
      }
      await rename(`${path}${DRAFT}`, path);
      await syncFolder(folder);
    },
    remove: (id) => rm(pathOf(id), { force: true }),
  };
}

/** The end of a file that is being written. */
const DRAFT = '.new';

async function listFolder(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/**
 * The text of a file that nobody else can have written; otherwise nothing: whatever else lies in the folder, the daemon starts.
 * A symbolic link is not followed, and a pipe that nobody writes to is not waited for.
 */
async function readOwn(path: string): Promise<string> {
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => null);
  if (file === null) return '';
  try {
    const stats = await file.stat();
    const isOwn = stats.uid === process.getuid?.() && (stats.mode & 0o022) === 0;
    return isOwn && stats.isFile() && stats.size <= MAX_BYTES ? await file.readFile('utf8') : '';
  } finally {
    await file.close();
  }
}

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** No command line is longer. */
const MAX_BYTES = 1 << 20;

/** The name of a file is in its folder. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Null for what is none of ours. */
function parsePending(text: string): PendingClose | null {
  try {
    const { id, words, dueAt, seconds, opens, origin } = JSON.parse(text) as PendingClose;
    const source = parseIpAddress(origin.source);
    const address = parseIpAddress(origin.address);
    if (source === null || address === null || words.length === 0) return null;
    if (![id, origin.id, ...words].every((word) => typeof word === 'string')) return null;
    if (![origin.operator, origin.username].every((name) => name === null || typeof name === 'string'))
      return null;
    if (![dueAt, seconds, opens, origin.stanza].every(Number.isSafeInteger)) return null;
    return { id, words, dueAt, seconds, opens, origin: { ...origin, source, address } };
  } catch {
    return null;
  }
}
