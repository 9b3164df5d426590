import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { addresses, type Daemon, type Namespace, until } from 'spa-lab';
import {
  type Contestant,
  type ContestantPlan,
  createContestant,
  PEER,
  SPA_SERVER,
  SPA_SERVER_OWN,
} from './contestants.ts';
import { addAddresses, operatorAddress } from './many-addresses.ts';
import { createModes, type Mode } from './modes.ts';
import type { Finding, Section, Table } from './results.ts';
import type { Run } from './run.ts';
import { type Sender, startSender } from './sender.ts';

/** Programs that are killed between a packet and its door. */
export async function measureKills(run: Run): Promise<Omit<Section, 'title'>> {
  run.progress('making keys and bastions');
  const sites: Site[] = [];
  for (const { plan, rounds } of LANES) {
    const contestant = await createContestant(plan);
    run.onEnd(contestant.lab.dispose);
    await addAddresses(contestant.lab);
    const { operator } = contestant.lab;
    const senders = [
      await startSender(operator, operatorAddress(0)),
      await startSender(operator, addresses.client4),
    ] as const;
    sites.push({
      contestant,
      senders,
      rounds: plan === PEER ? Math.min(rounds, run.rounds(rounds)) : run.rounds(rounds),
      tally: { ...NOTHING },
    });
  }
  const [site] = sites;
  if (site === undefined) throw new Error('nobody to kill');
  const modes = await createModes(site.contestant.lab.scratch);
  run.onEnd(modes.dispose);
  const [aes] = modes.all;
  if (aes === undefined) throw new TypeError('there is no mode');
  const mode = {
    ...aes,
    access: aes.access.map((line) => line.replace(/^(FW_ACCESS_TIMEOUT) .*/, `$1 ${DOOR_SECONDS}`)),
  };
  await Promise.all(
    sites.map((one) => (one.contestant.name === PEER.name ? killPeer(one, mode) : killOurs(one, mode, run))),
  );
  return { tables: [tabulate(sites)], findings: [findingOf(sites)], method: METHOD };
}

const WANTED_KILLS = 10_000;

/** All run at once. The stock daemon gets few rounds: each lasts as long as a door and longer. */
const LANES: readonly { readonly plan: ContestantPlan; readonly rounds: number }[] = [
  { plan: PEER, rounds: 6 },
  { plan: SPA_SERVER, rounds: WANTED_KILLS / 2 },
  { plan: SPA_SERVER_OWN, rounds: WANTED_KILLS / 2 },
];

/** Packets that are under way when something is killed. */
const BURST = 8;
const DOOR_SECONDS = 2;
/** What a door may be late by, as the kernel's listing and our clock see it. */
const GRACE_MS = 500;
/** The longest that the kill waits for after the packets were sent: they are all granted by then, or not sent yet. */
const KILL_WITHIN_MS = 12;
/** How often it is the firewall's session that is killed, and not the daemon. */
const SESSION_SHARE = 0.4;

const METHOD = `\
A round: ${BURST} valid packets (AES, HMAC), each for an address of its own and a door of ${DOOR_SECONDS} s, are sent at once; at
random up to ${KILL_WITHIN_MS} ms later the daemon is killed with SIGKILL, or (${SESSION_SHARE * 100} % of the rounds) its long-lived nft. After
the daemon's death it is started again; then the same packets are sent again, and whoever was not let in before is to be let
in now. *accepted* counts packets by the daemon's log, or by a door in the kernel that the daemon did not live to log;
*twice*: those that opened a door, and did so again when sent again. *left open*: doors without a live grant: for an address
that was never granted any, or more than ${GRACE_MS} ms after their time; looked for after each kill of the daemon, and after all
rounds. *never*: packets that opened no door although they were sent again: the daemon died after it had noted them as used
and before the door was open, which costs the operator a new packet and nobody else anything. fwknopd: one packet a round, killed
when its door was open; after twice the door's time the rule is looked for, then it is started again and gets the same packet.
\`npm run bench -- kills=80\` makes it 80 rounds in each of spa-server's modes, a look of half a minute.`;

/** What was counted. */
interface Tally {
  daemonKills: number;
  sessionKills: number;
  packets: number;
  accepted: number;
  twice: number;
  leftOpen: number;
  never: number;
}

const NOTHING: Readonly<Tally> = {
  ...{ daemonKills: 0, sessionKills: 0, packets: 0, accepted: 0, twice: 0, leftOpen: 0, never: 0 },
};

interface Site {
  readonly contestant: Contestant;
  /** The first sends what may be lost, the second asks whether all has been looked at. */
  readonly senders: readonly [Sender, Sender];
  readonly rounds: number;
  readonly tally: Tally;
}

let operators = 1;

async function killOurs({ contestant, senders, rounds, tally }: Site, mode: Mode, run: Run): Promise<void> {
  const { bastion } = contestant.lab;
  const server = ['SPA_RATE_PER_SOURCE 0', 'FLUSH_IPT_AT_INIT N'];
  const logs: string[] = [];
  let daemon = await contestant.start({ access: mode.access, server });
  const opened = (address: string): number =>
    [...logs, daemon.log()].join('').split(`opened tcp/22 for ${address},`).length - 1;
  /** When each door is closed at the latest, by address; milliseconds. */
  const dueAt = new Map<string, number>();
  const [sender, asker] = senders;

  /** Sends a fresh packet, and waits for its door: all before it have been looked at. */
  const settle = async (): Promise<void> => {
    const address = operatorAddress(operators++);
    await asker.load([await mode.seal(address)]);
    asker.send(1);
    await until('a packet is granted', () => opened(address) > 0, { everyMs: 2 });
    dueAt.set(address, Date.now() + DOOR_SECONDS * 1000);
    await sleep(SETTLE_MS);
  };
  const countLeftOpen = async (): Promise<readonly string[]> => {
    const askedAt = Date.now();
    const doors = await doorsOf(bastion);
    const overdue = doors.filter((address) => (dueAt.get(address) ?? 0) + GRACE_MS < askedAt);
    if (overdue.length > 0) run.progress(`${contestant.name}: left open: ${overdue.join(' ')}`);
    tally.leftOpen += overdue.length;
    return doors;
  };

  await settle();
  for (let round = 1; tally.daemonKills + tally.sessionKills < rounds; round++) {
    run.progress(`${contestant.name}: round ${round} of ${rounds}`);
    const wanted = Array.from({ length: BURST }, () => operatorAddress(operators++));
    const packets = await Promise.all(wanted.map((address) => mode.seal(address)));
    await sender.load(packets);
    for (const address of wanted) dueAt.set(address, Date.now() + 60_000);
    sender.send(BURST);
    await sleep(Math.random() * KILL_WITHIN_MS);
    const before = new Set<string>();
    if (Math.random() < SESSION_SHARE) {
      tally.sessionKills += killSession(daemon);
      await settle();
      for (const address of wanted) if (opened(address) > 0) before.add(address);
    } else {
      await daemon.stop('SIGKILL');
      tally.daemonKills += 1;
      const doors = await countLeftOpen();
      for (const address of wanted) if (opened(address) > 0 || doors.includes(address)) before.add(address);
      logs.push(daemon.log());
      daemon = await contestant.start({ access: mode.access, server });
    }
    const counts = new Map(wanted.map((address) => [address, opened(address)]));
    await sender.load(packets);
    sender.send(BURST);
    await settle();
    for (const address of wanted) {
      const times = opened(address);
      const wasOpenedAgain = times > (counts.get(address) ?? 0);
      const isAccepted = before.has(address) || times > 0;
      tally.packets += 1;
      if (isAccepted) tally.accepted += 1;
      else tally.never += 1;
      if (times > 1 || (before.has(address) && wasOpenedAgain)) tally.twice += 1;
      dueAt.set(address, isAccepted ? Date.now() + DOOR_SECONDS * 1000 : 0);
    }
    // Who reads it has to read all of it; old rounds have been counted.
    logs.splice(0, logs.length - 1);
  }
  await sleep(DOOR_SECONDS * 1000 + GRACE_MS);
  dueAt.clear();
  await countLeftOpen();
  await daemon.stop();
}

/** What was sent has come, and what is before it in a queue is done. */
const SETTLE_MS = 20;

/** Kills the nft that the daemon speaks to; 1, or 0 if it had none just then. */
function killSession({ process: { pid } }: Daemon): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  const sessions = children.filter((child) => child > 0);
  for (const session of sessions) {
    try {
      process.kill(session, 'SIGKILL');
    } catch (error) {
      // It ended meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  return Math.min(1, sessions.length);
}

/** The addresses for which there is a door in any table of ours. */
async function doorsOf(bastion: Namespace): Promise<readonly string[]> {
  const { nftables } = JSON.parse(await bastion.must(['nft', '-j', 'list', 'ruleset'])) as {
    readonly nftables: readonly { readonly set?: { readonly elem?: readonly Element[] } }[];
  };
  const elements = nftables.flatMap(({ set }) => set?.elem ?? []);
  const names = elements.flatMap(({ elem }) => (Array.isArray(elem?.val?.concat) ? elem.val.concat : []));
  return [...new Set(names.filter((name) => typeof name === 'string' && name.includes('.')))] as string[];
}

/** An element of a set whose type is a concatenation, as nft lists it: what a rate is kept for is none. */
interface Element {
  readonly elem?: { readonly val?: { readonly concat?: readonly (string | number)[] } };
}

async function killPeer({ contestant, senders: [sender], rounds, tally }: Site, mode: Mode): Promise<void> {
  const { bastion } = contestant.lab;
  for (let round = 0; round < rounds; round++) {
    const address = operatorAddress(operators++);
    const packets = [await mode.seal(address)];
    await sender.load(packets);
    let daemon = await contestant.start(mode);
    sender.send(1);
    await daemon.logged('Added access rule');
    tally.packets += 1;
    tally.accepted += 1;
    await daemon.stop('SIGKILL');
    tally.daemonKills += 1;
    await sleep(2 * DOOR_SECONDS * 1000);
    const rules = await bastion.must(['iptables', '-S', 'FWKNOP_INPUT']);
    if (rules.includes(`${address}/32`)) tally.leftOpen += 1;
    daemon = await contestant.start(mode);
    await sender.load(packets);
    sender.send(1);
    await daemon.logged(/SPA Packet from IP|Replay detected/);
    await sleep(PEER_SETTLE_MS);
    if (daemon.log().includes('Added access rule')) tally.twice += 1;
    await daemon.stop();
  }
}

/** It logs that a packet came before it has looked at it. */
const PEER_SETTLE_MS = 1_000;

function findingOf(sites: readonly Site[]): Finding {
  const [peer, ours] = [true, false].map((isPeer) => {
    const tallies = sites.filter(({ contestant }) => (contestant.name === PEER.name) === isPeer);
    const sum = (pick: (tally: Tally) => number): number =>
      tallies.reduce((total, { tally }) => total + pick(tally), 0);
    return {
      rounds: sum(({ daemonKills, sessionKills }) => daemonKills + sessionKills),
      twice: sum(({ twice }) => twice),
      leftOpen: sum(({ leftOpen }) => leftOpen),
    };
  });
  return {
    measure: 'packets accepted twice; doors left open; kills',
    peer: `${peer?.twice}; ${peer?.leftOpen}; ${peer?.rounds}`,
    ours: `${ours?.twice}; ${ours?.leftOpen}; ${ours?.rounds}`,
    times: '',
    wanted: `0; 0; ${WANTED_KILLS}`,
    isReached: ours?.twice === 0 && ours.leftOpen === 0 && ours.rounds >= WANTED_KILLS,
  };
}

function tabulate(sites: readonly Site[]): Table {
  const heading = [
    ...['daemon', 'daemon killed', 'nft killed', 'packets', 'accepted', 'twice', 'left open', 'never'],
  ];
  const lines = sites.map(({ contestant, tally }) => [
    contestant.name,
    ...[tally.daemonKills, tally.sessionKills, tally.packets, tally.accepted].map(String),
    ...[tally.twice, tally.leftOpen, tally.never].map(String),
  ]);
  return { heading, words: 1, lines };
}
