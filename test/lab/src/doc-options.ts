import { spawnSync } from 'node:child_process';
import type { Test } from 'tap';
import { readDocTable } from './doc-table.ts';
import { environment } from './programs.ts';

/** A row of a program's options. `addition`: fwknop has none such. */
export interface OptionNames {
  readonly long: string;
  readonly short?: string;
  readonly addition?: true;
}

/** The options of a program, what reads its command line, and what that throws for one that is refused. */
export interface DocumentedOptions {
  readonly options: readonly OptionNames[];
  readonly read: (words: readonly string[]) => unknown;
  readonly refusal: Refusal;
}

type Refusal = abstract new (...args: never) => Error;

/** The table below that heading of docs/FWKNOP.md has each option once, says which are ours, and which are refused. */
export function matchesDocTable(
  t: Test,
  heading: string,
  { options, read, refusal }: DocumentedOptions,
): void {
  const entries = readDocTable(heading);
  t.same(entries.map(({ name }) => name).sort(), options.map(namesOf).sort());
  const ours = new Set(entries.filter(({ verdict }) => verdict === 'ours').map(({ name }) => name));
  t.same(new Set(options.filter(({ addition }) => addition).map(namesOf)), ours);
  for (const { words, verdict, written } of entries) {
    t.equal(
      isRefused(refusal, () => read(words)),
      verdict === 'refused',
      written,
    );
  }
}

/** Each option that the peer's `--help` lists, `atLeast` so many, is among `options` by the same names. */
export function matchesPeersHelp(
  t: Test,
  peer: string,
  options: readonly OptionNames[],
  atLeast: number,
): void {
  const { stdout, stderr } = spawnSync(peer, ['--help'], { env: environment(), encoding: 'utf8' });
  const listed = [...`${stdout}${stderr}`.matchAll(/^ {1,5}(?:-(\w), )?--([\w-]+)(?= |$)/gm)];
  t.ok(listed.length > atLeast, `${listed.length} options`);
  for (const [, short, long = ''] of listed) {
    const row = options.find((candidate) => candidate.long === long);
    t.ok(row, long);
    if (short !== undefined) t.equal(row?.short, short, long);
  }
}

/** True if `read` throws such an error. @throws whatever else it throws. */
export function isRefused(refusal: Refusal, read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (error instanceof refusal) return true;
    throw error;
  }
}

function namesOf({ short, long }: OptionNames): string {
  return `${short === undefined ? '' : `-${short}, `}--${long}`;
}
