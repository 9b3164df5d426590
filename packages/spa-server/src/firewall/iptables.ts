import { ipFamily } from 'spa-core';
import { runCommand, TIME_LIMIT_MS } from './command.ts';
import { checkChanges, checkGrant, doorKey } from './doors.ts';
import {
  type Door,
  type DoorChange,
  type Firewall,
  FirewallError,
  type GatePolicy,
  type Grant,
  type InstallOptions,
} from './firewall.ts';
import { createTurns } from './in-turn.ts';
import {
  changeChain,
  DEFAULT_IPTABLES_CHAIN,
  type DoorRule,
  type IptablesChain,
  isInPlace,
  parseTable,
  removeChain,
  type TableState,
  tableWarnings,
} from './iptables-chain.ts';

/** How to reach iptables, and where our rules go. */
export interface IptablesOptions {
  /** iptables' path, with what has to stand before it. `…-save` and `…-restore` stand beside it. */
  readonly iptables: readonly string[];
  /** The same for ip6tables; null if there is none. */
  readonly ip6tables: readonly string[] | null;
  /** fwknop's `IPT_INPUT_ACCESS`. */
  readonly chain?: IptablesChain;
  /** Milliseconds since epoch, of the same clock as the kernel's. */
  readonly now: () => number;
  /** How long one change may take, waiting for the xtables lock included. */
  readonly timeLimitMs?: number;
  /** Rules that have expired, and do nothing any more, may pile up for so long. */
  readonly sweepAfterMs?: number;
}

/**
 * Doors as iptables rules that the kernel stops matching at a given second (`-m time --datestop`), so that a
 * door closes up to a second early and never late.
 *
 * Every change reads our chain and writes what differs from what should stand there, as one
 * `iptables-restore --noflush`; grants that arrive meanwhile share the next change. So nothing is remembered here that
 * the kernel may know better: after somebody's `iptables -F` the next grant puts chain and jump back.
 */
export function createIptables(options: IptablesOptions): Firewall {
  const { iptables, ip6tables, chain = DEFAULT_IPTABLES_CHAIN } = options;
  const ipv4 = createFamily(iptables, options);
  const ipv6 = ip6tables === null ? null : createFamily(ip6tables, options);
  /** Why IPv6 does not work, or null if it does. */
  let ipv6Problem: string | null = ip6tables === null ? 'ip6tables is not installed' : null;

  const families = (): readonly Family[] => (ipv6 === null || ipv6Problem !== null ? [ipv4] : [ipv4, ipv6]);

  async function install(
    policy: GatePolicy,
    { flush, doors: wanted }: InstallOptions,
  ): Promise<readonly string[]> {
    const doors = checkChanges(wanted);
    const warnings = [...(await ipv4.install(policy, { flush, doors: doors.filter(isOf(4)) }))];
    if (ipv6 === null) return [...warnings, noIpv6(ipv6Problem)];
    try {
      warnings.push(...(await ipv6.install(policy, { flush, doors: doors.filter(isOf(6)) })));
      ipv6Problem = null;
    } catch (error) {
      if (!(error instanceof FirewallError)) throw error;
      ipv6Problem = error.message;
      warnings.push(noIpv6(ipv6Problem));
    }
    return warnings;
  }

  async function grant(wanted: Grant): Promise<{ readonly expiresAt: number }> {
    const checked = checkGrant(wanted);
    if (ipFamily(checked.address) === 4) return ipv4.grant(checked);
    if (ipv6 === null || ipv6Problem !== null)
      throw new FirewallError('ip6tables', null, noIpv6(ipv6Problem));
    return ipv6.grant(checked);
  }

  return {
    name: `iptables, chain ${chain.table} ${chain.chain}`,
    install,
    grant,
    adjust: async (changes) => {
      const checked = checkChanges(changes);
      await ipv4.adjust(checked.filter(isOf(4)));
      await ipv6?.adjust(checked.filter(isOf(6)));
    },
    isIntact: async () => {
      for (const family of families()) if (!(await family.isIntact())) return false;
      return true;
    },
    counters: async () => [],
    list: async () => (await Promise.all(families().map((family) => family.list()))).flat(),
    flush: async () => {
      await Promise.all(families().map((family) => family.flush()));
    },
    close: async ({ flush }) => {
      await Promise.all(families().map((family) => family.close(flush)));
    },
  };
}

function isOf(family: 4 | 6): (change: DoorChange) => boolean {
  return ({ address }) => ipFamily(address) === family;
}

function noIpv6(problem: string | null): string {
  return `no doors for IPv6: ${problem}`;
}

interface Family {
  install(policy: GatePolicy, options: InstallOptions): Promise<readonly string[]>;
  adjust(changes: readonly DoorChange[]): Promise<void>;
  isIntact(): Promise<boolean>;
  grant(grant: Grant): Promise<{ readonly expiresAt: number }>;
  list(): Promise<readonly Door[]>;
  flush(): Promise<void>;
  close(flush: boolean): Promise<void>;
}

/** iptables or ip6tables. */
function createFamily(command: readonly string[], options: IptablesOptions): Family {
  const { chain = DEFAULT_IPTABLES_CHAIN, now, timeLimitMs = TIME_LIMIT_MS, sweepAfterMs = 10_000 } = options;
  const inTurn = createTurns();
  let spaPort: number | null = null;
  let waiting: readonly WaitingGrant[] = [];
  let sweeper: NodeJS.Timeout | null = null;

  const currentSecond = (): number => Math.floor(now() / 1000);

  async function read(): Promise<TableState> {
    return parseTable(
      await runCommand([...beside(command, 'save'), '-t', chain.table], { timeLimitMs }),
      chain,
    );
  }

  async function restore(input: string): Promise<void> {
    const wait = Math.max(1, Math.floor(timeLimitMs / 1000) - 1);
    await runCommand([...beside(command, 'restore'), '--noflush', '-w', String(wait)], {
      input,
      timeLimitMs,
    });
  }

  /**
   * Brings our chain to what should stand there: `prepare`'s view of what does, without what has expired, and with
   * `added`, of which no door shortens one that is open. Resolves to what stood there. Tried twice, because
   * somebody may change the table between our reading and writing.
   */
  async function change(
    added: readonly DoorRule[],
    prepare: (state: TableState) => TableState = (state) => state,
  ): Promise<TableState> {
    try {
      return await changeOnce(added, prepare);
    } catch (error) {
      if (!(error instanceof FirewallError) || error.notPermitted || error.status === null) throw error;
      return await changeOnce(added, prepare);
    }
  }

  async function changeOnce(
    added: readonly DoorRule[],
    prepare: (state: TableState) => TableState,
  ): Promise<TableState> {
    const state = await read();
    const kept = prepare(state);
    const second = currentSecond();
    const doors = new Map<string, DoorRule>();
    for (const door of [...kept.doors.values(), ...added]) {
      const key = doorKey(door.address, door.port);
      const isOpen = door.expiresAtSecond > second;
      if (isOpen && (doors.get(key)?.expiresAtSecond ?? 0) < door.expiresAtSecond) doors.set(key, door);
    }
    const foreign = kept.foreign
      .filter(({ expiresAtSecond }) => expiresAtSecond === null || expiresAtSecond > second)
      .map(({ rule }) => rule);
    await restore(changeChain(state, chain, { spaPort, doors: doors.values(), foreign }));
    sweepLater(doors.values());
    return state;
  }

  /** Grants that come while a change is under way join one and the same next change. */
  function open(doors: readonly DoorRule[]): Promise<void> {
    return new Promise((resolve, reject) => {
      waiting = [...waiting, { doors, resolve, reject }];
      if (waiting.length === 1) void inTurn(openWaiting);
    });
  }

  async function openWaiting(): Promise<void> {
    const burst = waiting.slice(0, GRANTS_PER_CHANGE);
    waiting = waiting.slice(GRANTS_PER_CHANGE);
    if (waiting.length > 0) void inTurn(openWaiting);
    try {
      await change(burst.flatMap(({ doors }) => doors));
      for (const { resolve } of burst) resolve();
    } catch (error) {
      for (const { reject } of burst) reject(error);
    }
  }

  function ruleOf({ address, port, timeoutSeconds, grantId }: DoorChange): readonly DoorRule[] {
    if (timeoutSeconds === null) return [];
    return [{ address, port, grantId, expiresAtSecond: Math.floor(now() / 1000 + timeoutSeconds) }];
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
    await open([]).catch(() => {});
  }

  return {
    install: (policy, { flush, doors }) =>
      inTurn(async () => {
        spaPort = policy.spaPort;
        const state = await change(doors.flatMap(ruleOf), flush ? withoutDoors : undefined);
        return tableWarnings(command.at(-1) ?? '', state, chain);
      }),
    adjust: (changes) =>
      inTurn(async () => {
        if (changes.length === 0) return;
        const keys = new Set(changes.map(({ address, port }) => doorKey(address, port)));
        await change(changes.flatMap(ruleOf), (state) => ({
          ...state,
          doors: new Map([...state.doors].filter(([key]) => !keys.has(key))),
        }));
      }),
    isIntact: () => inTurn(async () => spaPort !== null && isInPlace(await read(), chain, spaPort)),
    grant: async (grant) => {
      const expiresAtSecond = Math.floor(now() / 1000 + grant.timeoutSeconds);
      const { address, id } = grant;
      await open(grant.ports.map((port) => ({ address, port, expiresAtSecond, grantId: id })));
      return { expiresAt: expiresAtSecond * 1000 };
    },
    list: async () =>
      [...(await read()).doors.values()]
        .filter((door) => door.expiresAtSecond > currentSecond())
        .map(({ address, port, expiresAtSecond, grantId }) => {
          return { address, port, remainingSeconds: expiresAtSecond - currentSecond(), grantId };
        }),
    flush: () =>
      inTurn(async () => {
        if ((await read()).hasChain) await change([], withoutDoors);
      }),
    close: (flush) =>
      inTurn(async () => {
        if (sweeper !== null) clearTimeout(sweeper);
        if (flush) await restore(removeChain(await read(), chain));
      }),
  };
}

interface WaitingGrant {
  readonly doors: readonly DoorRule[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A change goes to the kernel as one message, for which an unprivileged user's namespace has little room. */
const GRANTS_PER_CHANGE = 64;

/** The longest time that a timer of Node's can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** `state` as it is when everything with an end has ended. */
function withoutDoors(state: TableState): TableState {
  const lasting = state.foreign.filter(({ expiresAtSecond }) => expiresAtSecond === null);
  return { ...state, doors: new Map(), foreign: lasting };
}

/** `iptables-save` for `iptables`, whatever stands before it. */
function beside(command: readonly string[], tool: 'save' | 'restore'): readonly string[] {
  return [...command.slice(0, -1), `${command.at(-1)}-${tool}`];
}
