import { setTimeout as sleep } from 'node:timers/promises';
import { createScratch } from 'spa-lab';
import { type ContestantPlan, PEER, SPA_SERVER } from './contestants.ts';
import { createEntrance, type Entered, type Entrance, LINES } from './entrance.ts';
import { createModes, type Mode } from './modes.ts';
import { formatMs, percentile, type Section, type Table } from './results.ts';
import type { Run } from './run.ts';

/** How many get in through a network that loses a fifth of all frames, in each direction. */
export async function measureLoss(run: Run): Promise<Omit<Section, 'title'>> {
  run.progress('making keys and bastions');
  const scratch = createScratch();
  run.onEnd(scratch.remove);
  const modes = await createModes(scratch);
  run.onEnd(modes.dispose);
  const [mode] = modes.all;
  if (mode === undefined) throw new Error('there is no mode');
  const queues = WAYS.map((way): Queue => ({ ...way, left: run.rounds(way.runs), done: [] }));
  const lanes: Promise<void>[] = [];
  for (const queue of queues) {
    for (let lane = 0; lane < queue.lanes; lane++) {
      const entrance = await createEntrance(queue.plan, { delayMs: DELAY_MS, lossPercent: LOSS_PERCENT });
      run.onEnd(entrance.lab.dispose);
      lanes.push(work(entrance, mode, queue, run));
    }
  }
  await Promise.all(lanes);
  return { tables: [tabulate(queues)], method: METHOD };
}

const DELAY_MS = 20;
const LOSS_PERCENT = 20;
/** The kernel gives a connection up after more. */
const LIMIT_MS = 60_000;
const SETTLE_MS = 1_000;
const PAUSE_MS = 100;

/** A line, entered by several people at a time, each with a bastion of their own. */
interface Way {
  readonly name: string;
  readonly plan: ContestantPlan;
  readonly line: string;
  readonly runs: number;
  readonly lanes: number;
}

/** A lost packet costs stock fwknop the whole limit: a lane does fewer. */
const WAYS: readonly Way[] = [
  { name: 'fwknop && ssh, fwknopd', plan: PEER, line: LINES.fwknopAndSsh, runs: 56, lanes: 8 },
  { name: 'sshbh, spa-server', plan: SPA_SERVER, line: LINES.sshbh, runs: 200, lanes: 8 },
  { name: 'ssh (Proxy), spa-server', plan: SPA_SERVER, line: LINES.sshByProxy, runs: 56, lanes: 4 },
];

const METHOD = `\
AES with HMAC. Of all frames ${LOSS_PERCENT} % are lost in each direction, at random, by the cable itself: a loss hits the SPA packet, the
handshake and all of ssh alike, before any sniffer sees it; besides the cable holds frames for ${DELAY_MS} ms each way. Runs go side
by side, each lane with a bastion of its own. *in*: runs whose \`echo\` on the bastion was heard within ${LIMIT_MS / 1000} s of Enter; times are of
those. *packets*: SPA packets sent, by the kernel's count of UDP datagrams.`;

/** What is left to do. */
interface Queue extends Way {
  left: number;
  readonly done: Entered[];
}

async function work(entrance: Entrance, mode: Mode, queue: Queue, run: Run): Promise<void> {
  const [keys] = mode.clientKeys;
  if (keys === undefined) throw new Error('no client has the keys');
  const daemon = await entrance.start(mode);
  await entrance.tellClients(keys);
  await sleep(SETTLE_MS);
  while (queue.left > 0) {
    queue.left--;
    const entered = await entrance.enter(queue.line, LIMIT_MS);
    queue.done.push(entered);
    const { microseconds, packets, said } = entered;
    const how = microseconds === null ? `not in: ${said.trim()}` : `in after ${formatMs(microseconds)} ms`;
    run.progress(`${queue.name}: ${how}, ${packets} packets, ${queue.left} runs left`);
    await sleep(PAUSE_MS);
  }
  await daemon.stop();
}

function tabulate(queues: readonly Queue[]): Table {
  const heading = ['line', 'n', 'in', 'p50 ms', 'p95 ms', 'max ms', 'packets p50', 'max', 'sum'];
  const lines = queues.map(({ name, done }) => {
    const times = done.flatMap(({ microseconds }) => (microseconds === null ? [] : [microseconds]));
    const packets = done.map((one) => one.packets);
    const sum = packets.reduce((total, one) => total + one, 0);
    return [
      ...[name, String(done.length), String(times.length)],
      ...[0.5, 0.95, 1].map((share) => formatMs(percentile(times, share))),
      ...[percentile(packets, 0.5), percentile(packets, 1), sum].map(String),
    ];
  });
  return { heading, words: 1, lines };
}
