import { ipFamily, type ProtoPort, parseIpAddress } from 'spa-core';
import { runCommand, TIME_LIMIT_MS } from './command.ts';
import { doorKey } from './doors.ts';
import {
  type Door,
  type DoorChange,
  FirewallError,
  type GatePolicy,
  type Grant,
  type InstallOptions,
  NO_FORWARDS,
} from './firewall.ts';
import { type Forward, formatForward, innerPort, isSameForward, parseForward } from './forward.ts';
import { createTurns } from './in-turn.ts';
import {
  changeChain,
  type IptablesChain,
  isInPlace,
  matchUntil,
  parseTable,
  removeChain,
  type TableState,
} from './iptables-chain.ts';
import type { KnownDoor } from './known-doors.ts';

/** Our chains for doors that lead elsewhere: fwknop's `IPT_FORWARD_ACCESS` and so on, and one for ports of this host. */
export type ForwardChains = Readonly<
  Record<'local' | 'forward' | 'dnat' | 'snat' | 'masquerade', IptablesChain>
>;

/** fwknop's defaults; `local` stands behind the jump to the chain of doors. */
export const DEFAULT_FORWARD_CHAINS: ForwardChains = {
  local: { target: 'ACCEPT', table: 'filter', from: 'INPUT', position: 2, chain: 'FWKNOP_LOCAL_NAT' },
  forward: { target: 'ACCEPT', table: 'filter', from: 'FORWARD', position: 1, chain: 'FWKNOP_FORWARD' },
  dnat: { target: 'DNAT', table: 'nat', from: 'PREROUTING', position: 1, chain: 'FWKNOP_PREROUTING' },
  snat: { target: 'SNAT', table: 'nat', from: 'POSTROUTING', position: 1, chain: 'FWKNOP_POSTROUTING' },
  masquerade: {
    ...{ target: 'MASQUERADE', table: 'nat', from: 'POSTROUTING', position: 2, chain: 'FWKNOP_MASQUERADE' },
  },
};

/** The forwards' part of `Firewall`, for one family of addresses; changes are checked already. */
export interface IptablesForwards {
  install(policy: GatePolicy, options: InstallOptions): Promise<readonly string[]>;
  adjust(changes: readonly DoorChange[]): Promise<void>;
  grant(grant: Grant & { readonly forward: Forward }): Promise<{ readonly expiresAt: number }>;
  isIntact(): Promise<boolean>;
  list(): Promise<readonly Door[]>;
  flush(): Promise<void>;
  close(flush: boolean): Promise<void>;
}

/** What {@link createIptablesForwards} goes by; the rest as in `IptablesOptions`. */
export interface IptablesForwardsOptions {
  /** iptables or ip6tables, with what has to stand before it. */
  readonly command: readonly string[];
  readonly family: 4 | 6;
  readonly chains: ForwardChains;
  readonly now: () => number;
  readonly uptime?: () => number;
  readonly timeLimitMs?: number;
  readonly sweepAfterMs?: number;
}

type KnownForward = KnownDoor & { readonly forward: Forward };

/**
 * Doors that lead elsewhere, in chains of iptables that hold nothing else. They are few: each change writes all of them, and
 * what of their rules stands already is not touched. The kernel stops matching a rule at its second, as with doors.
 */
export function createIptablesForwards(options: IptablesForwardsOptions): IptablesForwards {
  const { command, family, chains, now, timeLimitMs = TIME_LIMIT_MS, sweepAfterMs = 10_000 } = options;
  const { uptime = () => performance.now() } = options;
  const inTurn = createTurns();
  const each = Object.values(chains);
  const program = command.at(-1) ?? '';
  let known = new Map<string, KnownForward>();
  /** The policy that was installed; null: another process has, or nobody. */
  let installed: GatePolicy | null = null;
  let sweeper: NodeJS.Timeout | null = null;

  const run = (tool: 'save' | 'restore', args: readonly string[], input?: string): Promise<string> =>
    runCommand([...command.slice(0, -1), `${program}-${tool}`, ...args], {
      timeLimitMs,
      ...(input === undefined ? {} : { input }),
    });

  /** Each chain's table, read once. */
  async function read(
    some: readonly IptablesChain[] = each,
  ): Promise<ReadonlyMap<IptablesChain, TableState>> {
    const tables = new Map<string, string>();
    for (const { table } of some) if (!tables.has(table)) tables.set(table, await run('save', ['-t', table]));
    return new Map(some.map((chain) => [chain, parseTable(tables.get(chain.table) ?? '', chain)]));
  }

  async function restore(input: string): Promise<void> {
    const wait = Math.max(1, Math.floor(timeLimitMs / 1000) - 1);
    await run('restore', ['--noflush', '-w', String(wait)], input);
  }

  /** To ask for the table nat would make the kernel begin with it, so that what stands in filter is asked first. */
  async function isThere(): Promise<boolean> {
    const states = await read([chains.local, chains.forward]);
    return [...states.values()].some(({ hasChain }) => hasChain);
  }

  /** The forwards that are open; null if there are no chains for any. */
  async function current(): Promise<Map<string, KnownForward> | null> {
    if (installed !== null) return installed.forwards === true ? new Map(known) : null;
    return (await isThere()) ? listed() : null;
  }

  async function listed(): Promise<Map<string, KnownForward>> {
    const states = await read([chains.local, chains.forward]);
    const doors = [...states.values()].flatMap(({ ownRules }) => ownRules).flatMap(parseRecord);
    return new Map(doors.filter(({ until }) => until > uptime()).map((door) => [doorKey(door), door]));
  }

  /** Makes these the only forwards; tried twice, because somebody may change the tables between our reading and writing. */
  async function replace(doors: ReadonlyMap<string, KnownForward>, policy = installed): Promise<void> {
    const open = new Map([...doors].filter(([, { until }]) => until > uptime()));
    try {
      await write([...open.values()], policy);
    } catch (error) {
      if (!(error instanceof FirewallError) || error.status === null) throw error;
      await write([...open.values()], policy);
    }
    known = open;
    sweepLater();
  }

  async function write(doors: readonly KnownForward[], policy: GatePolicy | null): Promise<void> {
    const states = await read();
    const parts = (Object.keys(chains) as (keyof ForwardChains)[]).map((name) => {
      const chain = chains[name];
      const state = states.get(chain) ?? parseTable('', chain);
      const fixed = policy === null ? state.fixedRules : fixedRules(name, chain, policy);
      const rules = doors.flatMap((door) => RULES[name](door).map((rule) => complete(rule, door, chain)));
      return changeChain(state, chain, { fixed, doors: [], foreign: rules });
    });
    await restore(parts.join(''));
  }

  function complete([match, verdict]: Rule, door: KnownForward, { chain }: IptablesChain): string {
    const second = Math.round((now() + door.until - uptime()) / 1000);
    const { port, grantId, forward } = door;
    const comment = `_exp_${second}_${grantId ?? ''}_${port.protocol}_${port.port}_${formatForward(forward)}`;
    return `-A ${chain} ${match} ${matchUntil(second)} -m comment --comment ${comment} -j ${verdict}`;
  }

  async function install(policy: GatePolicy, wanted: InstallOptions): Promise<readonly string[]> {
    if (policy.forwards !== true) {
      if (await isThere()) await remove();
      installed = policy;
      known = new Map();
      return [];
    }
    const before = wanted.flush ? new Map<string, KnownForward>() : ((await current()) ?? new Map());
    for (const door of opened(wanted.doors)) {
      const standing = before.get(doorKey(door));
      const isLonger = standing !== undefined && standing.until >= door.until;
      if (!isLonger || !isSameForward(standing.forward, door.forward)) before.set(doorKey(door), door);
    }
    await replace(before, policy);
    installed = policy;
    return tableWarnings(program, (await read([chains.forward])).get(chains.forward), chains.forward);
  }

  async function grant(
    wanted: Grant & { readonly forward: Forward },
  ): Promise<{ readonly expiresAt: number }> {
    const doors = await current();
    if (doors === null) throw new FirewallError(command.join(' '), null, NO_FORWARDS);
    const second = Math.floor(now() / 1000 + wanted.timeoutSeconds);
    const until = uptimeAt(second);
    const { id: grantId, address, forward } = wanted;
    for (const port of wanted.ports) {
      const door = { address, port, until, grantId, forward };
      const standing = doors.get(doorKey(door));
      const isLonger = standing !== undefined && standing.until >= until;
      if (!isLonger || !isSameForward(standing.forward, forward)) doors.set(doorKey(door), door);
    }
    await replace(doors);
    return { expiresAt: second * 1000 };
  }

  async function adjust(changes: readonly DoorChange[]): Promise<void> {
    const doors = changes.length === 0 ? null : await current();
    if (doors === null) return;
    for (const change of changes) doors.delete(doorKey(change));
    for (const door of opened(changes)) doors.set(doorKey(door), door);
    await replace(doors);
  }

  /** Rules know whole seconds of the clock only. */
  function uptimeAt(second: number): number {
    return uptime() + second * 1000 - now();
  }

  /** Changes that open a door. */
  function opened(changes: readonly DoorChange[]): readonly KnownForward[] {
    return changes.flatMap(({ address, port, grantId, forward, timeoutSeconds }) =>
      timeoutSeconds === null || forward === undefined
        ? []
        : [{ address, port, grantId, forward, until: uptimeAt(Math.floor(now() / 1000 + timeoutSeconds)) }],
    );
  }

  async function isIntact(): Promise<boolean> {
    if (installed?.forwards !== true) return installed !== null;
    const [policy, states] = [installed, await read()];
    return (Object.keys(chains) as (keyof ForwardChains)[]).every((name) => {
      const chain = chains[name];
      const state = states.get(chain);
      return state !== undefined && isInPlace(state, chain, fixedRules(name, chain, policy));
    });
  }

  async function list(): Promise<readonly Door[]> {
    const isPossible = installed === null ? await isThere() : installed.forwards === true;
    if (!isPossible) return [];
    const doors = await listed();
    const time = uptime();
    return [...doors.values()].map(({ until, ...door }) => {
      return { ...door, remainingSeconds: Math.floor((until - time) / 1000) };
    });
  }

  async function remove(): Promise<void> {
    const states = await read();
    await restore([...states].map(([chain, state]) => removeChain(state, chain)).join(''));
  }

  async function flush(): Promise<void> {
    if ((await current()) !== null) await replace(new Map());
  }

  async function close(flushing: boolean): Promise<void> {
    if (sweeper !== null) clearTimeout(sweeper);
    if (flushing && (await current()) !== null) await remove();
  }

  function sweepLater(): void {
    if (sweeper !== null) clearTimeout(sweeper);
    if (known.size === 0) return;
    const ends = [...known.values()].map(({ until }) => until - uptime());
    sweeper = setTimeout(
      () => void inTurn(() => replace(known)).catch(() => {}),
      Math.max(sweepAfterMs, Math.min(...ends, MAX_TIMER_MS)),
    ).unref();
  }

  return {
    install: (policy, wanted) => inTurn(() => install(policy, wanted)),
    adjust: (changes) => inTurn(() => adjust(changes)),
    grant: (wanted) => inTurn(() => grant(wanted)),
    isIntact: () => inTurn(isIntact),
    list: () => inTurn(list),
    flush: () => inTurn(flush),
    close: (flushing) => inTurn(() => close(flushing)),
  };

  /** What goes to an SPA port comes here, whatever is forwarded: who has all ports forwarded could knock no more. */
  function fixedRules(
    name: keyof ForwardChains,
    { chain }: IptablesChain,
    { spaPorts }: GatePolicy,
  ): readonly string[] {
    if (name !== 'dnat') return [];
    return spaPorts.map(
      (port) => `-A ${chain} ${toPort(port.protocol, port.port)} -m comment --comment spa_port -j RETURN`,
    );
  }

  /** The record of a forward, in the rule that every forward of its kind has. */
  function parseRecord(rule: string): readonly KnownForward[] {
    const [, text = '', second, grantId = '', protocol, port, leading = ''] = RECORDED.exec(rule) ?? [];
    const [address, forward] = [parseIpAddress(text), parseForward(leading)];
    if (address === null || forward === null || ipFamily(address) !== family) return [];
    return [
      {
        address,
        port: { protocol: protocol === 'udp' ? 'udp' : 'tcp', port: Number(port) },
        ...{ grantId: grantId === '' ? null : grantId, forward, until: uptimeAt(Number(second)) },
      },
    ];
  }
}

const RECORDED =
  /^-A \S+ -s ([\da-f.:]+)\/(?:32|128) .*--comment "?_exp_(\d{1,12})_(\w*?)_(tcp|udp)_(\d{1,5})_([\w,.:=]+)/;

/** The longest time that a timer of Node's can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** What a rule matches, and its verdict. */
type Rule = readonly [match: string, verdict: string];

/** The rules of a forward in each chain, as iptables-save writes them. */
const RULES: Readonly<Record<keyof ForwardChains, (door: KnownForward) => readonly Rule[]>> = {
  local: (door) => (door.forward.kind === 'local' ? [[toTarget(door), 'ACCEPT']] : []),
  forward: (door) => (door.forward.kind === 'nat' ? [[toTarget(door), 'ACCEPT']] : []),
  dnat: ({ address, port, forward: { target, translates, all } }) => {
    if (target === null || !translates) return [];
    // What is sent to another host's address on its way through this one is nobody's door.
    const toUs = `${all ? '' : `${toPort(port.protocol, port.port)} `}-m addrtype --dst-type LOCAL`;
    const host = target.address.includes(':') ? `[${target.address}]` : target.address;
    const to = all ? target.address : `${host}:${target.port}`;
    return [[`-s ${hostOf(address)} ${toUs}`, `DNAT --to-destination ${to}`]];
  },
  snat: (door) => {
    const { kind, sourceAs } = door.forward;
    if (kind !== 'nat' || sourceAs === null || sourceAs === 'masquerade') return [];
    return [[toTarget(door), `SNAT --to-source ${sourceAs}`]];
  },
  masquerade: (door) => {
    const { kind, sourceAs } = door.forward;
    return kind === 'nat' && sourceAs === 'masquerade' ? [[toTarget(door), 'MASQUERADE']] : [];
  },
};

/** The client's packets to where the door leads, once they are translated. */
function toTarget({ address, port, forward }: KnownForward): string {
  const { target, all } = forward;
  const from = `-s ${hostOf(address)}`;
  if (all || target === null) return from;
  return `${from} -d ${hostOf(target.address)} ${toPort(port.protocol, innerPort(port.port, forward))}`;
}

function toPort(protocol: ProtoPort['protocol'], port: number): string {
  return `-p ${protocol} -m ${protocol} --dport ${port}`;
}

function hostOf(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`;
}

/** Things about the host's own rules for what passes through it that the operator should know, one line each. */
function tableWarnings(
  program: string,
  state: TableState | undefined,
  { from }: IptablesChain,
): readonly string[] {
  if (state === undefined) return [];
  const inFrom = state.rules.filter((rule) => rule.startsWith(`-A ${from} `));
  const mayShut =
    state.policies.get(from) === 'DROP' || inFrom.some((rule) => /-j (DROP|REJECT)\b/.test(rule));
  const acceptsEstablished = state.rules.some(
    (rule) => /--(ct)?state \S*ESTABLISHED/.test(rule) && rule.endsWith('-j ACCEPT'),
  );
  if (!mayShut || acceptsEstablished) return [];
  return [
    `${program}: chain ${from} drops the answers of inner hosts; put "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT" into ${from}`,
  ];
}
