import {
  constants,
  diffieHellman,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  sign,
  verify,
} from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { addresses, type Daemon } from 'spa-lab';
import { type Contestant, createContestant, OURS, PEER, SPA_SERVER } from './contestants.ts';
import { addAddresses, operatorAddress, spoofSources } from './many-addresses.ts';
import { createModes, type Mode, type Modes } from './modes.ts';
import type { Finding, Section, Table } from './results.ts';
import type { Run } from './run.ts';
import { type Sender, startSender } from './sender.ts';
import { makeStockPackets } from './stock-packets.ts';
import { usageOf } from './usage.ts';

/** How many valid packets a second a daemon opens doors for. */
export async function measureThroughput(run: Run): Promise<Omit<Section, 'title'>> {
  run.progress('making keys and bastions');
  const sides: Side[] = [];
  for (const plan of [PEER, ...OURS]) {
    const contestant = await createContestant(plan);
    run.onEnd(contestant.lab.dispose);
    await addAddresses(contestant.lab);
    await spoofSources(contestant.lab);
    sides.push({ contestant, sender: await startSender(contestant.lab.operator, addresses.other4) });
  }
  const [side] = sides;
  if (side === undefined) throw new Error('nobody to send to');
  const modes = await createModes(side.contestant.lab.scratch);
  run.onEnd(modes.dispose);
  const outcomes: Outcome[] = [];
  for (const load of loadsWith(modes)) {
    for (const one of sides) {
      const count = load.counts[KINDS[one.contestant.name] ?? 'ours'];
      if (count === 0) continue;
      run.progress(`${one.contestant.name}: ${load.mode.name}, ${load.client}, ${load.doors}`);
      outcomes.push(await measure(load, run.rounds(count), one));
    }
  }
  const tables = [tabulate(outcomes), tabulateOperations()];
  return { tables, findings: findingsOf(modes.all, outcomes), method: METHOD };
}

/** Packets that were sent and have not been granted: enough that no daemon waits for the next. */
const WINDOW = 256;
/** Nothing is granted any more if nothing was for so long. */
const STALL_MS = 3_000;
const SETTLE_MS = 500;

/** As many as make a program of JavaScript as fast as it gets. */
const WARM_UP = { ours: 2_000, stock: 300 } as const;

const METHOD = `\
Valid packets, all different and made before, sent so that ${WINDOW} are under way at any time, from spoofed addresses; from the
first packet sent to the last line in the daemon's log that says that a door is open. *granted*: how many were, of those sent.
*doors*: each packet asks for an address of its own (*many*), or all for the same (*one*; fwknopd
writes no line for some of those). *client*: who made the packets: ours,
or stock fwknop, whose OpenPGP packets are compressed. ECC packets of stock fwknop cannot be opened by fwknopd; ours can.
*CPU*: processor time, user and system, of the daemon and the processes it starts, for each packet. One daemon at a time, ours after
${WARM_UP.ours} packets (and ${WARM_UP.stock} of the stock client before its own) that are not counted, as it is after its first minutes; the
sender and this program's reading of the log take their part of this machine's cores. The second table is what one core does
of the operations alone that nobody can do without: the secret key's and the signature's.`;

interface Side {
  readonly contestant: Contestant;
  readonly sender: Sender;
}

/** Which number of packets a daemon gets. */
const KINDS: Readonly<Record<string, keyof Load['counts']>> = {
  [PEER.name]: 'peer',
  'spa-server, iptables': 'iptables',
};

/** Packets of one kind, and how many each daemon gets; 0: none. */
interface Load {
  readonly mode: Mode;
  readonly client: 'ours' | 'stock';
  readonly doors: 'many' | 'one';
  readonly counts: Readonly<Record<'peer' | 'ours' | 'iptables', number>>;
}

function loadsWith({ all: [aes, rsa, ecc] }: Modes): readonly Load[] {
  if (!aes || !rsa || !ecc) throw new TypeError('a mode is missing');
  return [
    { mode: aes, client: 'ours', doors: 'many', counts: { peer: 300, ours: 10_000, iptables: 2_000 } },
    { mode: aes, client: 'ours', doors: 'one', counts: { peer: 0, ours: 10_000, iptables: 2_000 } },
    { mode: aes, client: 'stock', doors: 'many', counts: { peer: 0, ours: 3_000, iptables: 0 } },
    { mode: rsa, client: 'ours', doors: 'many', counts: { peer: 0, ours: 2_000, iptables: 1_000 } },
    { mode: rsa, client: 'stock', doors: 'many', counts: { peer: 100, ours: 1_500, iptables: 0 } },
    { mode: ecc, client: 'ours', doors: 'many', counts: { peer: 100, ours: 2_000, iptables: 1_000 } },
    { mode: ecc, client: 'stock', doors: 'many', counts: { peer: 0, ours: 1_500, iptables: 0 } },
  ];
}

interface Outcome extends Pick<Load, 'mode' | 'client' | 'doors'> {
  readonly daemon: string;
  readonly sent: number;
  readonly granted: number;
  readonly seconds: number;
  readonly cpuMs: number;
}

let operators = 0;

async function measure(
  { mode, client, doors }: Load,
  count: number,
  { contestant, sender }: Side,
): Promise<Outcome> {
  const daemon = await contestant.start(mode);
  const { pid } = daemon.process;
  if (pid === undefined) throw new Error(`${contestant.name} does not run`);
  // Our daemon takes none that was made before its replay store was.
  const wanted = Array.from({ length: count }, () => operatorAddress(doors === 'one' ? 0 : ++operators));
  const packets =
    client === 'stock'
      ? await makeStockPackets(mode, contestant.lab.scratch, wanted)
      : await sealAll(mode, wanted);
  const isPeer = contestant.name === PEER.name;
  const line = isPeer ? STOCK_LINE : OUR_LINE;
  const warming = isPeer ? [] : await warmUpPackets(mode, client, contestant);
  await sender.load([...warming, ...packets]);
  await sleep(SETTLE_MS);
  await sendAll(sender, daemon, line, warming.length);
  const before = usageOf(pid).cpuMs;
  const { granted, seconds } = await sendAll(sender, daemon, line, packets.length);
  const cpuMs = usageOf(pid).cpuMs - before;
  await daemon.stop();
  return { mode, client, doors, daemon: contestant.name, sent: packets.length, granted, seconds, cpuMs };
}

async function warmUpPackets(
  mode: Mode,
  client: Load['client'],
  { lab }: Contestant,
): Promise<readonly string[]> {
  const addressesOf = (count: number): readonly string[] =>
    Array.from({ length: count }, () => operatorAddress(++operators));
  const ours = await sealAll(mode, addressesOf(WARM_UP.ours));
  if (client === 'ours') return ours;
  return [...ours, ...(await makeStockPackets(mode, lab.scratch, addressesOf(WARM_UP.stock)))];
}

async function sealAll(mode: Mode, wanted: readonly string[]): Promise<readonly string[]> {
  const packets: string[] = [];
  for (const address of wanted) packets.push(await mode.seal(address));
  return packets;
}

/** What a daemon writes when a door is open. Ours writes the stock daemon's line too. */
const [OUR_LINE, STOCK_LINE] = [/^opened /, /^Added access rule/];

/** The next is sent when one was granted; what is lost on the way is not sent again. */
function sendAll(
  sender: Sender,
  { process: { stdout, stderr } }: Daemon,
  grantedLine: RegExp,
  total: number,
): Promise<{ readonly granted: number; readonly seconds: number }> {
  return new Promise((resolve) => {
    if (total === 0) return resolve({ granted: 0, seconds: 0 });
    let sent = Math.min(WINDOW, total);
    let granted = 0;
    const startedAt = performance.now();
    let grantedAt = startedAt;
    const finish = (): void => {
      clearInterval(watch);
      for (const [stream, listener] of listeners) stream?.off('data', listener);
      resolve({ granted, seconds: (grantedAt - startedAt) / 1000 });
    };
    const listeners = [stdout, stderr].map((stream) => {
      let rest = '';
      const listener = (chunk: Buffer): void => {
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop() ?? '';
        const fresh = lines.filter((line) => grantedLine.test(line)).length;
        if (fresh === 0) return;
        granted += fresh;
        grantedAt = performance.now();
        const more = Math.min(total - sent, fresh);
        if (more > 0) sender.send(more);
        sent += more;
        if (granted >= total) finish();
      };
      stream?.on('data', listener);
      return [stream, listener] as const;
    });
    const watch = setInterval(() => {
      if (performance.now() - grantedAt > STALL_MS) finish();
    }, 100);
    sender.send(sent);
  });
}

/** Packets a second, in the order of the modes. */
const WANTED = [5_000, 700, 1_000] as const;

/** The slower of both clients' packets counts. */
function findingsOf(modes: readonly Mode[], outcomes: readonly Outcome[]): readonly Finding[] {
  return modes.map((mode, index) => {
    const of = (daemon: string): readonly number[] =>
      outcomes.filter((one) => one.mode === mode && one.daemon === daemon).map(rateOf);
    const [peer, ours] = [Math.min(...of(PEER.name)), Math.min(...of(SPA_SERVER.name))];
    const wanted = WANTED[index] ?? 0;
    return {
      measure: `valid packets a second, ${mode.name}`,
      peer: peer.toFixed(0),
      ours: ours.toFixed(0),
      times: (ours / peer).toFixed(1),
      wanted: `${wanted}`,
      isReached: ours >= wanted,
    };
  });
}

function rateOf({ granted, seconds }: Outcome): number {
  return granted / seconds;
}

function tabulate(outcomes: readonly Outcome[]): Table {
  const heading = ['keys', 'client', 'doors', 'daemon', 'sent', 'granted', 'packets/s', 'CPU ms/packet', '×'];
  const lines = outcomes.map((outcome) => {
    const { mode, client, doors, daemon, sent, granted, cpuMs } = outcome;
    const peer = outcomes.find((one) => one.daemon === PEER.name && one.mode === mode) ?? null;
    return [
      ...[mode.name, client, doors, daemon, String(sent), String(granted), rateOf(outcome).toFixed(0)],
      (cpuMs / granted).toFixed(2),
      peer === null || daemon === PEER.name ? '' : (rateOf(outcome) / rateOf(peer)).toFixed(1),
    ];
  });
  return { heading, words: 4, lines };
}

const OPERATIONS_MS = 300;

/** What the machine makes of the operations alone, in this very run. */
function tabulateOperations(): Table {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const x25519 = generateKeyPairSync('x25519');
  const ed25519 = generateKeyPairSync('ed25519');
  const { RSA_NO_PADDING: padding } = constants;
  const sessionKey = publicEncrypt({ key: rsa.publicKey, padding }, Buffer.alloc(256, 1));
  const hash = Buffer.alloc(32);
  const rsaSignature = sign('sha256', hash, rsa.privateKey);
  const edSignature = sign(null, hash, ed25519.privateKey);
  const openRsa = (): void => {
    privateDecrypt({ key: rsa.privateKey, padding }, sessionKey);
  };
  const openEcc = (): void => {
    diffieHellman({ privateKey: x25519.privateKey, publicKey: x25519.publicKey });
  };
  const rows: readonly (readonly [string, () => void])[] = [
    ['RSA-2048: private operation', openRsa],
    [
      'RSA-2048: private operation and a verification',
      () => {
        openRsa();
        verify('sha256', hash, rsa.publicKey, rsaSignature);
      },
    ],
    ['X25519: agreement', openEcc],
    [
      'X25519: agreement, and a verification of Ed25519',
      () => {
        openEcc();
        verify(null, hash, ed25519.publicKey, edSignature);
      },
    ],
  ];
  const lines = rows.map(([name, operation]) => [name, perSecond(operation).toFixed(0)]);
  return { heading: ['operation', 'a second'], words: 1, lines };
}

function perSecond(operation: () => void): number {
  operation();
  const startedAt = performance.now();
  let count = 0;
  while (performance.now() - startedAt < OPERATIONS_MS) {
    operation();
    count += 1;
  }
  return (count * 1000) / (performance.now() - startedAt);
}
