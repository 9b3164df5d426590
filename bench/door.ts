import { setTimeout as sleep } from 'node:timers/promises';
import type { Daemon } from 'spa-lab';
import { type Contestant, createContestant, OURS, PEER } from './contestants.ts';
import { createModes, type Mode } from './modes.ts';
import { formatMs, formatTimes, percentile, type Section, type Table } from './results.ts';
import type { Run } from './run.ts';

/** From a packet to the open door: our daemons and the stock one. */
export async function measureDoor(run: Run): Promise<Omit<Section, 'title'>> {
  run.progress('making keys and bastions');
  const contestants: Contestant[] = [];
  for (const plan of [PEER, ...OURS]) {
    const contestant = await createContestant(plan);
    run.onEnd(contestant.lab.dispose);
    contestants.push(contestant);
  }
  const [peer] = contestants;
  if (peer === undefined) throw new Error('nobody to compare with');
  const modes = await createModes(peer.lab.scratch);
  run.onEnd(modes.dispose);
  const series: Series[] = [];
  const floor: number[] = [];
  for (const mode of modes.all) series.push(...(await measureMode(mode, contestants, floor, run)));
  const table = tabulate([...series, { mode: '(door open)', daemon: 'no packet', microseconds: floor }]);
  return { tables: [table], method: METHOD };
}

/** Packets for each daemon in each mode. */
const ROUNDS = 40;
/** Every daemon is idle for at least that long before a packet, and at most twice as long: no beat of its own is met. */
const PAUSE_MS = 100;
/** From the start of the daemons to the first packet: none is busy with its own start any more. */
const SETTLE_MS = 1_000;

const METHOD = `\
From the packet sent to the first TCP connection established, daemons idle. Each daemon has a bastion of its own: network
namespaces joined by a veth pair, sshd on tcp/22 behind a firewall that drops everything. One long-lived process in the
operator's network sends the packet, made just before, and from then on starts a connection every millisecond until one is
established. Then the rule is removed and the door is seen to be shut, outside the measured time. All daemons run at
once and take turns packet by packet, so that what else the machine does meets all of them alike. "door open" is the
method's own floor: the same measurement with the door open already. "first" is the first packet after the daemon's start.`;

/** What one daemon did in one mode. Times in microseconds, in the order in which they were measured. */
interface Series {
  readonly mode: string;
  readonly daemon: string;
  readonly microseconds: readonly number[];
}

/** Adds to `floor` what a connection takes through each of the doors when it is open. */
async function measureMode(
  mode: Mode,
  contestants: readonly Contestant[],
  floor: number[],
  run: Run,
): Promise<readonly Series[]> {
  const entries: { readonly contestant: Contestant; readonly daemon: Daemon; readonly times: number[] }[] =
    [];
  for (const contestant of contestants) {
    entries.push({ contestant, daemon: await contestant.start(mode), times: [] });
  }
  await sleep(SETTLE_MS);
  const rounds = run.rounds(ROUNDS);
  for (let round = 1; round <= rounds; round++) {
    run.progress(`${mode.name}: packet ${round} of ${rounds}`);
    for (const { contestant, daemon, times } of entries) {
      const { operator } = contestant;
      await operator.expectSilence();
      await sleep(PAUSE_MS * (1 + Math.random()));
      const time = await operator.knock(await mode.seal()).catch((error: unknown) => {
        throw new Error(`${contestant.name}: ${(error as Error).message}; it logged:\n${daemon.log()}`);
      });
      times.push(time);
      await sleep(PAUSE_MS);
      floor.push(await operator.connect());
      await contestant.shut();
    }
  }
  for (const { daemon } of entries) await daemon.stop();
  return entries.map(({ contestant, times }) => {
    return { mode: mode.name, daemon: contestant.name, microseconds: times };
  });
}

/** One line for each series, compared with the peer's of the same mode. */
function tabulate(series: readonly Series[]): Table {
  const heading = ['keys', 'daemon', 'n', 'p50 ms', 'p90 ms', 'max ms', 'first ms', 'p50 ×', 'p90 ×'];
  const lines = series.map(({ mode, daemon, microseconds }) => {
    const peer = series.find((other) => other.mode === mode && other.daemon === PEER.name);
    const times = (share: number): string =>
      daemon === PEER.name ? '' : formatTimes(peer?.microseconds ?? [], microseconds, share);
    return [
      ...[mode, daemon, String(microseconds.length)],
      ...[0.5, 0.9, 1].map((share) => formatMs(percentile(microseconds, share))),
      ...[formatMs(microseconds[0] ?? Number.NaN), times(0.5), times(0.9)],
    ];
  });
  return { heading, words: 2, lines };
}
