import { setTimeout as sleep } from 'node:timers/promises';
import { type Contestant, createContestant, OURS, PEER, SPA_SERVER } from './contestants.ts';
import { addAddresses, operatorAddress } from './many-addresses.ts';
import { createModes, type Mode } from './modes.ts';
import { type Finding, formatMs, formatTimes, percentile, type Section, type Table } from './results.ts';
import type { Run } from './run.ts';
import { makeStockPackets } from './stock-packets.ts';

/** From a packet to the open door: our daemons and the stock one. */
export async function measureDoor(run: Run): Promise<Omit<Section, 'title'>> {
  run.progress('making keys and bastions');
  const contestants: Contestant[] = [];
  for (const plan of [PEER, ...OURS]) {
    const contestant = await createContestant(plan);
    run.onEnd(contestant.lab.dispose);
    await addAddresses(contestant.lab);
    contestants.push(contestant);
  }
  const [peer] = contestants;
  if (peer === undefined) throw new Error('nobody to compare with');
  const modes = await createModes(peer.lab.scratch);
  run.onEnd(modes.dispose);
  const series: Series[] = [];
  const floor: number[] = [];
  for (const mode of modes.all) {
    for (const client of CLIENTS) series.push(...(await measureMode(mode, client, contestants, floor, run)));
  }
  const open = { mode: '(door open)', client: '', daemon: 'no packet', microseconds: floor };
  const table = tabulate([...series, open]);
  return { tables: [table], findings: findingsOf(modes.all, series), method: METHOD };
}

/** Who makes the packets. */
const CLIENTS = ['ours', 'stock'] as const;
type Client = (typeof CLIENTS)[number];
/** Packets for our daemon as it is meant to run, for each mode and client: enough for a 99th percentile. */
const ROUNDS = 100;
/** Packets for the others. */
const ROUNDS_OF_OTHERS = 30;
/** How often the floor is measured, in rounds. */
const FLOOR_EVERY = 5;
/** Every daemon is idle for at least that long before a packet, and at most twice as long: no beat of its own is met. */
const PAUSE_MS = 100;
/** From the start of the daemons to the first packet: none is busy with its own start any more. */
const SETTLE_MS = 1_000;

const METHOD = `\
From the packet to the first SYN-ACK, daemons idle. Each daemon has a bastion of its own: network namespaces joined by a veth
pair, sshd on tcp/22 behind a firewall that drops everything. Both times are the kernel's own, captured by tcpdump at the
operator's end of the cable. One long-lived process in the operator's network sends the packet, made just before, and from
then on starts a connection about every 0.4 ms, after 20 ms every 1.2 ms, until one is established; half such a step, on
average, is in the figures. Each packet is for another address, whose door is seen to be shut before; afterwards it is shut
by force. One daemon runs at a time, as on a host, and is left alone for ${PAUSE_MS} to ${2 * PAUSE_MS} ms before each packet. "door open" is
the method's own floor: from the SYN to the SYN-ACK through an open door, without a packet. "first" is the first packet after
the daemon's start.
*client*: who made the packet: ours just before, or stock fwknop, whose OpenPGP packets are compressed, before the first
round; its ECC packets cannot be opened by fwknopd, so that ours are what × compares with.`;

/** What one daemon did in one mode. Times in microseconds, in the order in which they were measured. */
interface Series {
  readonly mode: string;
  readonly client: string;
  readonly daemon: string;
  readonly microseconds: readonly number[];
}

/** Adds to `floor` what a connection takes through each of the doors when it is open. */
async function measureMode(
  mode: Mode,
  client: Client,
  contestants: readonly Contestant[],
  floor: number[],
  run: Run,
): Promise<readonly Series[]> {
  const series: Series[] = [];
  for (const contestant of contestants.filter(({ name }) => takes(name, mode, client))) {
    const rounds = run.rounds(contestant.name === SPA_SERVER.name ? ROUNDS : ROUNDS_OF_OTHERS);
    series.push(await measureDaemon({ mode, client, contestant, rounds }, floor, run));
  }
  return series;
}

/** What is measured at once. */
interface Plan {
  readonly mode: Mode;
  readonly client: Client;
  readonly contestant: Contestant;
  readonly rounds: number;
}

async function measureDaemon(
  { mode, client, contestant, rounds }: Plan,
  floor: number[],
  run: Run,
): Promise<Series> {
  const { operator, lab, name } = contestant;
  run.progress(`${mode.name}, ${client}: ${name}`);
  const daemon = await contestant.start(mode);
  await operator.startClock();
  const wanted = Array.from({ length: rounds }, () => operatorAddress(operators++));
  // Our daemon takes none that was made before its replay store was.
  const packets = client === 'stock' ? await makeStockPackets(mode, lab.scratch, wanted) : [];
  const fail = (error: unknown): never => {
    throw new Error(`${name}: ${(error as Error).message}; it logged:\n${daemon.log()}`);
  };
  await sleep(SETTLE_MS);
  for (const [index, address] of wanted.entries()) {
    await operator.expectSilence(address);
    await sleep(PAUSE_MS * (1 + Math.random()));
    await operator.knock(packets[index] ?? (await mode.seal(address)), address).catch(fail);
    if (index % FLOOR_EVERY === 0) {
      await sleep(PAUSE_MS);
      await operator.connect(address);
    }
    await contestant.shut();
  }
  const { knocks, connections } = await operator.stopClock().catch(fail);
  floor.push(...connections);
  await daemon.stop();
  return { mode: mode.name, client, daemon: name, microseconds: knocks };
}

/** No two operators have the same address: nobody's door was open before. */
let operators = 0;

/** The stock client's packets for ECC keys lack two characters that the stock daemon cannot guess. */
function takes(daemon: string, mode: Mode, client: Client): boolean {
  return daemon !== PEER.name || client === 'ours' || mode.clientKeys.some(({ isStock }) => isStock);
}

/** In milliseconds; RSA and ECC have the same. */
const WANTED = { aes: { p50: 2, p99: 8 }, openpgp: { p50: 4, p99: 12 } } as const;

/** The slower of both clients counts. */
function findingsOf(modes: readonly Mode[], series: readonly Series[]): readonly Finding[] {
  return modes.map((mode, index) => {
    const of = (daemon: string): readonly Series[] =>
      series.filter((one) => one.mode === mode.name && one.daemon === daemon);
    const worst = (all: readonly Series[], share: number): number =>
      Math.max(...all.map(({ microseconds }) => percentile(microseconds, share)));
    const show = (all: readonly Series[]): string =>
      `${formatMs(worst(all, 0.5))} / ${formatMs(worst(all, 0.99))} ms`;
    const [peer, ours] = [of(PEER.name), of(SPA_SERVER.name)];
    const wanted = WANTED[index === 0 ? 'aes' : 'openpgp'];
    return {
      measure: `packet sent → door open, idle, p50 / p99, ${mode.name}`,
      peer: show(peer),
      ours: show(ours),
      times: (worst(peer, 0.5) / worst(ours, 0.5)).toFixed(1),
      wanted: `${wanted.p50} / ${wanted.p99} ms`,
      isReached: worst(ours, 0.5) < wanted.p50 * 1000 && worst(ours, 0.99) < wanted.p99 * 1000,
    };
  });
}

/** One line for each series, compared with the peer's of the same mode. */
function tabulate(series: readonly Series[]): Table {
  const heading = [
    ...[
      'keys',
      'client',
      'daemon',
      'n',
      'p50 ms',
      'p90 ms',
      'p99 ms',
      'max ms',
      'first ms',
      'p50 ×',
      'p99 ×',
    ],
  ];
  const lines = series.map(({ mode, client, daemon, microseconds }) => {
    const peers = series.filter((other) => other.mode === mode && other.daemon === PEER.name);
    const peer = peers.find((other) => other.client === client) ?? peers[0];
    const times = (share: number): string =>
      daemon === PEER.name ? '' : formatTimes(peer?.microseconds ?? [], microseconds, share);
    return [
      ...[mode, client, daemon, String(microseconds.length)],
      ...[0.5, 0.9, 0.99, 1].map((share) => formatMs(percentile(microseconds, share))),
      ...[formatMs(microseconds[0] ?? Number.NaN), times(0.5), times(0.99)],
    ];
  });
  return { heading, words: 3, lines };
}
