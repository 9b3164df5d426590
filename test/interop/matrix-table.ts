import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

/**
 * How it stands with one cell, in one direction. `refused by both`: between two of fwknop it would be no different. `refused by
 * fwknop`: two of ours would do it. `different on purpose`: two of fwknop would do it, or would not, and ours does otherwise.
 */
export type Standing = 'open' | 'refused by both' | 'refused by fwknop' | 'different on purpose';

/** A row of the table: some cells, in both directions. */
export interface MatrixRow {
  readonly name: string;
  readonly toSpaServer: readonly Standing[];
  readonly toFwknopd: readonly Standing[];
}

/** The rows as Markdown. */
export function formatMatrix(rows: readonly MatrixRow[]): string {
  const lines = rows.map(({ name, toSpaServer, toFwknopd }) =>
    [name, toSpaServer.length, countsOf(toSpaServer), countsOf(toFwknopd)].join(' | '),
  );
  const head = ['| | Cells | fwknop → spa-server | spa-client → fwknopd |', '|---|---|---|---|'];
  return [...head, ...lines.map((line) => `| ${line} |`)].join('\n');
}

/**
 * Asserts that docs/FWKNOP.md says `text` between `<!-- name -->` and `<!-- /name -->`; with SPA_WRITE_DOCS=1 in the environment
 * writes it there instead.
 */
export function documentSays(t: Test, name: string, text: string): void {
  const place = new RegExp(`(?<=<!-- ${name} -->\\n)[^]*?(?=<!-- /${name} -->)`);
  const document = readFileSync(DOCUMENT, 'utf8');
  const said = place.exec(document)?.[0];
  if (said === undefined) throw new Error(`docs/FWKNOP.md has no place for ${name}`);
  if (process.env.SPA_WRITE_DOCS === '1') {
    writeFileSync(DOCUMENT, document.replace(place, `${text}\n`));
    t.pass(`docs/FWKNOP.md, ${name}: written`);
  } else {
    t.equal(said, `${text}\n`, `docs/FWKNOP.md, ${name}`);
  }
}

const DOCUMENT = fileURLToPath(new URL('../../../docs/FWKNOP.md', import.meta.url));

/** `41 open, 7 refused by fwknop`. */
function countsOf(standings: readonly Standing[]): string {
  const counts = new Map<Standing, number>();
  for (const standing of standings) counts.set(standing, (counts.get(standing) ?? 0) + 1);
  return [...counts].map(([standing, count]) => `${count} ${standing}`).join(', ') || 'none';
}
