import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { addresses, type Daemon } from 'spa-lab';
import { type Contestant, createContestant, SPA_SERVER_OWN } from './contestants.ts';
import { createModes, type Mode } from './modes.ts';
import { type Finding, formatMs, percentile, type Table } from './results.ts';
import type { Run } from './run.ts';

/** How much a daemon has to remember. */
export interface Load {
  readonly messages: number;
  readonly doors: number;
}

/** What the whole daemon does with nothing to remember, and with much. */
export async function measureLoadedDaemon(
  run: Run,
  load: Load,
): Promise<{ readonly table: Table; readonly findings: readonly Finding[]; readonly method: string }> {
  const contestant = await createContestant(SPA_SERVER_OWN);
  run.onEnd(contestant.lab.dispose);
  const { all, dispose } = await createModes(contestant.lab.scratch);
  run.onEnd(dispose);
  const [mode] = all;
  if (mode === undefined) throw new Error('no keys');
  const folder = mkdtempSync('/dev/shm/spa-scale-');
  run.onEnd(() => rmSync(folder, { recursive: true, force: true }));
  const plan: Plan = { contestant, mode, folder, run };

  run.progress('an empty daemon');
  const empty = await measureDaemon(plan);
  run.progress(`${load.doors} doors, ${load.messages} messages`);
  // Doors last an hour, messages are of the minutes after all this: they are there as long as it takes.
  await prepare('doors', contestant, join(folder, 'spa-server.grants'), load.doors);
  const firstSecond = Math.floor(Date.now() / 1000) + AHEAD_SECONDS;
  const perSecond = Math.ceil(load.messages / WINDOW_SECONDS);
  await prepare('fill', contestant, join(folder, 'replay'), load.messages, perSecond, firstSecond);
  run.progress('a daemon with them');
  const full = await measureDaemon(plan);
  return { table: tabulate(load, empty, full), findings: [findingOf(load, full)], method: METHOD };
}

const STARTS = 5;
const KNOCKS = 100;
const PAUSE_MS = 100;
/** The daemon has done what it does after its start, such as filling its guard. */
const SETTLE_MS = 15_000;
const WINDOW_SECONDS = 240;
const AHEAD_SECONDS = 900;
const WANTED_MS = 2_000;
const PROGRAM = fileURLToPath(new URL('scale-process.js', import.meta.url));

const METHOD = `\
The whole daemon, last table: nftables with an own table and its guard, \`FLUSH_IPT_AT_INIT N\`, run folder in memory, replay
store for what a reboot must not forget on the disk. *Start*: from the start of the process to its line *listening on*, median
(and longest) of ${STARTS} starts, each after an orderly end. *Door at once*: the first packet, sent right after that line.
*Door*: as in *Latency of the door*, AES, ${SETTLE_MS / 1000} s after the start. *Memory*: its own (RssAnon), of the daemon and its nft, then.`;

interface Plan {
  readonly contestant: Contestant;
  readonly mode: Mode;
  readonly folder: string;
  readonly run: Run;
}

interface Measured {
  readonly startMs: readonly number[];
  /** Microseconds. */
  readonly atOnce: readonly number[];
  readonly doors: readonly number[];
  readonly daemonMb: number;
  readonly nftMb: number;
}

async function measureDaemon({ contestant, mode, folder, run }: Plan): Promise<Measured> {
  const startMs: number[] = [];
  const server = [
    `FWKNOP_RUN_DIR ${folder}`,
    'FLUSH_IPT_AT_INIT N',
    'FLUSH_IPT_AT_EXIT N',
    'SPA_PREFILTER N',
  ];
  await contestant.operator.startClock();
  for (let round = 1; ; round++) {
    const begun = performance.now();
    const daemon = await contestant.start({ access: mode.access, server });
    startMs.push(performance.now() - begun);
    await knock(contestant, await mode.seal());
    if (round < STARTS) {
      await stop(daemon);
      continue;
    }
    await sleep(SETTLE_MS);
    for (let i = 0; i < run.rounds(KNOCKS); i++) {
      await sleep(PAUSE_MS * (1 + Math.random()));
      await knock(contestant, await mode.seal());
    }
    const memory = memoryOf(daemon);
    await stop(daemon);
    const { knocks } = await contestant.operator.stopClock();
    return { startMs, atOnce: knocks.slice(0, STARTS), doors: knocks.slice(STARTS), ...memory };
  }
}

/** The door is shut before and afterwards. */
async function knock({ lab, operator }: Contestant, packet: string): Promise<void> {
  await operator.expectSilence();
  await operator.knock(packet);
  await lab.bastion.must([
    ...['nft', 'delete', 'element', 'inet', 'spa', 'doors4'],
    `{ ${addresses.client4} . 6 . 22 }`,
  ]);
}

async function stop(daemon: Daemon): Promise<void> {
  if ((await daemon.stop()) !== 0) throw new Error(`the daemon ends in disorder:\n${daemon.log()}`);
}

/** In the bastion's network. */
async function prepare(
  task: string,
  { lab }: Contestant,
  path: string,
  ...numbers: readonly number[]
): Promise<void> {
  await promisify(execFile)('nsenter', [
    ...['-t', String(lab.bastion.pid), '-n'],
    ...[process.execPath, PROGRAM, task, path, ...numbers.map(String)],
  ]);
}

function memoryOf({ process: { pid } }: Daemon): Pick<Measured, 'daemonMb' | 'nftMb'> {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean);
  return { daemonMb: ownMb(String(pid)), nftMb: children.map(ownMb).reduce((sum, mb) => sum + mb, 0) };
}

function ownMb(pid: string): number {
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1000;
}

function tabulate(load: Load, empty: Measured, full: Measured): Table {
  const row = (name: string, show: (measured: Measured) => string): readonly string[] => [
    name,
    show(empty),
    show(full),
  ];
  const pair = (times: readonly number[], shares: readonly number[]): string =>
    shares.map((share) => formatMs(percentile(times, share))).join(' / ');
  return {
    heading: ['the whole daemon', 'empty', `${load.messages} messages, ${load.doors} doors`],
    words: 1,
    lines: [
      row('start, median / longest, ms', ({ startMs }) =>
        [0.5, 1].map((share) => percentile(startMs, share).toFixed(0)).join(' / '),
      ),
      row('packet sent right then → door, median / longest, ms', ({ atOnce }) => pair(atOnce, [0.5, 1])),
      row('packet → door, p50 / p99, ms', ({ doors }) => pair(doors, [0.5, 0.99])),
      row('memory of the daemon, its own, MB', ({ daemonMb }) => daemonMb.toFixed(0)),
      row('memory of its nft, MB', ({ nftMb }) => nftMb.toFixed(0)),
    ],
  };
}

function findingOf(load: Load, { startMs }: Measured): Finding {
  const longest = Math.max(...startMs);
  return {
    measure: `start-up with ${load.messages / 1e6} million messages and ${load.doors} open doors, longest of ${startMs.length}`,
    peer: '',
    ours: `${(longest / 1000).toFixed(2)} s`,
    times: '',
    wanted: `${WANTED_MS / 1000} s`,
    isReached: longest < WANTED_MS,
  };
}
