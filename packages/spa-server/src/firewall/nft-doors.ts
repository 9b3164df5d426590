import { ipFamily, type ProtoPort, parseIpAddress } from 'spa-core';
import type { KnownDoor } from './known-doors.ts';
import type { NftFamily } from './nft-place.ts';

/** A table with sets of doors; a set that a family lacks is null. */
export interface DoorTable {
  readonly family: NftFamily;
  readonly table: string;
  readonly doors4: string | null;
  readonly doors6: string | null;
}

/** Which door, whatever its end. */
export type DoorPlace = Pick<KnownDoor, 'address' | 'port' | 'forward'>;

/** How the statements of {@link openDoors} treat what may be there. */
export interface OpenOptions {
  /** The time from which the ends count (ms, monotonic). */
  readonly now: number;
  /** True: the doors are certainly not there, otherwise the transaction fails. */
  readonly fresh: boolean;
  /** True: the elements name their grants. */
  readonly comments: boolean;
}

/** The statements that bring doors of this host's own in `table` to exactly their ends. Doors that have ended are left out. */
export function openDoors(
  table: DoorTable,
  doors: readonly KnownDoor[],
  options: OpenOptions,
): readonly string[] {
  const { now, fresh, comments } = options;
  const open = doors.filter(({ until }) => until - now >= 1);
  const elementOf = (door: KnownDoor): string => {
    const comment = comments && door.grantId !== null ? ` comment "${door.grantId}"` : '';
    return `${keyOf(door)} timeout ${Math.floor(door.until - now)}ms${comment}`;
  };
  if (fresh) return statements('create', table, open, elementOf);
  // An existing element keeps its old timeout when it is added again; what is surely there can be taken out first.
  return [...shutDoors(table, open), ...statements('add', table, open, elementOf)];
}

/** The statements that shut doors in `table`, whether they are open or not. */
export function shutDoors(table: DoorTable, doors: readonly DoorPlace[]): readonly string[] {
  return [...statements('add', table, doors, keyOf), ...statements('delete', table, doors, keyOf)];
}

/** Nobody has to read a line of more elements. */
export const ELEMENTS_PER_STATEMENT = 1_000;

function statements<D extends DoorPlace>(
  verb: 'add' | 'create' | 'delete',
  table: DoorTable,
  doors: readonly D[],
  element: (door: D) => string,
): readonly string[] {
  return ([4, 6] as const).flatMap((family) => {
    const set = family === 4 ? table.doors4 : table.doors6;
    const members = doors.filter(({ address }) => ipFamily(address) === family).map(element);
    if (set === null) return [];
    const name = `${table.family} ${table.table} ${set}`;
    return chunks(members).map((some) => `${verb} element ${name} { ${some.join(', ')} }`);
  });
}

function chunks(members: readonly string[]): readonly (readonly string[])[] {
  const count = Math.ceil(members.length / ELEMENTS_PER_STATEMENT);
  return Array.from({ length: count }, (_, index) =>
    members.slice(index * ELEMENTS_PER_STATEMENT, (index + 1) * ELEMENTS_PER_STATEMENT),
  );
}

/** By number: names of protocols need a file, /etc/protocols, that small systems lack. */
export const PROTOCOL_NUMBER: Readonly<Record<ProtoPort['protocol'], number>> = { tcp: 6, udp: 17 };

function keyOf({ address, port }: DoorPlace): string {
  return `${address} . ${PROTOCOL_NUMBER[port.protocol]} . ${port.port}`;
}

const ELEMENT =
  /([\da-f.:]+) \. (tcp|udp|6|17) \. (\d{1,5})(?: timeout \w+)? expires (\w+)(?: comment "(\w*)")?/g;

/** The doors in what `nft list set …` prints; `now` is the time of the listing (ms, monotonic). */
export function parseDoors(listing: string, now: number): readonly KnownDoor[] {
  return [...listing.matchAll(ELEMENT)].flatMap(([, text = '', name, port, expires = '', grantId = null]) => {
    const address = parseIpAddress(text);
    const protocol = name === 'tcp' || name === '6' ? 'tcp' : 'udp';
    if (address === null) return [];
    return [{ address, port: { protocol, port: Number(port) }, until: now + parseTime(expires), grantId }];
  });
}

const UNIT_MS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** `1d2h3m4s5ms` in milliseconds. */
export function parseTime(text: string): number {
  return [...text.matchAll(/(\d+)([a-z]+)/g)].reduce(
    (sum, [, number, unit = '']) => sum + Number(number) * (UNIT_MS[unit] ?? 0),
    0,
  );
}
