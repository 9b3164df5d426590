import { addressBits, type IpAddress, type IpNetwork, ipFamily } from 'spa-core';

/** Values by the networks that they are for. */
export interface SourceIndex<Value> {
  /** The values for `source`: those for any source first, then by network. The same array for the same networks. */
  find(source: IpAddress): readonly Value[];
}

/** What a value is for. */
export type Sources = 'any' | readonly IpNetwork[];

/**
 * An index of one value for each network that is named, made by `groupOf` from what names it.
 *
 * A look-up takes one step for each prefix length that occurs, however many networks there are.
 */
export function indexBySource<Item extends { readonly sources: Sources }, Value>(
  items: readonly Item[],
  groupOf: (items: readonly Item[]) => Value,
): SourceIndex<Value> {
  const forAny = items.filter(({ sources }) => sources === 'any');
  const any = forAny.length === 0 ? [] : [groupOf(forAny)];
  const tables = tablesOf(items);
  const byFamily = { 4: tablesFor(tables, 4, groupOf), 6: tablesFor(tables, 6, groupOf) };
  return {
    find: (source) => {
      const family = ipFamily(source);
      const found = byFamily[family];
      if (found.length === 0) return any;
      const bits = addressBits(source);
      const values = found.flatMap(({ shift, values }) => values.get(bits >> shift) ?? []);
      return values.length === 0 ? any : [...any, ...values];
    },
  };
}

/** Networks of one family and prefix length, by the bits of their prefix. `shift`: bits that do not count. */
interface Table<Value> {
  readonly family: 4 | 6;
  readonly shift: bigint;
  readonly values: Map<bigint, Value>;
}

function tablesOf<Item extends { readonly sources: Sources }>(
  items: readonly Item[],
): readonly Table<Set<Item>>[] {
  const tables = new Map<string, Table<Set<Item>>>();
  for (const item of items) {
    for (const network of item.sources === 'any' ? [] : item.sources) {
      const family = ipFamily(network.address);
      const shift = BigInt((family === 4 ? 32 : 128) - network.prefixLength);
      const name = `${family}/${shift}`;
      const table = tables.get(name) ?? { family, shift, values: new Map<bigint, Set<Item>>() };
      tables.set(name, table);
      const prefix = addressBits(network.address) >> shift;
      const already = table.values.get(prefix) ?? new Set();
      table.values.set(prefix, already.add(item));
    }
  }
  return [...tables.values()];
}

function tablesFor<Item, Value>(
  tables: readonly Table<Set<Item>>[],
  family: 4 | 6,
  groupOf: (items: readonly Item[]) => Value,
): readonly Table<Value>[] {
  return tables
    .filter((table) => table.family === family)
    .map(({ shift, values }) => ({
      family,
      shift,
      values: new Map([...values].map(([prefix, items]) => [prefix, groupOf([...items])])),
    }));
}
