import { ipFamily, parseIpAddress } from 'spa-core';
import { type Forward, formatForward, innerPort, parseForward } from './forward.ts';
import type { KnownDoor } from './known-doors.ts';
import { ELEMENTS_PER_STATEMENT, PROTOCOL_NUMBER, parseTime } from './nft-doors.ts';
import type { NftFamily } from './nft-place.ts';

/** A table with sets and maps of forwards, and the chains whose rules ask them; a chain that it lacks is null. */
export interface ForwardTable {
  readonly family: NftFamily;
  readonly table: string;
  /** Stands before the name of each set. */
  readonly prefix: string;
  readonly forwardChains: Readonly<Record<ForwardChain, string | null>>;
}

/** Where a rule stands. `input` is the chain of the doors; in `forward` we only accept. */
export type ForwardChain = 'prerouting' | 'input' | 'forward' | 'postrouting';

/** A door that leads elsewhere. */
type KnownForward = KnownDoor & { readonly forward: Forward };

/** One kind of set or map, with the rule that asks it. */
interface Row {
  readonly name: string;
  /** What its elements are found by. */
  readonly key: keyof typeof KEYS;
  /** What they lead to, if it is a map. */
  readonly data: keyof typeof DATA | null;
  /** Null: no rule asks it. It says which forwards there are, whatever rules they need. */
  readonly chain: ForwardChain | null;
  /** The rule, from `key` and the set's name to the verdict; `ip` is the protocol's word. */
  readonly rule: (key: string, set: string, ip: 'ip' | 'ip6') => string;
  readonly holds: (forward: Forward) => boolean;
}

const KEYS = {
  source: {
    type: ['addr'],
    match: ['saddr'],
    of: ({ address }: KnownForward): string => address,
  },
  /** The door. */
  outer: {
    type: ['addr', 'inet_proto', 'inet_service'],
    match: ['saddr', 'meta l4proto', 'th dport'],
    of: ({ address, port }: KnownForward): string =>
      `${address} . ${PROTOCOL_NUMBER[port.protocol]} . ${port.port}`,
  },
  /** The door and where it leads; of one that leads anywhere the address of nobody. */
  whole: {
    type: ['addr', 'inet_proto', 'inet_service', 'addr', 'inet_service'],
    match: [],
    of: (door: KnownForward): string => {
      const { target } = door.forward;
      const host = target?.address ?? (door.address.includes(':') ? '::' : '0.0.0.0');
      return `${KEYS.outer.of(door)} . ${host} . ${target?.port ?? 0}`;
    },
  },
  /** Who may reach what, as it is once it is translated. */
  inner: {
    type: ['addr', 'inet_proto', 'addr', 'inet_service'],
    match: ['saddr', 'meta l4proto', 'daddr', 'th dport'],
    of: ({ address, port, forward }: KnownForward): string =>
      `${address} . ${PROTOCOL_NUMBER[port.protocol]} . ${forward.target?.address} . ${innerPort(port.port, forward)}`,
  },
} as const;

const DATA = {
  host: { type: ['addr'], of: ({ target }: Forward): string => `${target?.address}` },
  socket: {
    type: ['addr', 'inet_service'],
    of: ({ target }: Forward): string => `${target?.address} . ${target?.port}`,
  },
  sourceAs: { type: ['addr'], of: ({ sourceAs }: Forward): string => `${sourceAs}` },
} as const;

/** What is sent to another host's address on its way through this one is nobody's door. */
const TO_US = 'fib daddr type local';
const translate: Row['rule'] = (key, set, ip) => `${TO_US} dnat ${ip} to ${key} map ${set}`;
const accept: Row['rule'] = (key, set) => `${key} ${set} accept`;
const masquerade: Row['rule'] = (key, set) => `${key} ${set} masquerade`;
const asAddress: Row['rule'] = (key, set, ip) => `snat ${ip} to ${key} map ${set}`;

const isTranslated = ({ translates, target }: Forward): boolean => translates && target !== null;
const isThrough = ({ kind }: Forward): boolean => kind === 'nat';
const isMasqueraded = (forward: Forward): boolean => isThrough(forward) && forward.sourceAs === 'masquerade';
const isRenamed = (forward: Forward): boolean =>
  isThrough(forward) && forward.sourceAs !== null && !isMasqueraded(forward);

/** The name of the row that says which forwards there are. */
const RECORD = 'forwards';

const ROWS: readonly Row[] = [
  { name: RECORD, key: 'whole', data: null, chain: null, rule: accept, holds: () => true },
  ...rowsOf('nat', 'prerouting', translate, isTranslated, { outer: 'socket', source: 'host' }),
  {
    name: 'local',
    key: 'inner',
    data: null,
    chain: 'input',
    rule: accept,
    holds: ({ kind }) => kind === 'local',
  },
  ...rowsOf('through', 'forward', accept, isThrough, null),
  ...rowsOf('snat', 'postrouting', asAddress, isRenamed, { outer: 'sourceAs', source: 'sourceAs' }),
  ...rowsOf('masquerade', 'postrouting', masquerade, isMasqueraded, null),
];

/** A row for forwards of one port, and one for forwards of all that their source sends. */
function rowsOf(
  name: string,
  chain: ForwardChain,
  rule: Row['rule'],
  holds: Row['holds'],
  data: { readonly outer: Row['data']; readonly source: Row['data'] } | null,
): readonly Row[] {
  return [
    {
      ...{ name, chain, rule, data: data?.outer ?? null, key: chain === 'prerouting' ? 'outer' : 'inner' },
      holds: (forward) => !forward.all && holds(forward),
    },
    {
      ...{ name: `${name}_all`, chain, rule, data: data?.source ?? null, key: 'source' },
      holds: (forward) => forward.all && holds(forward),
    },
  ];
}

/** The statements that make the table's sets and maps, if they are not there. */
export function addForwardSets(table: ForwardTable): readonly string[] {
  return setsOf(table).map(({ row, set, ip }) => {
    const type = (parts: readonly string[]): string =>
      parts.map((part) => (part === 'addr' ? ADDRESS_TYPE[ip] : part)).join(' . ');
    const data = row.data === null ? '' : ` : ${type(DATA[row.data].type)}`;
    return `add ${kindOf(row)} ${set} { type ${type(KEYS[row.key].type)}${data}; flags timeout; }`;
  });
}

/** The statements that take them away; no rule may ask them any more. */
export function deleteForwardSets(table: ForwardTable): readonly string[] {
  return setsOf(table).map(({ row, set }) => `delete ${kindOf(row)} ${set}`);
}

/** The rules of one chain that ask them. */
export function forwardRules(table: ForwardTable, chain: ForwardChain): readonly string[] {
  return setsOf(table)
    .filter(({ row }) => row.chain === chain)
    .map(({ row, name, ip }) => {
      const match = KEYS[row.key].match.map((part) => (part.endsWith('addr') ? `${ip} ${part}` : part));
      return row.rule(match.join(' . '), `@${name}`, ip);
    });
}

/**
 * The statements that make these the table's only forwards. There are few, and an element of a map that leads elsewhere
 * cannot be replaced otherwise; what several of them need lasts as long as the longest. `now` in ms, monotonic.
 */
export function fillForwards(
  table: ForwardTable,
  doors: readonly KnownDoor[],
  now: number,
): readonly string[] {
  const open = doors.filter(isForward).filter(({ until }) => until - now >= 1);
  return setsOf(table).flatMap(({ row, set, family }) => {
    const elements = new Map<string, KnownForward>();
    for (const door of open) {
      if (ipFamily(door.address) !== family || !row.holds(door.forward)) continue;
      const key = KEYS[row.key].of(door);
      if ((elements.get(key)?.until ?? 0) < door.until) elements.set(key, door);
    }
    const texts = [...elements].map(([key, door]) => elementOf(row, key, door, now));
    const chunks = Array.from({ length: Math.ceil(texts.length / ELEMENTS_PER_STATEMENT) }, (_, index) =>
      texts.slice(index * ELEMENTS_PER_STATEMENT, (index + 1) * ELEMENTS_PER_STATEMENT),
    );
    return [
      `flush ${kindOf(row)} ${set}`,
      ...chunks.map((some) => `add element ${set} { ${some.join(', ')} }`),
    ];
  });
}

/** All that a table has for forwards only. */
export function forwardObjects(
  table: ForwardTable,
): readonly { readonly kind: 'chain' | 'set' | 'map'; readonly name: string }[] {
  const { input: _, ...chains } = table.forwardChains;
  return [
    ...Object.values(chains).flatMap((name) => (name === null ? [] : [{ kind: 'chain', name } as const])),
    ...setsOf(table).map(({ row, name }) => ({ kind: kindOf(row), name })),
  ];
}

/** The names of the sets that say which forwards there are. */
export function forwardRecords(table: ForwardTable): readonly string[] {
  return familiesOf(table).map((family) => `${table.prefix}${RECORD}${family}`);
}

/** The forwards in what `nft list set …` prints of them; `now` is the time of the listing (ms, monotonic). */
export function parseForwards(listing: string, now: number): readonly KnownDoor[] {
  return [...listing.matchAll(RECORDED)].flatMap(
    ([, text = '', name, port, expires = '', grantId = '', leading = '']) => {
      const [address, forward] = [parseIpAddress(text), parseForward(leading)];
      const protocol = name === 'tcp' || name === '6' ? 'tcp' : 'udp';
      if (address === null || forward === null) return [];
      return [
        {
          ...{ address, port: { protocol, port: Number(port) }, forward },
          ...{ until: now + parseTime(expires), grantId: grantId === '' ? null : grantId },
        } as const,
      ];
    },
  );
}

const RECORDED =
  /([\da-f.:]+) \. (tcp|udp|6|17) \. (\d{1,5}) \. [\da-f.:]+ \. \d{1,5}(?: timeout \w+)? expires (\w+) comment "(\w*) ([\w,.:=]+)"/g;

/** True for a door that leads elsewhere. */
export function isForward(door: KnownDoor): door is KnownForward {
  return door.forward !== undefined;
}

const ADDRESS_TYPE = { ip: 'ipv4_addr', ip6: 'ipv6_addr' } as const;

interface NamedSet {
  readonly row: Row;
  readonly family: 4 | 6;
  readonly ip: 'ip' | 'ip6';
  readonly name: string;
  /** With its table. */
  readonly set: string;
}

/** The sets and maps of a table: those that its rules ask, and the record where doors are translated. */
function setsOf(table: ForwardTable): readonly NamedSet[] {
  const used = ROWS.filter(({ chain }) => table.forwardChains[chain ?? 'prerouting'] !== null);
  return familiesOf(table).flatMap((family) =>
    used.map((row) => {
      const name = `${table.prefix}${row.name}${family}`;
      return {
        row,
        family,
        ip: family === 4 ? 'ip' : 'ip6',
        name,
        set: `${table.family} ${table.table} ${name}`,
      };
    }),
  );
}

function familiesOf({ family }: ForwardTable): readonly (4 | 6)[] {
  return family === 'inet' ? [4, 6] : [family === 'ip' ? 4 : 6];
}

function kindOf({ data }: Row): 'map' | 'set' {
  return data === null ? 'set' : 'map';
}

function elementOf(row: Row, key: string, door: KnownForward, now: number): string {
  const comment = row.name === RECORD ? ` comment "${commentOf(door)}"` : '';
  const data = row.data === null ? '' : ` : ${DATA[row.data].of(door.forward)}`;
  return `${key} timeout ${Math.floor(door.until - now)}ms${comment}${data}`;
}

/** The grant, as far as there is room for it beside long addresses, and where the door leads. */
function commentOf({ grantId, forward }: KnownForward): string {
  const leading = formatForward(forward);
  return `${(grantId ?? '').slice(0, COMMENT_MAX_LENGTH - leading.length - 1)} ${leading}`;
}

/** Of an element's comment: nft takes no more. */
const COMMENT_MAX_LENGTH = 127;
