import { createScratch, lacking } from 'spa-lab';
import t, { type Test } from 'tap';
import { allCells, casesOf, cellsOf, nameOf, PAIRS } from './matrix-aes.ts';
import { type LimitRow, limitRows } from './matrix-limits.ts';
import { type Direction, runMatrix, TO_FWKNOPD, TO_SPA_SERVER } from './matrix-run.ts';
import { documentSays, formatMatrix, type MatrixRow, type Standing } from './matrix-table.ts';

// Some five hundred clients, one process each.
t.setTimeout(600_000);

t.test(
  'every combination of two of type, mode, digest and HMAC, and what is at its limit, opens its door in both directions',
  { skip: lacking('fwknop', 'fwknopd', 'iptables', 'nft') },
  async (t) => {
    // One after the other: what else is tested just now needs its share of the machine.
    const toSpaServer = await opened(t, TO_SPA_SERVER);
    const toFwknopd = await opened(t, TO_FWKNOPD);
    const rowOf = (name: string, cells: readonly string[]): MatrixRow => ({
      name,
      toSpaServer: cells.map((cell) => standingOf(toSpaServer.has(cell), toFwknopd.has(cell))),
      toFwknopd: cells.map((cell) => standingOf(toFwknopd.has(cell), toFwknopd.has(cell))),
    });
    const rows = PAIRS.map((pair) => rowOf(pair.join(' × '), cellsOf(pair).map(nameOf)));
    documentSays(
      t,
      'shared keys',
      formatMatrix([...rows, rowOf('**all, each once**', allCells().map(nameOf))]),
    );
    const limits = limitRows({ startsFresh: true });
    const namesOf = (row: LimitRow): readonly string[] => row.cases.map(({ name }) => name);
    const limitTable = limits.map((row) => rowOf(row.name, namesOf(row)));
    documentSays(t, 'limits', formatMatrix([...limitTable, rowOf('**all**', limits.flatMap(namesOf))]));
  },
);

/** The names of the cases whose doors opened; asserts that all turn out as expected. */
async function opened(t: Test, direction: Direction): Promise<ReadonlySet<string>> {
  const scratch = createScratch();
  t.teardown(scratch.remove);
  const limits = limitRows({ startsFresh: direction === TO_SPA_SERVER });
  const cases = [
    ...casesOf(allCells(), (index) => scratch.path(String(index))),
    ...limits.flatMap((row) => row.cases),
  ];
  const outcomes = await runMatrix(t, cases, direction);
  for (const [index, { name, expected }] of cases.entries()) {
    t.equal(outcomes[index], expected, `${direction.name}: ${name}`);
  }
  return new Set(cases.filter((_, index) => outcomes[index] === 'open').map(({ name }) => name));
}

/** What fwknopd opens for us, it would open for fwknop. */
function standingOf(isOpen: boolean, isOpenWithFwknopd: boolean): Standing {
  if (isOpen) return 'open';
  return isOpenWithFwknopd ? 'different on purpose' : 'refused by both';
}
