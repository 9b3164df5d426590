import { setTimeout as sleep } from 'node:timers/promises';
import { createScratch, type Daemon } from 'spa-lab';
import { PEER, SPA_SERVER } from './contestants.ts';
import { createEntrance, type Entered, type Entrance, LINES } from './entrance.ts';
import { type ClientKeys, createModes, type Mode } from './modes.ts';
import { formatMs, formatTimes, percentile, type Section, type Table } from './results.ts';
import type { Run } from './run.ts';

/** From Enter to the first byte of the remote shell, in all the ways to get there. */
export async function measureEnter(run: Run): Promise<Omit<Section, 'title'>> {
  run.progress('making keys');
  const scratch = createScratch();
  run.onEnd(scratch.remove);
  const modes = await createModes(scratch);
  run.onEnd(modes.dispose);
  const cells: Cell[] = [];
  for (const lanes of LANES) {
    const found = await Promise.all(
      lanes.map(({ delayMs, isFor }) => measureLane(delayMs, modes.all.filter(isFor), run)),
    );
    cells.push(...found.flat());
  }
  return { tables: [tabulate(cells)], method: METHOD };
}

/** What is measured at a time: where all wait for the network most of the time, three lanes side by side. */
const LANES: readonly (readonly Lane[])[] = [
  [{ delayMs: 0, isFor: () => true }],
  [
    { delayMs: 20, isFor: () => true },
    { delayMs: 80, isFor: isAes },
    { delayMs: 80, isFor: (mode) => !isAes(mode) },
  ],
];

/** Two bastions, and what is measured there one after the other. */
interface Lane {
  /** One way, each way: how long the cable holds every frame. */
  readonly delayMs: number;
  readonly isFor: (mode: Mode) => boolean;
}

/** How often each line is entered, for each delay and mode. */
const ROUNDS = 20;
/** Between two lines, and at most twice as long: packets that are late have been dealt with, and no beat is met. */
const PAUSE_MS = 100;
/** From the start of the daemons to the first line. */
const SETTLE_MS = 1_000;
/** Nobody waits longer. */
const LIMIT_MS = 20_000;

const METHOD = `\
From the start of the line's shell (\`sh -c LINE\`) to the first byte of \`echo\` on the bastion, as the process that started
it sees it; lines:

- a, b: \`fwknop -n region && ssh four.test echo arrived\`, with stock fwknopd and iptables (a: what people have today), and
  with spa-server and nftables (b)
- c, d: \`sshbh region -- echo arrived\`, with spa-server (c) and with stock fwknopd (d)
- e, f: \`ssh region echo arrived\` after \`sshbh config\`, as \`Match exec\` (e) and as \`ProxyCommand\` (f), with spa-server

Each daemon has a bastion of its own with a real sshd behind a firewall that drops everything; all lines of a cell take turns,
run by run, in one operator's environment with the same rc file (GnuPG home: without passphrase, through gpg-agent). Before
each line the door is shut by force, what \`sshbh\` remembers of it is made an hour old, and a line that gets in without a packet stops the bench. *delay* is one way, in each
direction: a round trip is twice that, and up to 2 ms for the cable itself. This kernel has no netem: the cable is a pair of
tap devices and a process that holds every frame for that long; at 0 it is a veth pair. Cells without delay are measured one
at a time, the others three at a time. *SYN retry*: runs in which the
kernel of the operator's network sent a SYN again (\`TCPSynRetrans\` of its namespace before and after), which costs a second
or more. *packets*: SPA packets sent per run. × is how many times as long a (or b) takes at p50.
A line that is not in after ${LIMIT_MS / 1000} s has failed: then *n* says how many were in, and times are of those.`;

/** A line, and the daemon it is entered against. */
interface Way {
  readonly name: string;
  readonly isPeer: boolean;
  readonly line: string;
  /** It runs in this mode with keys in this place. */
  readonly isFor: (mode: Mode, keys: ClientKeys) => boolean;
}

const A = 'a: fwknop && ssh, fwknopd';
const B = 'b: fwknop && ssh, spa-server';

const WAYS: readonly Way[] = [
  { name: A, isPeer: true, line: LINES.fwknopAndSsh, isFor: takesBoth },
  { name: B, isPeer: false, line: LINES.fwknopAndSsh, isFor: takesBoth },
  { name: 'c: sshbh, spa-server', isPeer: false, line: LINES.sshbh, isFor: () => true },
  { name: 'd: sshbh, fwknopd', isPeer: true, line: LINES.sshbh, isFor: takesBoth },
  { name: 'e: ssh (Match), spa-server', isPeer: false, line: LINES.sshByMatch, isFor: isAes },
  { name: 'f: ssh (Proxy), spa-server', isPeer: false, line: LINES.sshByProxy, isFor: isAes },
];

function isAes(mode: Mode): boolean {
  return mode.clientKeys.every((keys) => keys.where === 'rc file');
}

function takesBoth(_: Mode, keys: ClientKeys): boolean {
  return keys.isStock;
}

/** What one way did in one mode at one delay. */
interface Cell {
  readonly delayMs: number;
  readonly keys: string;
  readonly way: string;
  readonly runs: readonly Entered[];
}

async function measureLane(delayMs: number, modes: readonly Mode[], run: Run): Promise<readonly Cell[]> {
  const cable = delayMs === 0 ? {} : { delayMs };
  const peer = await createEntrance(PEER, cable);
  run.onEnd(peer.lab.dispose);
  const ours = await createEntrance(SPA_SERVER, cable);
  run.onEnd(ours.lab.dispose);
  const rounds = run.rounds(ROUNDS);
  const cells: Cell[] = [];
  for (const mode of modes) {
    const daemons = [await peer.start(mode), await ours.start(mode)];
    await sleep(SETTLE_MS);
    const keys = clientKeysOf(mode);
    const cell = { delayMs, keys: `${mode.name}, ${keys.where}` };
    const ways = WAYS.filter((way) => way.isFor(mode, keys));
    const found = await measureWays(ways, { peer, ours, daemons, keys }, rounds, {
      onRound: (round) => run.progress(`${delayMs} ms, ${cell.keys}: round ${round} of ${rounds}`),
      onFailure: run.progress,
    });
    cells.push(...found.map(({ way, runs }) => ({ ...cell, way, runs })));
    for (const daemon of daemons) await daemon.stop();
  }
  await Promise.all([peer.lab.dispose(), ours.lab.dispose()]);
  return cells;
}

/** Those that both clients have, or else as ours would have them. */
function clientKeysOf(mode: Mode): ClientKeys {
  const { clientKeys } = mode;
  const keys = clientKeys.find(({ isStock }) => isStock) ?? clientKeys.at(-1);
  if (keys === undefined) throw new TypeError(`${mode.name}: no client has its keys`);
  return keys;
}

/** Who hears how it goes. */
interface Watcher {
  readonly onRound: (round: number) => void;
  readonly onFailure: (text: string) => void;
}

/** Where a cell is measured. */
interface Ground {
  readonly peer: Entrance;
  readonly ours: Entrance;
  readonly daemons: readonly Daemon[];
  readonly keys: ClientKeys;
}

async function measureWays(
  ways: readonly Way[],
  { peer, ours, daemons, keys }: Ground,
  rounds: number,
  { onRound, onFailure }: Watcher,
): Promise<readonly { readonly way: string; readonly runs: readonly Entered[] }[]> {
  for (const entrance of [peer, ours]) await entrance.tellClients(keys);
  const entries = ways.map((way) => ({ ...way, runs: [] as Entered[] }));
  for (let round = 1; round <= rounds; round++) {
    onRound(round);
    for (const { name, isPeer, line, runs } of entries) {
      await sleep(PAUSE_MS * (1 + Math.random()));
      const entered = await (isPeer ? peer : ours).enter(line, LIMIT_MS);
      if (entered.microseconds === null) {
        const logs = daemons.map((daemon) => daemon.log().slice(-1_000)).join('\n');
        onFailure(`${name}: nobody is in after ${LIMIT_MS} ms: ${entered.said}\n${logs}`);
      }
      runs.push(entered);
    }
  }
  return entries.map(({ name, runs }) => ({ way: name, runs }));
}

function tabulate(cells: readonly Cell[]): Table {
  const heading = [
    ...['delay', 'keys', 'way', 'n', 'p50 ms', 'p95 ms', 'SYN retry', 'packets', 'a × p50', 'b × p50'],
  ];
  const timesOf = ({ runs }: Cell): readonly number[] =>
    runs.flatMap(({ microseconds }) => (microseconds === null ? [] : [microseconds]));
  const lines = cells.map((cell) => {
    const { delayMs, keys, way, runs } = cell;
    const times = timesOf(cell);
    const comparedWith = (other: string): string => {
      const peer = cells.find((one) => one.delayMs === delayMs && one.keys === keys && one.way === other);
      return peer === undefined || way === A ? '' : formatTimes(timesOf(peer), times, 0.5);
    };
    const retried = runs.filter((one) => one.synsSentAgain > 0).length;
    const packets = runs.reduce((sum, one) => sum + one.packets, 0) / runs.length;
    return [
      ...[
        `${delayMs} ms`,
        keys,
        way,
        times.length === runs.length ? `${runs.length}` : `${times.length} of ${runs.length}`,
      ],
      ...[formatMs(percentile(times, 0.5)), formatMs(percentile(times, 0.95))],
      ...[`${Math.round((100 * retried) / runs.length)} %`, packets.toFixed(2)],
      ...[comparedWith(A), way === B ? '' : comparedWith(B)],
    ];
  });
  return { heading, words: 3, lines };
}
