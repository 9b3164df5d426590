import { createScratch, lacking } from 'spa-lab';
import t from 'tap';
import { allCells, type Cell, casesOf, cellsOf, isUnmade, nameOf, PAIRS } from './matrix-aes.ts';
import { type Direction, runMatrix, TO_FWKNOPD, TO_SPA_SERVER } from './matrix-run.ts';
import { documentSays, formatMatrix, type Standing } from './matrix-table.ts';

// Each client is a process of its own, and fwknopd starts five for each door.
t.setTimeout(400_000);

t.test(
  'every combination of two of type, mode, digest and HMAC opens its door in both directions, or has none',
  { skip: lacking('fwknop', 'fwknopd', 'iptables', 'nft') },
  async (t) => {
    const scratch = createScratch();
    t.teardown(scratch.remove);
    const cells = allCells();
    const standingsIn = async (direction: Direction): Promise<ReadonlyMap<string, Standing>> => {
      const cases = casesOf(cells, (index) => scratch.path(`${direction.firewall}-${index}`));
      const outcomes = await runMatrix(t, cases, direction);
      return new Map(
        cells.map((cell, index) => {
          const [name, outcome] = [nameOf(cell), outcomes[index]];
          t.equal(outcome, isUnmade(cell) ? 'unmade' : 'open', `${direction.name}: ${name}`);
          return [name, outcome === 'open' ? 'open' : 'refused by both'];
        }),
      );
    };
    const standings = await Promise.all([TO_SPA_SERVER, TO_FWKNOPD].map(standingsIn));
    const rowOf = (name: string, row: readonly Cell[]) => {
      const [toSpaServer, toFwknopd] = standings.map((all) =>
        row.flatMap((cell) => all.get(nameOf(cell)) ?? []),
      );
      return { name, toSpaServer: toSpaServer ?? [], toFwknopd: toFwknopd ?? [] };
    };
    const rows = PAIRS.map((pair) => rowOf(pair.join(' × '), cellsOf(pair)));
    documentSays(t, 'shared keys', formatMatrix([...rows, rowOf('**all, each once**', cells)]));
  },
);
