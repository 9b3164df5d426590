import { randomBytes } from 'node:crypto';
import { PEER } from './contestants.ts';
import { createSide, endure, type Outcome, type Side } from './endure.ts';
import { aesLike, gpgLike, type Junk } from './junk.ts';
import { createModes, type Mode, type Modes } from './modes.ts';
import type { Section, Table } from './results.ts';
import type { Run } from './run.ts';

/** What a junk packet and a start cost, with few stanzas and with many. */
export async function measureStanzas(run: Run): Promise<Omit<Section, 'title'>> {
  run.progress('making keys and bastions');
  const sides = [await createSide('peer', run), await createSide('ours', run)];
  const modes = await createModes(sides[0]?.contestant.lab.scratch ?? unreachable());
  run.onEnd(modes.dispose);
  const measured: Measured[] = [];
  for (const kind of kindsWith(modes)) {
    for (const stanzas of COUNTS) {
      for (const side of sides) {
        run.progress(`${side.contestant.name}: ${kind.name}, ${stanzas} stanzas`);
        measured.push(await measure(kind, stanzas, side, run));
      }
    }
  }
  return { tables: [tabulate(measured)], method: METHOD };
}

const COUNTS = [30, 300, 3_000] as const;
const OPERATORS = 40;
const EVERY_MS = 100;
const PER_SECOND = 20_000;
/** Stock fwknopd looks at one packet after the other, with one stanza after the other: what it can follow. */
const PEER_STANZAS_PER_SECOND = 9_000;

const METHOD = `\
What a packet that nothing opens costs by the number of stanzas: *µs/seen* is processor time, user and system, of the daemon
and the processes it starts, divided by the packets it saw. ${PER_SECOND} junk packets a second from spoofed sources for
spa-server, without its rules in the kernel, so that each packet comes to the daemon; for fwknopd, which looks at a
packet once for each stanza, as many as it can follow: ${PEER_STANZAS_PER_SECOND} divided by the number of stanzas.
Meanwhile an operator comes every ${EVERY_MS} ms, whose stanza is the first; what his packet costs is in it, and with AES keys of
which nothing in a packet names one that is many of them. *one HMAC key*: all stanzas have the same HMAC key (AES: each has an
encryption key of its own; GPG: all have the same keys), so that one look at a packet is enough for all of them. *an HMAC key each*: nothing in a packet says whose key it was made with, so that each has to be tried;
spa-server does that in turn with the other sources, and *refused* are packets for which it had no time. *start*: from the
start of the process to its line that it listens.`;

/** What stanzas have in common. */
interface Kind {
  readonly name: string;
  readonly mode: Mode;
  readonly junkOf: (packet: string) => Junk;
  /** A stanza besides the operator's, made of its lines. */
  readonly other: (line: string) => string;
}

interface Measured extends Outcome {
  readonly kind: string;
  readonly stanzas: number;
  readonly startMs: number;
}

function kindsWith({ all: [aes, rsa] }: Modes): readonly Kind[] {
  if (!aes || !rsa) throw new TypeError('a mode is missing');
  const ownKey = (line: string): string =>
    line.replace(/^(KEY_BASE64) .*/, (_, word) => `${word} ${key(32)}`);
  const ownKeys = (line: string): string =>
    ownKey(line).replace(/^(HMAC_KEY_BASE64) .*/, (_, word) => `${word} ${key(64)}`);
  return [
    { name: 'AES, one HMAC key', mode: aes, junkOf: aesLike, other: ownKey },
    { name: 'GPG, one HMAC key', mode: rsa, junkOf: gpgLike, other: (line) => line },
    { name: 'AES, an HMAC key each', mode: aes, junkOf: aesLike, other: ownKeys },
  ];
}

function key(length: number): string {
  return randomBytes(length).toString('base64');
}

async function measure(kind: Kind, stanzas: number, side: Side, run: Run): Promise<Measured> {
  const { mode, junkOf, other } = kind;
  const others = Array.from({ length: stanzas - 1 }, () => mode.access.map(other)).flat();
  const many = { ...mode, access: [...mode.access, ...others] };
  const { contestant } = side;
  const begun = performance.now();
  const daemon = await contestant.start({ access: many.access });
  const startMs = performance.now() - begun;
  await daemon.stop();
  const isPeer = contestant.name === PEER.name;
  const perSecond = isPeer ? Math.round(PEER_STANZAS_PER_SECOND / stanzas) : PER_SECOND;
  const flood = { mode: many, junkOf, sources: 'spoofed', perSecond, hasRules: isPeer } as const;
  const outcome = await endure(flood, side, { operators: run.rounds(OPERATORS), everyMs: EVERY_MS });
  return { ...outcome, kind: kind.name, stanzas, startMs };
}

function tabulate(all: readonly Measured[]): Table {
  const heading = [
    ...['keys', 'daemon', 'stanzas', 'junk sent', 'seen', 'refused', 'lost'],
    ...['µs/seen', '× of fewest', 'in', 'start ms'],
  ];
  const cost = ({ cpuMs, sightings }: Measured): number => (1000 * cpuMs) / sightings.seen;
  const lines = all.map((one) => {
    const { kind, daemon, stanzas, sent, sightings, times, startMs } = one;
    const fewest = all.find((other) => other.kind === kind && other.daemon === daemon);
    const entered = times.filter((time) => time !== null).length;
    return [
      ...[kind, daemon, String(stanzas), String(sent)],
      ...[sightings.seen, sightings.refused, sightings.lost].map(String),
      ...[cost(one).toFixed(1), fewest === undefined ? '' : (cost(one) / cost(fewest)).toFixed(2)],
      ...[`${entered} of ${times.length}`, startMs.toFixed(0)],
    ];
  });
  return { heading, words: 2, lines };
}

function unreachable(): never {
  throw new TypeError('there is no bastion');
}
