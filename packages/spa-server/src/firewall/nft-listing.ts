import type { FirewallCounter } from './firewall.ts';
import { forwardObjects } from './nft-forwards.ts';
import { doorSets, type Guard, type NftPlace } from './nft-place.ts';

/**
 * What of ours stands in a listing of a family's rules with handles (`nft -t -a list ruleset inet`), with everything that
 * changes by itself left out: two are equal as long as nobody has touched it, or made it anew. Null if there is none.
 */
export function ourPart(listing: string, place: NftPlace, guard: Guard | null): string | null {
  const table = tableIn(listing, place.family, place.table);
  if (table === null) return null;
  const part = place.from === null ? table : attachedPart(table, place);
  if (part === null) return null;
  const guarding = guard === null ? '' : tableIn(listing, guard.family, guard.table);
  if (guarding === null) return null;
  // Each session's guard has a name and handles of its own.
  return `${withoutCounts(part)}\n${guarding.replace(guard?.table ?? '', '').replaceAll(/ # .*/g, '')}`;
}

/**
 * Names table and sets of the doors in such a listing by their handles, which no others get in the life of a network
 * namespace. Null if they are not all there.
 */
export function doorsMark(listing: string, place: NftPlace): string | null {
  const table = tableIn(listing, place.family, place.table);
  if (table === null) return null;
  const parts = [table, ...doorSets(place).map((set) => objectIn(table, 'set', set))];
  const handles = parts.map((part) => /^.*\{ # handle (\d+)/.exec(part ?? '')?.[1]);
  return handles.includes(undefined) ? null : `${place.family} ${place.table} ${handles.join(' ')}`;
}

/** What the pre-filter's counters say in such a listing. Those that are not there are left out. */
export function countersIn(listing: string, place: NftPlace): readonly FirewallCounter[] {
  const table = tableIn(listing, place.family, place.table) ?? '';
  return (Object.entries(place.filter.counters) as [FirewallCounter['reason'], string][]).flatMap(
    ([reason, name]) => {
      const packets = /packets (\d+)/.exec(objectIn(table, 'counter', name) ?? '')?.[1];
      return packets === undefined ? [] : [{ reason, packets: Number(packets) }];
    },
  );
}

/** In the operator's table: our objects, and that his chains jump to ours, once, wherever. */
function attachedPart(table: string, place: NftPlace): string | null {
  const { chain, from, doors4, doors6, filter } = place;
  const jumpsTo = (target: string, inChain: string): number =>
    objectIn(table, 'chain', inChain)?.match(new RegExp(`jump ${target}\\b`, 'g'))?.length ?? 0;
  const { forwards, forwardFrom } = place;
  const parts = [
    ...[chain, filter.chain].map((name) => objectIn(table, 'chain', name)),
    ...[doors4, doors6, filter.rate4, filter.rate6].map((name) => name && objectIn(table, 'set', name)),
    ...Object.values(filter.counters).map((name) => objectIn(table, 'counter', name)),
    ...forwardObjects(forwards).map(({ kind, name }) => objectIn(table, kind, name)),
    jumpsTo(forwards.forwardChains.forward ?? '', forwardFrom ?? ''),
  ];
  return jumpsTo(chain, from ?? '') === 1 ? parts.join('\n') : null;
}

function tableIn(listing: string, family: string, table: string): string | null {
  return between(listing, new RegExp(`^table ${family} ${table} \\{`, 'm'), '\n}');
}

function objectIn(table: string, kind: 'chain' | 'set' | 'map' | 'counter', name: string): string | null {
  return between(table, new RegExp(`^\\t${kind} ${name} \\{`, 'm'), '\n\t}');
}

/** Names of nftables have no letter that means something to a regular expression but the full stop. */
function between(text: string, start: RegExp, end: string): string | null {
  const at = text.search(start);
  if (at < 0) return null;
  const to = text.indexOf(end, at);
  return to < 0 ? null : text.slice(at, to + end.length);
}

function withoutCounts(text: string): string {
  return text.replaceAll(/packets \d+ bytes \d+/g, '');
}
