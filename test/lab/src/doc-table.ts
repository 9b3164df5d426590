import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** One thing that a table of docs/FWKNOP.md lists, as somebody would write it: `OPEN_PORTS tcp/22`, `-A, --access tcp/22`. */
export interface DocEntry {
  readonly written: string;
  /** `OPEN_PORTS`, `-A, --access`. */
  readonly name: string;
  /** What stands behind the name: `tcp/22`. */
  readonly value: string;
  /** As a shell splits it, without the short name: `--access`, `tcp/22`. */
  readonly words: readonly string[];
  readonly verdict: 'same' | 'different' | 'refused' | 'ours';
}

/**
 * What the table below a heading of docs/FWKNOP.md lists: a row may have several entries, each between backticks.
 * @throws Error if there is no such heading, or a row with another verdict.
 */
export function readDocTable(heading: string): readonly DocEntry[] {
  const section = DOCUMENT.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`docs/FWKNOP.md has no section ${heading}`);
  return section
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap(readRow);
}

const DOCUMENT = readFileSync(fileURLToPath(new URL('../../../../docs/FWKNOP.md', import.meta.url)), 'utf8');

function readRow(row: string): readonly DocEntry[] {
  const [, entries = '', verdict] = /^\| (.*?`) \| (same|different|refused|ours) \|.*\|$/.exec(row) ?? [];
  if (verdict === undefined) throw new Error(`docs/FWKNOP.md: not a row of three cells: ${row}`);
  return Array.from(entries.matchAll(/`([^`]+)`/g), ([, written = '']) => {
    const [name = written] = /^(-\w, )?\S+/.exec(written) ?? [];
    const long = written.replace(/^-\w, /, '');
    return {
      written,
      name,
      value: written.slice(name.length + 1),
      words: Array.from(long.matchAll(/'([^']*)'|\S+/g), ([word, quoted]) => quoted ?? word),
      verdict: verdict as DocEntry['verdict'],
    };
  });
}
