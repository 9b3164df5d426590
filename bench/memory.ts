import { createSide, endure, type Outcome } from './endure.ts';
import { FLOOD_PER_SECOND } from './flood.ts';
import { aesLike, gpgLike } from './junk.ts';
import { createModes } from './modes.ts';
import type { Finding, Section, Table } from './results.ts';
import type { Run } from './run.ts';

/** What the daemon's memory does in a long flood. */
export async function measureMemory(run: Run): Promise<Omit<Section, 'title'>> {
  run.progress('making keys and a bastion');
  const side = await createSide('ours', run);
  const { all, dispose } = await createModes(side.contestant.lab.scratch);
  run.onEnd(dispose);
  const seconds = run.rounds(SECONDS);
  const outcomes: Outcome[] = [];
  for (const mode of all) {
    run.progress(`${mode.name}: ${seconds} s`);
    const junkOf = mode === all[0] ? aesLike : gpgLike;
    const flood = { mode, junkOf, sources: 'spoofed', perSecond: FLOOD_PER_SECOND, hasRules: true } as const;
    const operators = Math.ceil((seconds * 1000) / EVERY_MS);
    outcomes.push(await endure(flood, side, { operators, everyMs: EVERY_MS }));
  }
  return { tables: [tabulate(outcomes)], findings: [findingOf(outcomes)], method: METHOD };
}

const SECONDS = 40;
const EVERY_MS = 200;

const METHOD = `\
As the flood of ${FLOOD_PER_SECOND} packets a second from spoofed sources, by tcpreplay and with the same datagrams over and over, with an
operator every ${EVERY_MS} ms, for longer: \`npm run bench -- memory=1200\` makes it an hour in all. *of an hour*: junk sent, as a
share of what ${FLOOD_PER_SECOND} packets a second are in an hour. *MB*: resident memory of the daemon before the flood, and at its quarters.`;

const MS_PER_HOUR = 3_600_000;

const WANTED_MB = 80;
/** What the allocator and the garbage collector do to and fro. */
const NO_GROWTH_MB = 1;

function findingOf(outcomes: readonly Outcome[]): Finding {
  const most = Math.max(...outcomes.flatMap(({ residentMb }) => residentMb));
  const growth = Math.max(...outcomes.map(({ residentMb }) => at(residentMb, 1) - at(residentMb, 0.5)));
  const sent = outcomes.reduce((sum, one) => sum + one.sent, 0);
  return {
    measure: `resident memory after ${(sent / 1e6).toFixed(1)} million junk packets; growth in the second half of a flood`,
    peer: '',
    ours: `${most.toFixed(1)} MB; ${growth.toFixed(1)} MB`,
    times: '',
    wanted: `${WANTED_MB} MB; none`,
    isReached: most < WANTED_MB && growth < NO_GROWTH_MB,
  };
}

/** The value at a share of the time. */
function at(values: readonly number[], share: number): number {
  return values[Math.round(share * (values.length - 1))] ?? Number.NaN;
}

function tabulate(outcomes: readonly Outcome[]): Table {
  const heading = [
    'keys',
    'junk',
    's',
    'junk sent',
    'of an hour',
    'in',
    'MB before',
    ...QUARTERS.map(nameOf),
    'most',
  ];
  const lines = outcomes.map(({ mode, junk, sent, sentSeconds, times, residentMb }) => {
    const entered = times.filter((time) => time !== null).length;
    return [
      ...[mode.name, junk, sentSeconds.toFixed(0), String(sent)],
      `${((100_000 * sent) / (FLOOD_PER_SECOND * MS_PER_HOUR)).toFixed(1)} %`,
      `${((100 * entered) / times.length).toFixed(1)} %`,
      ...[...[0, ...QUARTERS].map((share) => at(residentMb, share)), Math.max(...residentMb)].map((mb) =>
        mb.toFixed(1),
      ),
    ];
  });
  return { heading, words: 2, lines };
}

const QUARTERS = [0.25, 0.5, 0.75, 1] as const;

function nameOf(share: number): string {
  return `${share}`;
}
