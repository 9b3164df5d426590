import { PEER } from './contestants.ts';
import { createSide, describe, endure, type Flood, LIMIT_MS, type Outcome, type Side } from './endure.ts';
import { aesLike, gpgLike, RANDOM_TEXT, randomText } from './junk.ts';
import { DATAGRAMS } from './junk-capture.ts';
import { createModes, type Mode, type Modes } from './modes.ts';
import { type Finding, formatMs, percentile, type Section, type Table } from './results.ts';
import type { Run } from './run.ts';

/** Operators who come while somebody floods the port, and what the flood costs. */
export async function measureFlood(run: Run): Promise<Omit<Section, 'title'>> {
  run.progress('making keys and bastions');
  const peer = await createSide('peer', run);
  const ours = await createSide('ours', run);
  const modes = await createModes(ours.contestant.lab.scratch);
  run.onEnd(modes.dispose);
  const outcomes: Outcome[] = [];
  for (const { isForPeer, ...flood } of floodsWith(modes)) {
    for (const side of isForPeer ? [peer, ours] : [ours]) outcomes.push(await measure(flood, side, run));
  }
  const tables = [tabulateDoors(outcomes), tabulateCost(outcomes)];
  return { tables, findings: findingsOf(outcomes), method: METHOD };
}

/** How much is sent, where that is not as much as one processor can send. */
export const FLOOD_PER_SECOND = 80_000;
/** Real packets in each flood. */
const OPERATORS = 300;
/** sshd takes milliseconds of the bastion's processor for each who is let in: at fifty a second, a third of it. */
const EVERY_MS = 100;

const METHOD = `\
Operators come while somebody floods the SPA port. One daemon at a time, on a bastion of its own (as for the latency of the
door); daemon, firewall, flood and operators share the cores of this machine. The flood is sent by tcpreplay: ${DATAGRAMS.toLocaleString('en')}
datagrams which all differ, in frames made before, a millisecond's share at a time; then the same again. *max*: one such
process as fast as it can, which takes a core; *junk/s* is what really left. *random text*: base64 of
an AES packet's length; *AES-like*: the same, and it begins like one; *GPG-like*: addressed to the bastion's key; in both everything
is right that can be seen without a key. *spoofed*: sources at random
of 65,000 addresses and 64,000 ports each. Meanwhile ${1000 / EVERY_MS} operators a second come, each for the first time and from an
address of its own; each sends one valid packet, once, and tries to connect from then on, every two milliseconds at first, for
${LIMIT_MS / 1000} s. *in*: how many of them were connected; p50 and p99 are from the packet to the connection, of those who were. Flood and
operators come from elsewhere: tcpreplay and the process that plays the operators, which goes first, share one core, at a
real-time priority, and the daemon, sshd and the rest have what they leave. What the bastion's kernel does with a datagram
until it is dropped or waits for the daemon is done in tcpreplay's time too, on a cable that is in the kernel: 4 to 7 µs in
all for each. *no HMAC*: the stanza has no HMAC_KEY, so each GPG-like packet that is looked at costs the private operation.
*no rules*: without spa-server's pre-filter in the kernel, which is on unless SPA_PREFILTER says N.

Costs: *seen*: packets that the daemon or its rules looked at, of those sent (spa-server: its own counters, fwknopd: lines of
its log); *by rules*: those that never reached the daemon; *lost*: the kernel dropped them because the receive buffer was
full, *refused*: seen, and too much at once or for one source (only spa-server knows both). *ms/seen*: processor time, user
and system, of the daemon and the processes it starts, divided by what it saw, the operators' packets included; *ms/received*
without those that its rules dropped. *MB*: resident before the flood, the most, and after.`;

/** A flood, and whether the stock daemon has to endure it too. */
interface Row extends Flood {
  readonly isForPeer: boolean;
}

/** All floods, in the order of the table. */
function floodsWith({ all: [aes, rsa, ecc], unguarded: [openRsa, openEcc] }: Modes): readonly Row[] {
  if (!aes || !rsa || !ecc || !openRsa || !openEcc) throw new TypeError('a mode is missing');
  const rated = { perSecond: FLOOD_PER_SECOND, hasRules: true, isForPeer: true } as const;
  const common = (mode: Mode, junkOf: Flood['junkOf']): readonly Row[] => [
    { mode, junkOf, sources: 'one', ...rated },
    { mode, junkOf, sources: 'spoofed', ...rated },
    { mode, junkOf, sources: 'spoofed', ...rated, perSecond: null, isForPeer: false },
  ];
  return [
    { mode: aes, junkOf: randomText, sources: 'spoofed', ...rated },
    { mode: aes, junkOf: randomText, sources: 'spoofed', ...rated, perSecond: null, isForPeer: false },
    ...common(aes, aesLike),
    { mode: aes, junkOf: aesLike, sources: 'one', ...rated, perSecond: null, isForPeer: false },
    { mode: aes, junkOf: aesLike, sources: 'one', ...rated, hasRules: false, isForPeer: false },
    ...common(rsa, gpgLike),
    { mode: ecc, junkOf: gpgLike, sources: 'spoofed', ...rated, isForPeer: false },
    { mode: openRsa, junkOf: gpgLike, sources: 'one', ...rated, isForPeer: false },
    { mode: openRsa, junkOf: gpgLike, sources: 'spoofed', ...rated, isForPeer: false },
    { mode: openEcc, junkOf: gpgLike, sources: 'one', ...rated, isForPeer: false },
    { mode: openEcc, junkOf: gpgLike, sources: 'spoofed', ...rated, isForPeer: false },
  ];
}

async function measure(flood: Flood, side: Side, run: Run): Promise<Outcome> {
  const { contestant } = side;
  run.progress(`${contestant.name}: ${describe(flood)}`);
  return endure(flood, side, { operators: run.rounds(OPERATORS), everyMs: EVERY_MS });
}

/** Targets: the share that gets in, and how fast (ms). */
const WANTED_P99_MS = 50;
const WANTED_AT_MAX = 0.99;
/** A flood that was less than this share of what it should be shows nothing. */
const ABOUT = 0.95;

/** The worst of what was measured counts. A flood at full speed is one that nobody limited. */
function findingsOf(outcomes: readonly Outcome[]): readonly Finding[] {
  const [peer, ours] = [true, false].map((isPeer) =>
    outcomes.filter(({ daemon }) => (daemon === PEER.name) === isPeer),
  );
  if (peer === undefined || ours === undefined) return [];
  const enteredOf = ({ times }: Outcome): readonly number[] => times.filter((time) => time !== null);
  const share = (all: readonly Outcome[]): number =>
    Math.min(...all.map((one) => enteredOf(one).length / one.times.length));
  const p99 = (all: readonly Outcome[]): number =>
    Math.max(...all.map((one) => percentile(enteredOf(one), 0.99)));
  const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;
  const rated = ours.filter(({ perSecond }) => perSecond !== null);
  const kinds = [
    { name: RANDOM_TEXT, isOne: (one: Outcome) => one.junk === RANDOM_TEXT },
    { name: 'AES-like', isOne: (one: Outcome) => one.junk === 'AES-like' },
    { name: 'GPG-like, HMAC', isOne: (one: Outcome) => one.junk === 'GPG-like' && !isOpen(one) },
    { name: 'GPG-like, stanza without HMAC', isOne: isOpen },
  ];
  const maxima = ours.filter(({ perSecond }) => perSecond === null);
  const seen = (all: readonly Outcome[]): number =>
    Math.min(...all.map(({ sightings, sent, times }) => sightings.seen / (sent + times.length)));
  const cost = (all: readonly Outcome[]): number =>
    Math.max(...all.map(({ cpuMs, sightings }) => cpuMs / (sightings.seen - sightings.seenByRules)));
  // Of random text too little comes to the daemon: what it does for the operators would count as the junk's.
  const guarded = (all: readonly Outcome[]): readonly Outcome[] =>
    all.filter(
      (one) =>
        !isOpen(one) && one.junk !== RANDOM_TEXT && one.sources === 'spoofed' && one.perSecond !== null,
    );
  return [
    ...kinds.map(({ name, isOne }): Finding => {
      const [theirs, these] = [peer.filter(isOne), rated.filter(isOne)];
      return {
        measure: `in, p99, during ${FLOOD_PER_SECOND} junk packets a second, ${name} (really ${Math.min(...these.map(rateOf))})`,
        peer: theirs.length === 0 ? '' : percent(share(theirs)),
        ours: `${percent(share(these))}, ${formatMs(p99(these))} ms`,
        times: '',
        wanted: `all, ${WANTED_P99_MS} ms`,
        isReached:
          share(these) === 1 &&
          p99(these) < WANTED_P99_MS * 1000 &&
          these.every((one) => rateOf(one) > FLOOD_PER_SECOND * ABOUT),
      };
    }),
    {
      measure: `in, at the highest rate (${maxima.map(rateOf).join(', ')})`,
      peer: '',
      ours: percent(share(maxima)),
      times: '',
      wanted: percent(WANTED_AT_MAX),
      isReached: share(maxima) >= WANTED_AT_MAX,
    },
    {
      measure: 'processor time per junk packet that the daemon saw, spoofed sources; seen of those sent',
      peer: `${cost(guarded(peer)).toFixed(4)} ms; ${percent(seen(guarded(peer)))}`,
      ours: `${cost(guarded(ours)).toFixed(4)} ms; ${percent(seen(guarded(ours)))}`,
      times: (cost(guarded(peer)) / cost(guarded(ours))).toFixed(1),
      wanted: 'not more; all',
      isReached: cost(guarded(ours)) <= cost(guarded(peer)) && seen(guarded(ours)) === 1,
    },
  ];
}

function isOpen({ mode }: Outcome): boolean {
  return mode.name.endsWith('no HMAC');
}

function tabulateDoors(outcomes: readonly Outcome[]): Table {
  const heading = [
    'keys; sources, rate',
    'junk',
    'daemon',
    'junk/s',
    'n',
    'in',
    'p50 ms',
    'p99 ms',
    'max ms',
  ];
  const lines = outcomes.map((outcome) => {
    const { daemon, junk, times } = outcome;
    const entered = times.filter((time) => time !== null);
    return [
      ...[describe(outcome), junk, daemon, String(rateOf(outcome)), String(times.length)],
      `${((100 * entered.length) / times.length).toFixed(1)} %`,
      ...[0.5, 0.99, 1].map((share) => formatMs(percentile(entered, share))),
    ];
  });
  return { heading, words: 3, lines };
}

function tabulateCost(outcomes: readonly Outcome[]): Table {
  const heading = [
    ...['keys; sources, rate', 'daemon', 'sent', 'seen', 'by rules', 'lost', 'refused'],
    ...['ms/seen', 'ms/received', 'CPU', 'MB before', 'most', 'after'],
  ];
  const lines = outcomes.map((outcome) => {
    const { daemon, sent, sentSeconds, sightings, cpuMs, residentMb, times } = outcome;
    const { seen, seenByRules, lost, refused } = sightings;
    const all = sent + times.length;
    return [
      ...[describe(outcome), daemon, String(all)],
      ...[seen, seenByRules, lost, refused].map((count) => `${((100 * count) / all).toFixed(2)} %`),
      ...[cpuMs / seen, cpuMs / (seen - seenByRules)].map((ms) => ms.toFixed(4)),
      `${Math.round(cpuMs / sentSeconds / 10)} %`,
      ...[residentMb.at(0), Math.max(...residentMb), residentMb.at(-1)].map((mb) => (mb ?? 0).toFixed(1)),
    ];
  });
  return { heading, words: 2, lines };
}

function rateOf({ sent, sentSeconds }: Outcome): number {
  return Math.round(sent / sentSeconds);
}
