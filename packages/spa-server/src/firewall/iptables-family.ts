import { createBursts } from './bursts.ts';
import { runCommand, TIME_LIMIT_MS } from './command.ts';
import { createDoorSet, type DoorSet } from './door-set.ts';
import { doorKey } from './doors.ts';
import {
  type Door,
  type DoorChange,
  type FirewallCounter,
  FirewallError,
  type GatePolicy,
  type Grant,
  type InstallOptions,
} from './firewall.ts';
import { createTurns } from './in-turn.ts';
import {
  changeChain,
  type DoorRule,
  fixedRules,
  type IptablesChain,
  isInPlace,
  parseCounters,
  parseTable,
  removeChain,
  type TableState,
  tableWarnings,
} from './iptables-chain.ts';
import { createKnownDoors, type KnownDoor } from './known-doors.ts';

/** {@link Firewall} for one family of addresses; changes are checked already. */
export interface IptablesFamily {
  install(policy: GatePolicy, options: InstallOptions): Promise<readonly string[]>;
  adjust(changes: readonly DoorChange[]): Promise<void>;
  isIntact(): Promise<boolean>;
  counters(): Promise<readonly FirewallCounter[]>;
  grant(grant: Grant): Promise<Granted>;
  list(): Promise<readonly Door[]>;
  flush(): Promise<void>;
  close(flush: boolean): Promise<void>;
}

/** What {@link createIptablesFamily} goes by; the rest as in `IptablesOptions`. */
export interface IptablesFamilyOptions {
  /** iptables or ip6tables, with what has to stand before it. */
  readonly command: readonly string[];
  readonly family: 4 | 6;
  readonly ipset?: readonly string[] | null;
  readonly chain: IptablesChain;
  readonly now: () => number;
  readonly uptime?: () => number;
  readonly timeLimitMs?: number;
  readonly sweepAfterMs?: number;
}

interface Granted {
  readonly expiresAt: number;
}

/**
 * Our chain in one table of iptables. With ipset one rule of it lets through whoever is in a set, whose members have
 * timeouts; without, each door is a rule that the kernel stops matching at a given second (`-m time --datestop`), so that
 * a door closes up to a second early and never late.
 *
 * A change of the chain reads it and writes what differs from what should stand there, as one `iptables-restore
 * --noflush`. So nothing is remembered here that the kernel may know better: after somebody's `iptables -F` the next
 * grant puts chain and jump back.
 */
export function createIptablesFamily(options: IptablesFamilyOptions): IptablesFamily {
  const { command, family, chain, now, timeLimitMs = TIME_LIMIT_MS, sweepAfterMs = 10_000 } = options;
  const { ipset = null, uptime = () => performance.now() } = options;
  const inTurn = createTurns();
  const possibleSet =
    ipset === null
      ? null
      : createDoorSet({ command: ipset, name: `spa_doors${family}`, family, timeLimitMs, uptime });
  /** What is in use: null is none, undefined not known yet. */
  let set: DoorSet | null | undefined = possibleSet === null ? null : undefined;
  /** The doors in the set. */
  const known = createKnownDoors(uptime);
  /** The fixed rules that were put in place, and how the kernel shows them. */
  let installed: { readonly wanted: readonly string[]; readonly shown: readonly string[] } | null = null;
  let sweeper: NodeJS.Timeout | null = null;

  const currentSecond = (): number => Math.floor(now() / 1000);

  async function save(...args: readonly string[]): Promise<string> {
    return runCommand([...beside(command, 'save'), ...args, '-t', chain.table], { timeLimitMs });
  }

  async function read(): Promise<TableState> {
    return parseTable(await save(), chain);
  }

  async function restore(input: string): Promise<void> {
    const wait = Math.max(1, Math.floor(timeLimitMs / 1000) - 1);
    await runCommand([...beside(command, 'restore'), '--noflush', '-w', String(wait)], {
      input,
      timeLimitMs,
    });
  }

  /** The set that holds the doors, also if another process has put it in place; null if rules do. */
  async function currentSet(): Promise<DoorSet | null> {
    if (set !== undefined) return set;
    const { fixedRules } = await read();
    const isUsed = fixedRules.some((rule) => rule.includes(`--match-set ${possibleSet?.name} `));
    set = isUsed ? possibleSet : null;
    return set;
  }

  /**
   * Brings our chain to what should stand there: `prepare`'s view of what does, without what has expired, and with
   * `added`, of which no door shortens one that is open. Resolves to what stood there. Tried twice, because
   * somebody may change the table between our reading and writing.
   */
  async function change(
    added: readonly DoorRule[],
    prepare: (state: TableState) => TableState = (state) => state,
    fixed: readonly string[] | null = null,
  ): Promise<TableState> {
    try {
      return await changeOnce(added, prepare, fixed);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return await changeOnce(added, prepare, fixed);
    }
  }

  async function changeOnce(
    added: readonly DoorRule[],
    prepare: (state: TableState) => TableState,
    wanted: readonly string[] | null,
  ): Promise<TableState> {
    const state = await read();
    const kept = prepare(state);
    const second = currentSecond();
    const doors = new Map<string, DoorRule>();
    for (const door of [...kept.doors.values(), ...added]) {
      const key = doorKey(door);
      const isOpen = door.expiresAtSecond > second;
      if (isOpen && (doors.get(key)?.expiresAtSecond ?? 0) < door.expiresAtSecond) doors.set(key, door);
    }
    const foreign = kept.foreign
      .filter(({ expiresAtSecond }) => expiresAtSecond === null || expiresAtSecond > second)
      .map(({ rule }) => rule);
    const stands = installed === null || isInPlace(state, chain, installed.shown);
    const fixed = wanted ?? (stands ? state.fixedRules : installed?.wanted) ?? [];
    await restore(changeChain(state, chain, { fixed, doors: doors.values(), foreign }));
    sweepLater(doors.values());
    return state;
  }

  async function install(policy: GatePolicy, { flush, doors }: InstallOptions): Promise<readonly string[]> {
    const before = await read();
    const open = await openDoors(before, flush, doors);
    const problems: string[] = [];
    for (const [preFilter, doorSet] of await waysToInstall(policy, open)) {
      const fixed = fixedRules(chain, {
        family,
        spaPorts: policy.spaPorts,
        preFilter,
        doorSet: doorSet?.name ?? null,
      });
      try {
        const rules = doorSet === null ? open.flatMap(ruleOf) : [];
        const without = doorSet === null ? (state: TableState) => state : withoutDoorRules;
        await change(rules, flush ? withoutDoors : without, fixed);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        problems.push(error.message);
        continue;
      }
      set = doorSet;
      known.clear();
      for (const door of doorSet === null ? [] : open) known.set(door);
      installed = { wanted: fixed, shown: (await read()).fixedRules };
      const isUnfiltered = policy.preFilter !== null && preFilter === null;
      return [
        ...tableWarnings(command.at(-1) ?? '', before, chain),
        ...(isUnfiltered
          ? [`the kernel does not filter packets before we see them: ${problems.at(-1)}`]
          : []),
      ];
    }
    throw new FirewallError(command.join(' '), 1, problems[0] ?? '');
  }

  /** What is to be open after an install: what is, unless it is flushed, and `added`, of which no door shortens another. */
  async function openDoors(
    state: TableState,
    flush: boolean,
    added: readonly DoorChange[],
  ): Promise<readonly KnownDoor[]> {
    const time = uptime();
    const inRules = [...state.doors.values()].map((door) => ({
      ...door,
      until: time + door.expiresAtSecond * 1000 - now(),
    }));
    const inSet = await (possibleSet?.list() ?? Promise.resolve([])).catch(ignoreRefusal);
    const open = new Map<string, KnownDoor>();
    for (const door of [...(flush ? [] : [...inSet, ...inRules]), ...asKnown(added, time)]) {
      const key = doorKey(door);
      if (door.until > time && (open.get(key)?.until ?? 0) < door.until) open.set(key, door);
    }
    return [...open.values()];
  }

  /** What may be tried, the best first: older kernels lack parts. */
  async function waysToInstall(
    { preFilter }: GatePolicy,
    open: readonly KnownDoor[],
  ): Promise<readonly (readonly [GatePolicy['preFilter'], DoorSet | null])[]> {
    const filters = preFilter === null ? [null] : [preFilter, null];
    const sets = possibleSet !== null && (await fillSet(possibleSet, open)) ? [possibleSet, null] : [null];
    return sets.flatMap((doorSet) => filters.map((filter) => [filter, doorSet] as const));
  }

  async function fillSet(doorSet: DoorSet, open: readonly KnownDoor[]): Promise<boolean> {
    try {
      await doorSet.ensure();
      await doorSet.replace(open.map(asChange));
      return true;
    } catch (error) {
      if (!(error instanceof FirewallError)) throw error;
      return false;
    }
  }

  /** Brings doors in the set to what is said, all of them or, if it throws, none. */
  async function put(doorSet: DoorSet, changes: readonly DoorChange[]): Promise<void> {
    try {
      // The set says nothing of the chain that asks it.
      const [, state] = await Promise.all([doorSet.put(changes), installed === null ? null : read()]);
      if (state !== null && installed !== null && !isInPlace(state, chain, installed.shown)) await change([]);
    } catch (error) {
      const before = changes.map((one) => {
        const door = known.get(doorKey(one));
        return door === undefined ? { ...one, timeoutSeconds: null } : asChange(door);
      });
      await doorSet.put(before).catch(() => {});
      throw error;
    }
    const time = uptime();
    for (const one of changes) known.delete(doorKey(one));
    for (const door of asKnown(changes, time)) known.set(door);
  }

  async function open(grants: readonly Grant[]): Promise<readonly Granted[]> {
    const doorSet = await currentSet();
    return doorSet === null ? openRules(grants) : openInSet(doorSet, grants);
  }

  async function openInSet(doorSet: DoorSet, grants: readonly Grant[]): Promise<readonly Granted[]> {
    const [startedAt, start] = [now(), uptime()];
    const wanted = new Map<string, DoorChange>();
    for (const { id, address, ports, timeoutSeconds } of grants) {
      for (const port of ports) {
        const key = doorKey({ address, port });
        const isLonger = (known.get(key)?.until ?? 0) > start + timeoutSeconds * 1000;
        if (isLonger || (wanted.get(key)?.timeoutSeconds ?? 0) > timeoutSeconds) continue;
        wanted.set(key, { address, port, timeoutSeconds, grantId: id });
      }
    }
    await put(doorSet, [...wanted.values()]);
    return grants.map(({ timeoutSeconds }) => ({ expiresAt: startedAt + timeoutSeconds * 1000 }));
  }

  async function openRules(grants: readonly Grant[]): Promise<readonly Granted[]> {
    const seconds = grants.map(({ timeoutSeconds }) => Math.floor(now() / 1000 + timeoutSeconds));
    await change(
      grants.flatMap(({ id, address, ports }, index) =>
        ports.map((port) => ({ address, port, expiresAtSecond: seconds[index] ?? 0, grantId: id })),
      ),
    );
    return seconds.map((second) => ({ expiresAt: second * 1000 }));
  }

  const grantInBurst = createBursts<Grant, Granted>({
    inTurn,
    weight: ({ ports }) => ports.length,
    limit: () => (set === null ? RULES_PER_CHANGE : DOORS_PER_CHANGE),
    change: open,
    changeAlone: async (grant) => (await open([grant]))[0] ?? { expiresAt: 0 },
  });

  async function adjust(changes: readonly DoorChange[]): Promise<void> {
    if (changes.length === 0) return;
    const doorSet = await currentSet();
    if (doorSet !== null) return put(doorSet, changes);
    const keys = new Set(changes.map(doorKey));
    await change(asKnown(changes, uptime()).flatMap(ruleOf), (state) => ({
      ...state,
      doors: new Map([...state.doors].filter(([key]) => !keys.has(key))),
    }));
  }

  async function list(): Promise<readonly Door[]> {
    const doorSet = await currentSet();
    if (doorSet === null) {
      return [...(await read()).doors.values()]
        .filter((door) => door.expiresAtSecond > currentSecond())
        .map(({ address, port, expiresAtSecond, grantId }) => {
          return { address, port, remainingSeconds: expiresAtSecond - currentSecond(), grantId };
        });
    }
    const doors = await doorSet.list();
    const time = uptime();
    return doors.map(({ address, port, until, grantId }) => {
      return { address, port, remainingSeconds: Math.max(0, Math.floor((until - time) / 1000)), grantId };
    });
  }

  async function flush(): Promise<void> {
    const doorSet = await currentSet();
    await doorSet?.replace([]);
    known.clear();
    if ((await read()).hasChain) await change([], withoutDoors);
  }

  async function close(flush: boolean): Promise<void> {
    if (sweeper !== null) clearTimeout(sweeper);
    if (!flush) return;
    const doorSet = await currentSet();
    await restore(removeChain(await read(), chain));
    await doorSet?.destroy();
  }

  function ruleOf({ address, port, until, grantId }: KnownDoor): DoorRule {
    return { address, port, grantId, expiresAtSecond: Math.floor((now() + until - uptime()) / 1000) };
  }

  function asChange({ until, ...door }: KnownDoor): DoorChange {
    return { ...door, timeoutSeconds: (until - uptime()) / 1000 };
  }

  function sweepLater(doors: Iterable<DoorRule>): void {
    if (sweeper !== null) clearTimeout(sweeper);
    const ends = [...doors].map((door) => door.expiresAtSecond * 1000 - now());
    if (ends.length === 0) return;
    // A few expired rules cost the kernel nothing; a process for each of them would cost more.
    sweeper = setTimeout(sweep, Math.max(sweepAfterMs, Math.min(...ends, MAX_TIMER_MS))).unref();
  }

  async function sweep(): Promise<void> {
    // Nobody waits for it: if it fails, the rules are inert all the same, and the next change tries again.
    await inTurn(() => change([])).catch(() => {});
  }

  return {
    install: (policy, wanted) => inTurn(() => install(policy, wanted)),
    adjust: (changes) => inTurn(() => adjust(changes)),
    isIntact: () => inTurn(async () => installed !== null && isInPlace(await read(), chain, installed.shown)),
    counters: async () => parseCounters(await save('-c'), chain),
    grant: grantInBurst,
    list,
    flush: () => inTurn(flush),
    close: (flushing) => inTurn(() => close(flushing)),
  };
}

/** A change goes to the kernel as one message, for which an unprivileged user's namespace has little room. */
const RULES_PER_CHANGE = 64;

/** ipset sends one message after the other. */
const DOORS_PER_CHANGE = 1_000;

/** The longest time that a timer of Node's can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;

function isRefusal(error: unknown): error is FirewallError {
  return error instanceof FirewallError && !error.notPermitted && error.status !== null;
}

/** There is no such set yet, or no ipset. */
function ignoreRefusal(error: unknown): readonly KnownDoor[] {
  if (error instanceof FirewallError) return [];
  throw error;
}

/** Changes that open a door, counted from the time `now` (ms, monotonic). */
function asKnown(changes: readonly DoorChange[], now: number): readonly KnownDoor[] {
  return changes.flatMap(({ address, port, timeoutSeconds, grantId }) =>
    timeoutSeconds === null ? [] : [{ address, port, grantId, until: now + timeoutSeconds * 1000 }],
  );
}

/** `state` as it is when everything with an end has ended. */
function withoutDoors(state: TableState): TableState {
  const lasting = state.foreign.filter(({ expiresAtSecond }) => expiresAtSecond === null);
  return { ...state, doors: new Map(), foreign: lasting };
}

/** `state` as it is when its doors are in a set. */
function withoutDoorRules(state: TableState): TableState {
  return { ...state, doors: new Map() };
}

/** `iptables-save` for `iptables`, whatever stands before it. */
function beside(command: readonly string[], tool: 'save' | 'restore'): readonly string[] {
  return [...command.slice(0, -1), `${command.at(-1)}-${tool}`];
}
