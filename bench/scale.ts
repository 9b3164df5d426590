import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { formatText, type Section, type Table, tabulateFindings } from './results.ts';
import type { Run } from './run.ts';
import { measureLoadedDaemon } from './scale-daemon.ts';
import type { FilledStore, FullStore, Latency, Memory, PrunedStore, ReadGrants } from './scale-process.ts';

/** What many remembered messages and many live grants cost: a claim, a start, memory, and forgetting them. */
export async function measureScale(run: Run): Promise<Omit<Section, 'title'>> {
  const folder = { memory: folderIn(MEMORY), disk: folderIn(tmpdir()) };
  for (const path of Object.values(folder)) run.onEnd(() => rmSync(path, { recursive: true, force: true }));
  const claims: (readonly string[])[] = [];
  for (const [where, path] of Object.entries(folder)) {
    run.progress(`claims, ${where}`);
    const { alone, burst } = await measure<FullStore>(
      'burst',
      join(path, 'burst'),
      run.rounds(ROUNDS[where as Where]),
    );
    claims.push([where, ...latencyCells(alone), ...latencyCells(burst)]);
  }

  const count = run.rounds(MESSAGES);
  const store = join(folder.memory, 'full');
  const perSecond = Math.ceil(count / WINDOW_SECONDS);
  run.progress(`${count} messages`);
  const filled = await measure<FilledStore>('fill', store, count, perSecond);
  run.progress(`${count} messages: start and claims`);
  const full = await measure<FullStore>('full', store, count, perSecond);
  run.progress(`${count} messages: forgetting them`);
  const pruned = await measure<PrunedStore>('prune', store, count, perSecond);

  const grants = run.rounds(GRANTS);
  const path = join(folder.memory, 'grants');
  run.progress(`${grants} grants`);
  const written = await measure<Latency & { readonly bytes: number }>('grant', path, grants);
  const read = await measure<ReadGrants>('ledger', path, grants);
  const loaded = await measureLoadedDaemon(run, { messages: count, doors: grants });
  return {
    tables: [
      { heading: CLAIMS_HEADING, words: 1, lines: claims },
      tabulateStore(count, filled, full, pruned),
      tabulateGrants(grants, written, read),
      loaded.table,
    ],
    findings: loaded.findings,
    method: `${METHOD}\n\n${loaded.method}`,
  };
}

type Where = 'memory' | 'disk';

const MEMORY = '/dev/shm';
const TMPFS_MAGIC = 0x01021994;
const ROUNDS = { memory: 50_000, disk: 2_000 } as const;
const MESSAGES = 10_000_000;
const GRANTS = 100_000;
/** Messages are remembered from two minutes ago to two minutes ahead. */
const WINDOW_SECONDS = 240;
const PROGRAM = fileURLToPath(new URL('scale-process.js', import.meta.url));

const METHOD = `\
But for the last table, each line is a process of its own, without a daemon around it. A claim is from the call to the end of
its promise, the message is on the disk then (*disk*: the file system of ${tmpdir()}; *memory*: tmpfs, where the daemon has it on a host whose
\`/run\` is one); *burst*: 64 claims in one turn of the event loop, divided by 64. *Start*: every page of the store is
read and checked, then LMDB opens it. *Its own* memory is RssAnon; what is mapped of the file (RssShmem) is the tmpfs's own,
and there once. *Longest turn*: of the event loop, while all messages were being forgotten and others claimed.`;

const CLAIMS_HEADING = ['store', 'alone p50 µs', 'p99 µs', 'burst p50 µs', 'p99 µs'];

async function measure<Found>(task: string, path: string, ...numbers: readonly number[]): Promise<Found> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    PROGRAM,
    task,
    path,
    ...numbers.map(String),
  ]);
  return JSON.parse(stdout) as Found;
}

function tabulateStore(count: number, filled: FilledStore, full: FullStore, pruned: PrunedStore): Table {
  const lines: readonly (readonly [string, string])[] = [
    ['messages', String(count)],
    ['size of the store, MB', formatMb(filled.bytes / 1e6)],
    ['start, ms', full.openMs.toFixed(0)],
    ['memory of the process, its own, MB', formatMb(full.after.own)],
    ['memory of the process, mapped of the store and programs, MB', formatMb(full.after.mapped)],
    ['a claim alone, p50 / p99 µs', pair(full.alone)],
    ['a claim in a burst, p50 / p99 µs', pair(full.burst)],
    ['a repeated message, p50 / p99 µs', pair(full.lookUp)],
    ['forgetting all of them, ms', pruned.pruneMs.toFixed(0)],
    ['longest turn meanwhile, ms', pruned.longestMs.toFixed(1)],
    ['a claim meanwhile, p50 / p99 µs', pair(pruned.during)],
    ['a claim afterwards, p50 / p99 µs', pair(pruned.afterwards)],
  ];
  return { heading: ['remembered messages, store in memory', ''], words: 1, lines };
}

function tabulateGrants(
  count: number,
  written: Latency & { readonly bytes: number },
  read: ReadGrants,
): Table {
  const lines: readonly (readonly [string, string])[] = [
    ['grants', String(count)],
    ['recording one, p50 / p99 µs', pair(written)],
    ['size of the file, MB', formatMb(written.bytes / 1e6)],
    ['reading them at the start, ms', read.readMs.toFixed(0)],
    ['what ought to be open, ms', read.doorsMs.toFixed(0)],
    ['memory of the process for them, MB', formatMb(ownMb(read))],
    ['one more, in memory, p50 / p99 µs', pair(read.add)],
  ];
  return { heading: ['live grants', ''], words: 1, lines };
}

function ownMb({ before, after }: { readonly before: Memory; readonly after: Memory }): number {
  return after.own - before.own;
}

function latencyCells({ p50Us, p99Us }: Latency): readonly string[] {
  return [formatUs(p50Us), formatUs(p99Us)];
}

function pair(latency: Latency): string {
  return latencyCells(latency).join(' / ');
}

function formatUs(us: number): string {
  return us.toFixed(us < 100 ? 1 : 0);
}

function formatMb(mb: number): string {
  return mb.toFixed(mb < 100 ? 1 : 0);
}

function folderIn(parent: string): string {
  if (parent === MEMORY && statfsSync(MEMORY).type !== TMPFS_MAGIC) throw new Error(`${MEMORY} is no tmpfs`);
  return mkdtempSync(join(parent, 'spa-scale-'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await look(process.argv[2] === 'quick' ? 10 : 1);

/** Without the rest of the bench: the tables on stdout. */
async function look(share: number): Promise<void> {
  const undos: (() => void | Promise<void>)[] = [];
  try {
    const {
      tables,
      findings = [],
      method,
    } = await measureScale({
      onEnd: (undo) => undos.push(undo),
      progress: (text) => process.stderr.write(`${text}\n`),
      rounds: (full) => Math.ceil(full / share),
    });
    for (const table of tables) process.stdout.write(`${formatText(table)}\n`);
    process.stdout.write(`${formatText(tabulateFindings(findings))}\n${method}\n`);
  } finally {
    for (const undo of undos.reverse()) await undo();
  }
}
