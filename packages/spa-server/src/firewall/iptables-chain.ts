import { type IpAddress, ipFamily, type ProtoPort, parseIpAddress } from 'spa-core';
import { doorKey } from './doors.ts';
import type { FirewallCounter, PreFilter } from './firewall.ts';

/** A line such as `IPT_INPUT_ACCESS` of fwknopd.conf. Made by {@link parseIptablesChain}. */
export interface IptablesChain {
  /** What the rules do with a packet: ACCEPT. */
  readonly target: string;
  readonly table: string;
  /** The chain that jumps to ours. */
  readonly from: string;
  /** Where the jump stands in that chain, from 1. */
  readonly position: number;
  /** Our chain. */
  readonly chain: string;
}

/** fwknop's default of `IPT_INPUT_ACCESS`. */
export const DEFAULT_IPTABLES_CHAIN: IptablesChain = {
  target: 'ACCEPT',
  table: 'filter',
  from: 'INPUT',
  position: 1,
  chain: 'FWKNOP_INPUT',
};

/**
 * `ACCEPT, filter, INPUT, 1, FWKNOP_INPUT, 1`: target, table, chain, position there, own chain, and a last number that
 * fwknop reads and never uses, which may be missing here. Null for anything else.
 */
export function parseIptablesChain(text: string): IptablesChain | null {
  const parts = text.split(',').map((part) => part.trim());
  const [target = '', table = '', from = '', position = '', chain = '', unused = '1', ...rest] = parts;
  const areNames = [target, table, from, chain].every((name) => /^[A-Za-z_][\w.-]{0,27}$/.test(name));
  const areNumbers = [position, unused].every((number) => /^\d{1,5}$/.test(number));
  if (!areNames || !areNumbers || rest.length > 0) return null;
  return { target, table, from, position: Math.max(1, Number(position)), chain };
}

/** A door as a rule has it. */
export interface DoorRule {
  readonly address: IpAddress;
  readonly port: ProtoPort;
  /** Seconds since epoch; the first second in which the door is shut. fwknop's `_exp_`. */
  readonly expiresAtSecond: number;
  readonly grantId: string | null;
}

/** One table of iptables-save, seen from our chain. */
export interface TableState {
  /** Policies of the built-in chains. */
  readonly policies: ReadonlyMap<string, string>;
  /** All rules of the table as they stand there, `-A CHAIN …`, our chain's included. */
  readonly rules: readonly string[];
  /** Our chain is there. */
  readonly hasChain: boolean;
  /** All rules of our chain, as they stand. */
  readonly ownRules: readonly string[];
  /** The doors in our chain, of each the rule that ends last; expired ones too. */
  readonly doors: ReadonlyMap<string, DoorRule>;
  /** Our rules that are no doors, as they stand. */
  readonly fixedRules: readonly string[];
  /** What somebody else put into our chain. `expiresAtSecond` is fwknop's `_exp_`, or null if it has none. */
  readonly foreign: readonly { readonly rule: string; readonly expiresAtSecond: number | null }[];
}

/** Reads the output of `iptables-save -t TABLE` (or ip6tables-save's). */
export function parseTable(saved: string, chain: IptablesChain): TableState {
  const lines = saved.split('\n').map((line) => line.trim());
  const declared = lines.flatMap((line) => [...line.matchAll(/^:(\S+) (\S+)/g)]);
  const rules = lines.filter((line) => line.startsWith('-A '));
  const inOurs = rules.filter((rule) => rule.startsWith(`-A ${chain.chain} `));
  const doors = new Map<string, DoorRule>();
  const foreign: TableState['foreign'][number][] = [];
  for (const rule of inOurs.filter((rule) => !isFixedRule(rule))) {
    const door = parseDoorRule(rule, chain);
    if (door === null) {
      const end = /\b_exp_(\d{1,12})/.exec(rule)?.[1];
      foreign.push({ rule, expiresAtSecond: end === undefined ? null : Number(end) });
      continue;
    }
    const key = doorKey(door);
    if ((doors.get(key)?.expiresAtSecond ?? 0) < door.expiresAtSecond) doors.set(key, door);
  }
  return {
    policies: new Map(declared.map(([, name = '', policy = '']) => [name, policy])),
    rules,
    hasChain: declared.some(([, name]) => name === chain.chain),
    ownRules: inOurs,
    doors,
    fixedRules: inOurs.filter(isFixedRule),
    foreign,
  };
}

/**
 * The input of `iptables-restore --noflush` that brings our chain to exactly these rules, and one jump to it, in one
 * change; rules that stay are not touched. `fixed` (see {@link fixedRules}) stand above all others.
 */
export function changeChain(
  state: TableState,
  chain: IptablesChain,
  wanted: {
    readonly fixed: readonly string[];
    readonly doors: Iterable<DoorRule>;
    readonly foreign: readonly string[];
  },
): string {
  const coming = new Set([
    ...[...wanted.doors].map((door) => formatDoorRule(chain, door)),
    ...wanted.foreign,
  ]);
  const others = state.ownRules.filter((rule) => !isFixedRule(rule));
  // What is there and wanted leaves `coming`; a second copy of it is not wanted.
  const going = others.filter((rule) => !coming.delete(rule));
  const isFixed = wanted.fixed.join('\n') === state.fixedRules.join('\n');
  return transaction(chain, [
    ...(state.hasChain ? [] : [`:${chain.chain} - [0:0]`]),
    ...placeJump(state, chain),
    ...(isFixed ? [] : state.fixedRules.map(asDeletion)),
    ...going.map(asDeletion),
    ...(isFixed ? [] : wanted.fixed.map((rule, index) => asInsertion(rule, chain, index + 1))),
    ...coming,
  ]);
}

/** The input of `iptables-restore --noflush` that takes away the jump and our chain. */
export function removeChain(state: TableState, chain: IptablesChain): string {
  const jumps = state.rules.filter((rule) => rule === jumpRule(chain));
  return transaction(chain, [
    ...jumps.map(asDeletion),
    ...(state.hasChain ? [`-F ${chain.chain}`, `-X ${chain.chain}`] : []),
  ]);
}

/** True if our chain has these fixed rules, and a jump leads to it. */
export function isInPlace(state: TableState, chain: IptablesChain, fixed: readonly string[]): boolean {
  return (
    state.hasChain &&
    state.fixedRules.join('\n') === fixed.join('\n') &&
    state.rules.includes(jumpRule(chain))
  );
}

/** Things about the host's own rules that the operator should know, one line each. */
export function tableWarnings(
  program: string,
  state: TableState,
  { from }: IptablesChain,
): readonly string[] {
  const acceptsEstablished = state.rules.some(
    (rule) => /--(ct)?state \S*ESTABLISHED/.test(rule) && rule.endsWith('-j ACCEPT'),
  );
  // Front ends such as ufw drop in chains of their own, so any chain counts.
  const mayShut =
    state.policies.get(from) === 'DROP' || state.rules.some((rule) => /-j (DROP|REJECT)\b/.test(rule));
  return [
    ...(mayShut
      ? []
      : [
          `${program}: chain ${from} lets everything through: the doors guard nothing; drop what is to be protected`,
        ]),
    ...(!mayShut || acceptsEstablished
      ? []
      : [
          `${program}: no rule accepts established connections: sessions will die with their door; put "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT" into ${from}`,
        ]),
  ];
}

/** What the rules of our chain are that are no doors. */
export interface FixedRules {
  readonly family: 4 | 6;
  readonly spaPorts: readonly ProtoPort[];
  readonly preFilter: PreFilter | null;
  /** The set of ipset whose members are doors; null: each door has a rule. */
  readonly doorSet: string | null;
}

/** `--datestop` includes the second that it names, so it names the one before: the rule is inert from the given one on. */
export function matchUntil(expiresAtSecond: number): string {
  return `-m time --datestop ${new Date((expiresAtSecond - 1) * 1000).toISOString().slice(0, 19)}`;
}

/** The rules as iptables-save writes them, from the top. */
export function fixedRules({ chain, target }: IptablesChain, fixed: FixedRules): readonly string[] {
  const { spaPorts, preFilter, doorSet } = fixed;
  const udpPort = spaPorts.find(({ protocol }) => protocol === 'udp');
  const to = ({ protocol, port }: ProtoPort): string => `-p ${protocol} -m ${protocol} --dport ${port}`;
  const comment = (name: FixedRuleName): string => `-m comment --comment spa_${name}`;
  return [
    ...(udpPort === undefined || preFilter === null
      ? []
      : preFilterRules(fixed.family, to(udpPort), preFilter, comment)
    ).map((rule) => `-A ${chain} ! -i lo ${rule}`),
    ...spaPorts.map((port) => `-A ${chain} ${to(port)} ${comment('port')} -j ACCEPT`),
    ...(doorSet === null
      ? []
      : [`-A ${chain} -m set --match-set ${doorSet} src,dst ${comment('doors')} -j ${target}`]),
  ];
}

type FixedRuleName = FirewallCounter['reason'] | 'seen' | 'port' | 'doors';

/**
 * `-m recent` forgets the source that it has not seen longest when it is full (100 of them); `-m hashlimit` would drop
 * whoever comes then, and in a flood of invented sources that is everybody.
 */
function preFilterRules(
  family: 4 | 6,
  udp: string,
  { minBytes, maxBytes, ratePerSource }: PreFilter,
  comment: (name: FixedRuleName) => string,
): readonly string[] {
  const headers = HEADER_BYTES[family];
  const length = `-m length ! --length ${minBytes + headers}:${maxBytes + headers}`;
  const list = `--name spa_rate${family} --mask ${SOURCE_MASK[family]} --rsource`;
  const perSecond = Math.min(ratePerSource ?? 0, RECENT_MAX_PACKETS);
  return [
    `${udp} ${length} ${comment('length')} -j DROP`,
    ...(ratePerSource === null
      ? []
      : [
          `${udp} -m recent --rcheck --seconds 1 --hitcount ${perSecond} ${list} ${comment('rate')} -j DROP`,
          `${udp} -m recent --set ${list} ${comment('seen')}`,
        ]),
  ];
}

/** IP and UDP headers: `-m length` counts them. */
const HEADER_BYTES = { 4: 28, 6: 48 } as const;
const SOURCE_MASK = { 4: '255.255.255.255', 6: 'ffff:ffff:ffff:ffff::' } as const;
/** What `-m recent` of older kernels counts to. */
const RECENT_MAX_PACKETS = 255;

function isFixedRule(rule: string): boolean {
  return /--comment "?spa_(port|doors|length|rate|seen)\b/.test(rule);
}

/** What the pre-filter's rules in `iptables-save -c` have counted. */
export function parseCounters(saved: string, { chain }: IptablesChain): readonly FirewallCounter[] {
  const lines = saved.split('\n').filter((line) => line.includes(` -A ${chain} `));
  return (['length', 'rate'] as const).flatMap((reason) => {
    const line = lines.find((one) => new RegExp(`--comment "?spa_${reason}\\b`).test(one));
    const packets = /^\[(\d+):/.exec(line ?? '')?.[1];
    return packets === undefined ? [] : [{ reason, packets: Number(packets) }];
  });
}

/** The comment is fwknop's, with the grant behind it. */
function formatDoorRule({ chain, target }: IptablesChain, door: DoorRule): string {
  const { address, port, expiresAtSecond, grantId } = door;
  const comment = `_exp_${expiresAtSecond}${grantId === null ? '' : `_${grantId}`}`;
  const match = `-s ${address}/${ipFamily(address) === 4 ? 32 : 128} -p ${port.protocol} -m ${port.protocol} --dport ${port.port}`;
  return `-A ${chain} ${match} ${matchUntil(expiresAtSecond)} -m comment --comment ${comment} -j ${target}`;
}

/** A door's rule, ours or stock fwknop's, or null. */
function parseDoorRule(rule: string, { chain, target }: IptablesChain): DoorRule | null {
  const match =
    /^-A (\S+) -s ([\da-f.:]+)\/(?:32|128) -p (tcp|udp) -m \3 --dport (\d+)(?: -m time --datestop \S+)? -m comment --comment "?_exp_(\d{1,12})(?:_(\w+))?"? -j (\S+)$/.exec(
      rule,
    );
  if (match === null) return null;
  const [, inChain, addressText = '', protocol, port, expiresAtSecond, grantId = null, jump] = match;
  const address = parseIpAddress(addressText);
  if (inChain !== chain || jump !== target || address === null) return null;
  return {
    address,
    port: { protocol: protocol as ProtoPort['protocol'], port: Number(port) },
    expiresAtSecond: Number(expiresAtSecond),
    grantId,
  };
}

/** Nothing if the one jump stands where it should; else all that are there go and one comes. */
function placeJump(state: TableState, chain: IptablesChain): readonly string[] {
  const inFrom = state.rules.filter((rule) => rule.startsWith(`-A ${chain.from} `));
  const others = inFrom.filter((rule) => rule !== jumpRule(chain));
  // iptables refuses a position behind the end.
  const position = Math.min(chain.position, others.length + 1);
  if (inFrom.length === others.length + 1 && inFrom[position - 1] === jumpRule(chain)) return [];
  const old = inFrom.filter((rule) => rule === jumpRule(chain)).map(asDeletion);
  return [...old, `-I ${chain.from} ${position} -j ${chain.chain}`];
}

function jumpRule({ from, chain }: IptablesChain): string {
  return `-A ${from} -j ${chain}`;
}

function asDeletion(rule: string): string {
  return rule.replace(/^-A /, '-D ');
}

function asInsertion(rule: string, { chain }: IptablesChain, position: number): string {
  return rule.replace(`-A ${chain} `, `-I ${chain} ${position} `);
}

function transaction({ table }: IptablesChain, lines: readonly string[]): string {
  return [`*${table}`, ...lines, 'COMMIT', ''].join('\n');
}
