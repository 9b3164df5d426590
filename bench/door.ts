import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ExitCode } from 'spa-host';
import { type Daemon, lacking } from 'spa-lab';
import { type Contestant, createContestant, OURS, PEER } from './contestants.ts';
import { describeMachine } from './machine.ts';
import { createModes, type Mode } from './modes.ts';
import { formatMarkdown, formatText, type Series, type Table, tabulate } from './results.ts';

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

const RESULTS = fileURLToPath(new URL('../RESULTS.md', import.meta.url));

/** What is to be undone, in reverse order, when the program ends, however that comes. */
const cleanups: (() => void | Promise<void>)[] = [];
let stopped = false;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    stopped = true;
    void cleanUp().then(() => process.exit(ExitCode.failure));
  });
}

process.exitCode = await main();

async function main(): Promise<number> {
  const reason = lacking('fwknopd', 'nft', 'iptables', 'ip6tables', 'gpg', 'sshd', 'ssh-keygen');
  if (reason !== false) {
    process.stderr.write(`bench: ${reason}\n`);
    return ExitCode.unavailable;
  }
  try {
    const table = tabulate(await measureAll(), PEER.name);
    process.stdout.write(formatText(table));
    writeFileSync(RESULTS, formatResults(table));
    progress('written to bench/RESULTS.md');
    return ExitCode.ok;
  } catch (error) {
    // What a signal took away fails in turn; the signal ends the program.
    if (stopped) await new Promise(() => {});
    throw error;
  } finally {
    await cleanUp();
  }
}

async function measureAll(): Promise<readonly Series[]> {
  progress('making keys and bastions');
  const contestants: Contestant[] = [];
  for (const plan of [PEER, ...OURS]) {
    const contestant = await createContestant(plan);
    cleanups.push(contestant.lab.dispose);
    contestants.push(contestant);
  }
  const [peer] = contestants;
  if (peer === undefined) throw new Error('nobody to compare with');
  const modes = await createModes(peer.lab.scratch);
  cleanups.push(modes.dispose);
  const series: Series[] = [];
  const floor: number[] = [];
  for (const mode of modes.all) series.push(...(await measureMode(mode, contestants, floor)));
  return [...series, { mode: '(door open)', daemon: 'no packet', microseconds: floor }];
}

/** Adds to `floor` what a connection takes through each of the doors when it is open. */
async function measureMode(
  mode: Mode,
  contestants: readonly Contestant[],
  floor: number[],
): Promise<readonly Series[]> {
  const entries: { readonly contestant: Contestant; readonly daemon: Daemon; readonly times: number[] }[] =
    [];
  for (const contestant of contestants) {
    entries.push({ contestant, daemon: await contestant.start(mode), times: [] });
  }
  await sleep(SETTLE_MS);
  for (let round = 1; round <= ROUNDS; round++) {
    progress(`${mode.name}: packet ${round} of ${ROUNDS}`);
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

function formatResults(table: Table): string {
  const date = new Date().toISOString().slice(0, 10);
  const machine = describeMachine().map((line) => `- ${line}\n`);
  return `# Latency of the door\n\n\`npm run bench\`, ${date}\n\n${machine.join('')}\n${formatMarkdown(table)}\n${METHOD}\n`;
}

async function cleanUp(): Promise<void> {
  for (const undo of cleanups.splice(0).reverse()) await undo();
}

/** On a terminal one line that is written over. */
function progress(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}
