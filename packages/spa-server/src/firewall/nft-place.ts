import type { Beginning } from 'spa-core';
import type { FirewallCounter, GatePolicy, PreFilter } from './firewall.ts';
import {
  addForwardSets,
  deleteForwardSets,
  type ForwardChain,
  type ForwardTable,
  forwardRules,
} from './nft-forwards.ts';

/** Families of nftables tables that filter packets for this host. */
export type NftFamily = 'inet' | 'ip' | 'ip6';

/** A chain of nftables by its full name. Made by {@link parseNftChain}. */
export interface NftChain {
  readonly family: NftFamily;
  readonly table: string;
  readonly chain: string;
}

/** `inet filter input`: family inet, ip or ip6, table, chain. Null for anything else. */
export function parseNftChain(text: string): NftChain | null {
  const match = /^\s*(inet|ip6?)\s+([A-Za-z][\w./-]{0,127})\s+([A-Za-z][\w./-]{0,127})\s*$/.exec(text);
  if (match === null) return null;
  const [, family, table = '', chain = ''] = match;
  return { family: family as NftFamily, table, chain };
}

/** `inet filter input`. */
export function formatNftChain({ family, table, chain }: NftChain): string {
  return `${family} ${table} ${chain}`;
}

/**
 * Where our rules stand. *own*: in a table `inet NAME` of ours that itself shuts the protected ports. *attach*: in a
 * chain of the operator's table, to which a jump at the top of the operator's `chain` leads. nftables jumps only
 * within a table, and an accept in one table does not overrule a drop in another. `forwardChain` is the operator's
 * for what passes through this host, in the same table; null or left out: it needs no accept of ours.
 */
export type NftPlacement =
  | { readonly mode: 'own'; readonly table: string }
  | { readonly mode: 'attach'; readonly chain: NftChain; readonly forwardChain?: NftChain | null };

/** The names of what we put into nftables. */
export interface NftPlace {
  readonly family: NftFamily;
  readonly table: string;
  /** The chain with our rules. */
  readonly chain: string;
  /** The set of IPv4 doors; null in a table of family ip6. */
  readonly doors4: string | null;
  /** The set of IPv6 doors; null in a table of family ip. */
  readonly doors6: string | null;
  /** The operator's chain that jumps to ours; null if ours is a base chain. */
  readonly from: string | null;
  /** The pre-filter's base chain, its sets of sources, and its counters. */
  readonly filter: {
    readonly chain: string;
    readonly rate4: string | null;
    readonly rate6: string | null;
    readonly counters: Readonly<Record<FirewallCounter['reason'], string>>;
  };
  /** Where forwards are, if there may be any. */
  readonly forwards: ForwardTable;
  /** The operator's chain that jumps to ours for what passes through this host; null if there is none. */
  readonly forwardFrom: string | null;
}

/** The names that `placement` gives. @throws RangeError if the table's name is none that needs no quotes. */
export function nftPlace(placement: NftPlacement): NftPlace {
  if (placement.mode === 'own') {
    if (parseNftChain(`inet ${placement.table} x`) === null) throw new RangeError(`table ${placement.table}`);
    return placeIn('inet', placement.table, '', { chain: 'input', from: null, forwardFrom: null });
  }
  const { family, table, chain } = placement.chain;
  const forwardFrom = placement.forwardChain?.chain ?? null;
  return placeIn(family, table, 'spa_', { chain: 'spa_doors', from: chain, forwardFrom });
}

function placeIn(
  family: NftFamily,
  table: string,
  prefix: '' | 'spa_',
  chains: Pick<NftPlace, 'chain' | 'from' | 'forwardFrom'>,
): NftPlace {
  const in4 = (name: string): string | null => (family === 'ip6' ? null : `${prefix}${name}4`);
  const in6 = (name: string): string | null => (family === 'ip' ? null : `${prefix}${name}6`);
  return {
    family,
    table,
    ...chains,
    doors4: in4('doors'),
    doors6: in6('doors'),
    filter: {
      chain: `${prefix}filter`,
      rate4: in4('rate'),
      rate6: in6('rate'),
      counters: {
        length: `${prefix}dropped_length`,
        beginning: `${prefix}dropped_beginning`,
        rate: `${prefix}dropped_rate`,
      },
    },
    forwards: {
      ...{ family, table, prefix },
      forwardChains: {
        prerouting: `${prefix}prerouting`,
        input: chains.chain,
        // In a base chain of our own an accept would be heard by nobody else.
        forward: chains.forwardFrom === null ? null : `${prefix}forward`,
        postrouting: `${prefix}postrouting`,
      },
    },
  };
}

/** The names of the place's sets of doors. */
export function doorSets(place: Pick<NftPlace, 'doors4' | 'doors6'>): readonly string[] {
  return [place.doors4, place.doors6].filter((set) => set !== null);
}

/** What {@link installStatements} does besides putting rules in place. */
export interface InstallScriptOptions {
  /** The jumps to our chains that stand in the operator's chains already. */
  readonly jumps: readonly Jump[];
  /** There are sets of forwards, whether they are wanted or not. */
  readonly hasForwards: boolean;
  /** Packets to the SPA port take up no entry in the table of connections. */
  readonly untracked: boolean;
}

/** A rule of the operator's chain `from` that jumps to a chain of ours. */
export interface Jump {
  readonly from: string;
  readonly handle: number;
}

/** The statements that put our rules in place, or anew, if they are one transaction. */
export function installStatements(
  place: NftPlace,
  policy: GatePolicy,
  options: InstallScriptOptions,
): readonly string[] {
  const { family, table, chain, from } = place;
  const ours = `${family} ${table}`;
  const base = from === null ? ' { type filter hook input priority -10; policy accept; }' : '';
  return [
    ...(from === null ? [`add table ${ours}`] : []),
    ...addDoorSets(place),
    ...(policy.forwards === true ? addForwardSets(place.forwards) : []),
    `add chain ${ours} ${chain}${base}`,
    `flush chain ${ours} ${chain}`,
    ...rules(place, policy).map((rule) => `add rule ${ours} ${chain} ${rule}`),
    ...filterStatements(place, policy, options.untracked),
    ...deleteJumps(place, options.jumps),
    ...(from === null ? [] : [`insert rule ${ours} ${from} jump ${chain} comment "SPA doors"`]),
    ...(policy.forwards === true ? installForwards(place, policy) : []),
    ...(policy.forwards !== true && options.hasForwards ? removeForwards(place) : []),
  ];
}

/**
 * Before others' translation, so that it is ours that counts. What goes to an SPA port comes here, whatever is forwarded:
 * otherwise whoever has all ports forwarded could knock no more.
 */
function installForwards({ forwards, forwardFrom }: NftPlace, { spaPorts }: GatePolicy): readonly string[] {
  const ours = `${forwards.family} ${forwards.table}`;
  const returns = spaPorts.map(({ protocol, port }) => `${protocol} dport ${port} return`);
  return ownForwardChains(forwards).flatMap(({ in: at, name, hook }) => [
    `add chain ${ours} ${name}${hook}`,
    `flush chain ${ours} ${name}`,
    ...(at === 'prerouting' ? returns : [])
      .concat(forwardRules(forwards, at))
      .map((rule) => `add rule ${ours} ${name} ${rule}`),
    ...(at === 'forward' ? [`insert rule ${ours} ${forwardFrom} jump ${name} comment "SPA forwards"`] : []),
  ]);
}

/** Nothing jumps to our chains any more, and the rules of the chain of doors ask for no forwards. */
function removeForwards({ forwards }: NftPlace): readonly string[] {
  const ours = `${forwards.family} ${forwards.table}`;
  return [
    ...addForwardSets(forwards),
    ...ownForwardChains(forwards).flatMap(({ name, hook }) => [
      `add chain ${ours} ${name}${hook}`,
      `flush chain ${ours} ${name}`,
      `delete chain ${ours} ${name}`,
    ]),
    ...deleteForwardSets(forwards),
  ];
}

interface OwnForwardChain {
  readonly in: ForwardChain;
  readonly name: string;
  /** What makes it a base chain. */
  readonly hook: string;
}

/** The chains that there are for forwards only. */
function ownForwardChains({ forwardChains }: ForwardTable): readonly OwnForwardChain[] {
  const base = (hook: string, priority: number): string =>
    ` { type nat hook ${hook} priority ${priority}; policy accept; }`;
  const hooks = { prerouting: base('prerouting', -110), forward: '', postrouting: base('postrouting', 90) };
  return (['prerouting', 'forward', 'postrouting'] as const).flatMap((at) => {
    const name = forwardChains[at];
    return name === null ? [] : [{ in: at, name, hook: hooks[at] }];
  });
}

/** The statements that take all that is ours out of the operator's table, whatever is there. */
export function detachStatements(
  place: NftPlace,
  { jumps, hasForwards }: Pick<InstallScriptOptions, 'jumps' | 'hasForwards'>,
): readonly string[] {
  const ours = `${place.family} ${place.table}`;
  return [
    ...deleteJumps(place, jumps),
    `add chain ${ours} ${place.chain}`,
    `flush chain ${ours} ${place.chain}`,
    `delete chain ${ours} ${place.chain}`,
    ...addDoorSets(place),
    ...doorSets(place).map((set) => `delete set ${ours} ${set}`),
    ...(hasForwards ? removeForwards(place) : []),
    ...removeFilter(place),
  ];
}

/**
 * A table that belongs to the process that made it: the kernel lets nobody else change it, spares it when somebody
 * flushes all rules, and takes it away with the process. See {@link guardRules}.
 */
export interface Guard {
  readonly family: 'inet';
  readonly table: string;
  readonly doors4: string;
  readonly doors6: string;
  readonly forwards: ForwardTable;
}

/** Guards of the own table `table` are named by this and a word of their own. */
export function guardPrefix(table: string): string {
  return `${table}_guard_`;
}

/** The guard by its full name. */
export function guardNamed(table: string): Guard {
  const forwardChains = { prerouting: null, input: 'input', forward: null, postrouting: null };
  const forwards = { family: 'inet', table, prefix: '', forwardChains } as const;
  return { family: 'inet', table, doors4: 'doors4', doors6: 'doors6', forwards };
}

/** The statement that makes the guard's table, for whoever runs it. Older kernels and programs refuse it. */
export function claimGuard(guard: Guard): string {
  return `add table inet ${guard.table} { flags owner; }`;
}

/** The statement that makes the guard's sets of doors. They are to be filled before {@link guardRules} shut anything. */
export function guardSets(guard: Guard, { forwards }: GatePolicy): readonly string[] {
  return [
    claimGuard(guard),
    ...addDoorSets(guard),
    ...(forwards === true ? addForwardSets(guard.forwards) : []),
  ];
}

/** The statements for the guard's rules, anew: it shuts what the own table shuts, but for doors. */
export function guardRules(guard: Guard, policy: GatePolicy): readonly string[] {
  const name = `inet ${guard.table} input`;
  const rules = [...WAVED_THROUGH, ...doorRules(guard), ...localRules(guard, policy), ...shutRules(policy)];
  return [
    `add chain ${name} { type filter hook input priority -11; policy accept; }`,
    `flush chain ${name}`,
    ...rules.map((rule) => `add rule ${name} ${rule}`),
  ];
}

/** The statements that take all doors out of a table. */
export function flushDoors(
  table: Pick<NftPlace, 'family' | 'table' | 'doors4' | 'doors6'>,
): readonly string[] {
  return doorSets(table).map((set) => `flush set ${table.family} ${table.table} ${set}`);
}

function addDoorSets(place: Pick<NftPlace, 'family' | 'table' | 'doors4' | 'doors6'>): readonly string[] {
  return [
    ...addSet(place, place.doors4, 'type ipv4_addr . inet_proto . inet_service; flags timeout;'),
    ...addSet(place, place.doors6, 'type ipv6_addr . inet_proto . inet_service; flags timeout;'),
  ];
}

function addSet(
  { family, table }: Pick<NftPlace, 'family' | 'table'>,
  set: string | null,
  definition: string,
): readonly string[] {
  return set === null ? [] : [`add set ${family} ${table} ${set} { ${definition} }`];
}

/** Our base chains meet every packet, so they wave these through; in the operator's chain that is his. */
const WAVED_THROUGH: readonly string[] = ['ct state established,related accept', 'iif lo accept'];

function rules(place: NftPlace, policy: GatePolicy): readonly string[] {
  const spaPorts = policy.spaPorts.map(({ protocol, port }) => `${protocol} dport ${port} accept`);
  const shared = [...spaPorts, ...doorRules(place), ...localRules(place, policy)];
  return place.from === null ? [...WAVED_THROUGH, ...shared, ...shutRules(policy)] : shared;
}

function doorRules({ doors4, doors6 }: Pick<NftPlace, 'doors4' | 'doors6'>): readonly string[] {
  return [
    ...(doors4 === null ? [] : [`ip saddr . meta l4proto . th dport @${doors4} accept`]),
    ...(doors6 === null ? [] : [`ip6 saddr . meta l4proto . th dport @${doors6} accept`]),
  ];
}

/** What was led to another port of this host. */
function localRules({ forwards }: Pick<NftPlace, 'forwards'>, policy: GatePolicy): readonly string[] {
  return policy.forwards === true ? forwardRules(forwards, 'input') : [];
}

function shutRules({ protectedPorts }: GatePolicy): readonly string[] {
  return (['tcp', 'udp'] as const).flatMap((protocol) => {
    const ports = protectedPorts.filter((port) => port.protocol === protocol);
    if (ports.length === 0) return [];
    return [`${protocol} dport { ${[...new Set(ports.map(({ port }) => port))].join(', ')} } drop`];
  });
}

/** Sources that are remembered at a time: 8 MB of the kernel's memory. More are let through. */
const SOURCES = 32_768;

function filterSets(place: NftPlace): readonly string[] {
  const more = `size ${SOURCES}; flags dynamic,timeout; timeout 10s;`;
  return [
    ...addSet(place, place.filter.rate4, `type ipv4_addr; ${more}`),
    ...addSet(place, place.filter.rate6, `type ipv6_addr; ${more}`),
  ];
}

/** Before the table of connections, so that what is dropped does not fill it. */
function addFilterChain({ family, table, filter }: NftPlace): readonly string[] {
  const name = `${family} ${table} ${filter.chain}`;
  return [
    `add chain ${name} { type filter hook prerouting priority -300; policy accept; }`,
    `flush chain ${name}`,
  ];
}

function filterStatements(
  place: NftPlace,
  { spaPorts, preFilter }: GatePolicy,
  untracked: boolean,
): readonly string[] {
  const udp = spaPorts.find(({ protocol }) => protocol === 'udp');
  if (udp === undefined || preFilter === null) return removeFilter(place);
  return installFilter(place, udp.port, preFilter, untracked);
}

function installFilter(
  place: NftPlace,
  udpPort: number,
  { minBytes, maxBytes, beginnings, ratePerSource }: PreFilter,
  untracked: boolean,
): readonly string[] {
  const { filter, family, table } = place;
  const counters = Object.values(filter.counters).map((name) => `add counter ${family} ${table} ${name}`);
  // A set that is full takes no more: then the rule does not match.
  const limit = `limit rate over ${ratePerSource}/second burst ${2 * (ratePerSource ?? 0)} packets`;
  const overRate = (set: string | null, source: string): readonly string[] =>
    set === null || ratePerSource === null
      ? []
      : [`update @${set} { ${source} ${limit} } counter name ${filter.counters.rate} drop`];
  const filterRules = [
    'iif lo accept',
    'meta l4proto != udp accept',
    `udp dport != ${udpPort} accept`,
    'fib daddr type != local accept',
    `udp length != ${minBytes + UDP_HEADER_BYTES}-${maxBytes + UDP_HEADER_BYTES} counter name ${filter.counters.length} drop`,
    ...(beginnings === null
      ? []
      : [`${beginnings.map(beginsOtherwise).join(' ')} counter name ${filter.counters.beginning} drop`]),
    ...overRate(filter.rate4, 'ip saddr'),
    ...overRate(filter.rate6, 'ip6 saddr and ffff:ffff:ffff:ffff::'),
    ...(untracked ? ['notrack'] : []),
  ];
  return [
    ...counters,
    ...filterSets(place),
    ...addFilterChain(place),
    ...filterRules.map((rule) => `add rule ${family} ${table} ${filter.chain} ${rule}`),
  ];
}

/** Octets behind the header of UDP, as numbers. */
function beginsOtherwise({ at, texts }: Beginning): string {
  const [{ length } = ''] = texts;
  const numbers = texts.map((text) => `0x${Buffer.from(text, 'latin1').toString('hex')}`);
  return `@th,${8 * (UDP_HEADER_BYTES + at)},${8 * length} != { ${numbers.join(', ')} }`;
}

function removeFilter(place: NftPlace): readonly string[] {
  const { family, table, filter } = place;
  const counters = Object.values(filter.counters);
  return [
    ...addFilterChain(place),
    `delete chain ${family} ${table} ${filter.chain}`,
    ...filterSets(place),
    ...[filter.rate4, filter.rate6].flatMap((set) =>
      set === null ? [] : [`delete set ${family} ${table} ${set}`],
    ),
    ...counters.map((name) => `add counter ${family} ${table} ${name}`),
    ...counters.map((name) => `delete counter ${family} ${table} ${name}`),
  ];
}

const UDP_HEADER_BYTES = 8;

function deleteJumps({ family, table }: NftPlace, jumps: readonly Jump[]): readonly string[] {
  return jumps.map(({ from, handle }) => `delete rule ${family} ${table} ${from} handle ${handle}`);
}
