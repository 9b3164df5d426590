import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  type WriteFileOptions,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { formatProtoPorts, parseIpAddress, parseProtoPorts } from 'spa-core';
import { formatForward, parseForward } from '../firewall/forward.ts';
import type { LiveGrant } from './ledger.ts';

/** Lines that are appended before the file is written anew, at least. */
const MIN_APPENDED_LINES = 10_000;
/** A line for each live grant counts so much. */
const APPENDED_PER_GRANT = 4;
/** Lines that are written at once while the file is written anew: packets wait for no more. */
const LINES_AT_ONCE = 1_000;

/** What a file of grants says. */
export interface LedgerFileContent {
  readonly grants: readonly LiveGrant[];
  /** Grants that were taken away before their end: the firewall may not have done it yet. */
  readonly revoked: readonly LiveGrant[];
  /** What the grants' doors were in: see {@link LedgerFile.marked}. Null: it does not say. */
  readonly mark: string | null;
  /** Lines that were no lines of ours; the last one may be torn by a crash, which is no damage. */
  readonly damagedLines: number;
}

/** The grants on a file: one line of JSON for each that was added and each that was revoked. */
export interface LedgerFile {
  added(grant: LiveGrant): void;
  revoked(ids: readonly string[]): void;
  /** Says in what the doors are (`Firewall.mark`), from now on. */
  marked(mark: string | null): void;
  close(): void;
}

/** How {@link openLedgerFile} is told what it needs. */
export interface LedgerFileOptions {
  readonly path: string;
  /** The grants that the file has to have when it is written anew. */
  readonly grants: () => readonly LiveGrant[];
  /** What the file says already, which is right: it need not be written anew. */
  readonly resume?: LedgerFileContent;
  /** Hears when the file cannot be written, and when it can again; the ledger in memory is right all the same. */
  readonly onTrouble: (error: Error | null) => void;
}

/**
 * Reads the file at `path`. Times in it are of the steady clock, which begins anew when the host boots: a file of another
 * boot has no grants, and so has none at all.
 * @throws the system's error if it is there and cannot be read.
 */
export function readLedgerFile(path: string): LedgerFileContent {
  const text = readIfThere(path);
  const head = `${bootLine()}\n`;
  if (!text.startsWith(head)) return { grants: [], revoked: [], mark: null, damagedLines: 0 };
  const grants = new Map<string, LiveGrant>();
  const revoked = new Map<string, LiveGrant>();
  let mark: string | null = null;
  let damagedLines = 0;
  const parsePorts = memoize(parseProtoPorts);
  for (const line of wholeLines(text, head.length)) {
    const event = parseEvent(line, parsePorts);
    if (event === null) damagedLines += 1;
    else if ('mark' in event) mark = event.mark;
    else if ('id' in event) grants.set(event.id, event);
    else move(event.revoked, grants, revoked);
  }
  // Without some lines it may name what was revoked; and after a torn one nobody can go on.
  const isTorn = !text.endsWith('\n');
  const lacksLines = damagedLines > 0 || isTorn || (statSync(path).mode & 0o777) === LACKS_LINES;
  return {
    grants: [...grants.values()],
    revoked: [...revoked.values()],
    mark: lacksLines ? null : mark,
    damagedLines,
  };
}

/** One after the other: a hundred thousand in an array are moved about in memory. What a crash left of one is none. */
function* wholeLines(text: string, from: number): Iterable<string> {
  let start = from;
  for (let end = text.indexOf('\n', start); end >= 0; end = text.indexOf('\n', start)) {
    yield text.slice(start, end);
    start = end + 1;
  }
}

function move(id: string, from: Map<string, LiveGrant>, to: Map<string, LiveGrant>): void {
  const grant = from.get(id);
  if (grant === undefined) return;
  from.delete(id);
  to.set(id, grant);
}

/**
 * Writes the file anew and keeps it up to date, with a write and without a sync for each event: it need not outlive the
 * host, for whose doors it is. It is readable by its owner only.
 * @throws the system's error if it cannot be written at all.
 */
export function openLedgerFile({ path, grants, resume, onTrouble }: LedgerFileOptions): LedgerFile {
  const draft = `${path}.new`;
  let file: number | null = null;
  let appended = 0;
  let limit = MIN_APPENDED_LINES;
  /** Lines that came while the file is being written anew; null: it is not. */
  let meanwhile: string[] | null = null;
  let mark: string | null = resume?.mark ?? null;
  /** What the file says may be wrong: only one that is written anew is right. */
  let isInTrouble = false;

  if (resume !== undefined) adopt(openSync(path, 'a'), resume.grants.length);
  else begin();

  function begin(): void {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const events = grants().map(addition);
    const next = openDraft(draft);
    adopt(next, events.length);
    writeLines(next, events);
    renameSync(draft, path);
  }

  function adopt(next: number, live: number): void {
    if (file !== null) closeSync(file);
    file = next;
    appended = 0;
    limit = Math.max(MIN_APPENDED_LINES, APPENDED_PER_GRANT * live);
  }

  function append(lines: readonly string[]): void {
    if (file === null || lines.length === 0) return;
    meanwhile?.push(...lines);
    appended += lines.length;
    if (!isInTrouble) {
      try {
        writeLines(file, lines);
      } catch (error) {
        trouble(error);
      }
    }
    if (meanwhile === null && (isInTrouble || appended >= limit)) void writeAnew();
  }

  /** A file that could not be written is tried again with the next event. */
  async function writeAnew(): Promise<void> {
    const late: string[] = [];
    meanwhile = late;
    let next: number | null = null;
    try {
      const live = grants();
      next = openDraft(draft);
      for (let done = 0; done < live.length; done += LINES_AT_ONCE) {
        writeLines(next, live.slice(done, done + LINES_AT_ONCE).map(addition));
        await new Promise((resolve) => setImmediate(resolve));
        if (file === null) throw new Error('the ledger was closed');
      }
      writeLines(next, [markLine(mark), ...late]);
      renameSync(draft, path);
      adopt(next, live.length);
      if (isInTrouble) onTrouble(null);
      isInTrouble = false;
    } catch (error) {
      if (next !== null) closeSync(next);
      rmSync(draft, { force: true });
      if (file !== null) trouble(error);
    } finally {
      meanwhile = null;
    }
  }

  function trouble(error: unknown): void {
    if (!(error instanceof Error)) throw error;
    if (!isInTrouble) {
      disown(path);
      onTrouble(error);
    }
    isInTrouble = true;
  }

  return {
    added: (grant) => append([addition(grant)]),
    marked: (next) => {
      if (next !== mark) append([markLine(next)]);
      mark = next;
    },
    revoked: (ids) => append(ids.map((id) => JSON.stringify({ revoked: id }))),
    close: () => {
      if (file !== null) closeSync(file);
      file = null;
    },
  };
}

/** Says of the file that it may lack lines: a change of mode needs no room on a disk that is full. */
function disown(path: string): void {
  try {
    chmodSync(path, LACKS_LINES);
  } catch {
    // Gone: then it says nothing wrong.
  }
}

const LACKS_LINES = 0o400;
const OWNER_ONLY = { mode: 0o600, flag: 'wx' } as const satisfies WriteFileOptions;

/** A new file that has its first line, for appending to. */
function openDraft(path: string): number {
  rmSync(path, { force: true });
  writeFileSync(path, `${bootLine()}\n`, OWNER_ONLY);
  return openSync(path, 'a');
}

/** @throws the system's error, also if there was room for a part only. */
function writeLines(file: number, lines: readonly string[]): void {
  if (lines.length === 0) return;
  const bytes = Buffer.from(`${lines.join('\n')}\n`);
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
}

/** The first line says by which boot's clock times are. */
function bootLine(): string {
  return JSON.stringify({ boot: readIfThere('/proc/sys/kernel/random/boot_id').trim() });
}

function addition(grant: LiveGrant): string {
  const { id, operator, username, stanza, address, endsAt, ports, forward } = grant;
  return JSON.stringify({
    id,
    operator,
    username,
    stanza,
    address,
    endsAt,
    ports: formatProtoPorts(ports),
    forward: forward && formatForward(forward),
  });
}

function markLine(mark: string | null): string {
  return JSON.stringify({ mark });
}

type Event = LiveGrant | { readonly revoked: string } | { readonly mark: string | null };

/** Most grants are for the same few ports. */
function memoize<Result>(work: (text: string) => Result): (text: string) => Result {
  const known = new Map<string, Result>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const result = work(text);
    known.set(text, result);
    return result;
  };
}

/** Null for a line that is none of ours. */
function parseEvent(line: string, parsePorts: typeof parseProtoPorts): Event | null {
  const fields = parseObject(line);
  if (fields === null) return null;
  if (typeof fields.revoked === 'string') return { revoked: fields.revoked };
  if ('mark' in fields) return isTextOrNull(fields.mark) ? { mark: fields.mark } : null;
  const { id, operator, username, stanza, endsAt } = fields;
  const address = typeof fields.address === 'string' ? parseIpAddress(fields.address) : null;
  const ports = typeof fields.ports === 'string' ? parsePorts(fields.ports) : null;
  if (typeof id !== 'string' || !/^[0-9A-Za-z]{1,64}$/.test(id)) return null;
  if (!isTextOrNull(operator) || !isTextOrNull(username) || address === null || ports === null) return null;
  if (!(stanza === null || Number.isInteger(stanza)) || !Number.isFinite(endsAt)) return null;
  const forward = typeof fields.forward === 'string' ? parseForward(fields.forward) : undefined;
  if (forward === null) return null;
  const grant = {
    id,
    operator,
    username,
    stanza: stanza as number | null,
    address,
    ports,
    endsAt: Number(endsAt),
  };
  return forward === undefined ? grant : { ...grant, forward };
}

function parseObject(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : null;
  } catch {
    return null;
  }
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
