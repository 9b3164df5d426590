import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ipFamily } from 'spa-core';
import { createBursts } from './bursts.ts';
import { type CommandOptions, runCommand, runVerboseCommand, TIME_LIMIT_MS } from './command.ts';
import { checkChanges, checkGrant, doorKey } from './doors.ts';
import {
  type Door,
  type DoorChange,
  type Firewall,
  FirewallError,
  type GatePolicy,
  type Grant,
  type InstallOptions,
  NO_FORWARDS,
} from './firewall.ts';
import { forwardOf, isSameForward } from './forward.ts';
import { createTurns } from './in-turn.ts';
import { createKnownDoors, type KnownDoor } from './known-doors.ts';
import { type DoorPlace, openDoors, parseDoors, shutDoors } from './nft-doors.ts';
import { fillForwards, forwardRecords, isForward, parseForwards } from './nft-forwards.ts';
import { countersIn, doorsMark, ourPart } from './nft-listing.ts';
import {
  claimGuard,
  detachStatements,
  doorSets,
  flushDoors,
  type Guard,
  guardNamed,
  guardPrefix,
  guardRules,
  guardSets,
  installStatements,
  type Jump,
  type NftPlace,
  type NftPlacement,
  nftPlace,
} from './nft-place.ts';
import { readRuleset } from './nft-read.ts';
import { jumpTarget, type Ruleset, rulesOf, shutsByDefault } from './nft-ruleset.ts';
import { NftSession, type Send } from './nft-session.ts';
import { missingChain, rulesetWarnings } from './nft-warnings.ts';

/** How to reach nftables, and where our rules go. */
export interface NftablesOptions {
  /** nft's path, with what has to stand before it: `['/usr/sbin/nft']`. */
  readonly command: readonly string[];
  readonly placement: NftPlacement;
  /** Milliseconds since epoch. */
  readonly now: () => number;
  /** Milliseconds of a clock that nobody sets. */
  readonly uptime?: () => number;
  /** How long one change may take. */
  readonly timeLimitMs?: number;
  /** After so many changes another session takes over. */
  readonly linesPerSession?: number;
  /** Takes what the operator should know, a line each, when nobody has asked: that the session died. */
  readonly warn?: (line: string) => void;
}

/**
 * Doors as elements of nftables sets, each with a timeout of its own: the kernel closes them.
 *
 * Nothing happens before the first call. All changes go through one long-lived session; grants that arrive while one is
 * under way share the next. In mode own there is a second table, the {@link Guard}, with the same doors: it belongs to
 * the session, so that others' flushes spare it, and the ports are shut while our own table is gone.
 */
export function createNftables(options: NftablesOptions): Firewall {
  const { command, placement, now, timeLimitMs = TIME_LIMIT_MS } = options;
  const { uptime = () => performance.now(), warn = () => {} } = options;
  const place = nftPlace(placement);
  const inTurn = createTurns();
  const doors = createKnownDoors(uptime);
  /** Doors of changes whose outcome is unknown: the next change brings them to what is known. */
  const doubtful = new Map<string, DoorPlace>();
  /** The doors that lead elsewhere. */
  const forwards = createKnownDoors(uptime);
  /** There are sets for them, and what is in them is known; null: the kernel was not asked yet. */
  let canForward: boolean | null = null;
  let areForwardsDoubtful = false;
  let installed: { readonly policy: GatePolicy; readonly part: string | null } | null = null;
  let mark: string | null = null;
  let guard: Guard | null = null;
  /** Doors that the guard is to have before it shuts anything; null: it has them all, and its rules. */
  let unguarded: Map<string, KnownDoor> | null = null;
  /** Who only adjusts what another process has installed needs no guard. */
  let isInstalling = false;
  /** Why there is no guard, or null if there may be one. */
  let noGuard: string | null = placement.mode === 'own' ? null : 'mode attach';
  let isClosed = false;
  const session = new NftSession(command, {
    timeLimitMs,
    ...(options.linesPerSession === undefined ? {} : { linesPerChild: options.linesPerSession }),
    onStart: makeGuard,
    onLoss: (reason, again) => {
      warn(
        `the session with ${command.join(' ')} has ended (${reason})${again ? '; another takes over' : ''}`,
      );
      // Whoever comes next would start one too, but the guard is not to wait for him.
      if (again) inTurn(async () => isClosed || session.run(() => [])).catch(() => {});
    },
  });

  const nft = (args: readonly string[], more: CommandOptions = {}): Promise<string> =>
    runCommand([...command, ...args], { timeLimitMs, ...more });
  const listRuleset = (): Promise<Ruleset> => readRuleset(command, { timeLimitMs });
  const listOurs = async (): Promise<string> =>
    (await session.ask(`list ruleset ${place.family}`)) ?? (await listOursAnew());
  const listOursAnew = (): Promise<string> => nft(['-t', '-a', 'list', 'ruleset', place.family]);
  /** Where each door stands. The guard changes with the session. */
  const tables = (): readonly (NftPlace | Guard)[] => (guard === null ? [place] : [place, guard]);

  /** The doors that the kernel keeps open. */
  async function listDoors(): Promise<{ readonly doors: readonly KnownDoor[]; readonly at: number }> {
    const listings = await listSets(doorSets(place));
    const at = uptime();
    return { doors: listings.flatMap((listing) => parseDoors(listing, at)), at };
  }

  /** The forwards that the kernel keeps open; there must be sets for them. */
  async function listForwards(): Promise<readonly KnownDoor[]> {
    const listings = await listSets(forwardRecords(place.forwards));
    const at = uptime();
    return listings.flatMap((listing) => parseForwards(listing, at));
  }

  function listSets(names: readonly string[]): Promise<readonly string[]> {
    return Promise.all(
      names.map((set) =>
        runVerboseCommand([...command, 'list', 'set', place.family, place.table, set], {
          timeLimitMs: LIST_TIME_FACTOR * timeLimitMs,
        }),
      ),
    );
  }

  /** True if there are sets for forwards. Who has not put them in place himself asks the kernel what is in them. */
  async function knowForwards(): Promise<boolean> {
    if (canForward !== null) return canForward;
    const isThere = hasForwards(await listRuleset(), place);
    forwards.replace(keyed(isThere ? await listForwards() : []));
    canForward = isThere;
    return isThere;
  }

  /** Each session has a guard of its own, and makes it before the session before ends. */
  async function makeGuard(send: Send): Promise<void> {
    guard = null;
    if (!isInstalling || noGuard !== null || placement.mode !== 'own') return;
    const made = guardNamed(`${guardPrefix(placement.table)}${randomBytes(4).toString('hex')}`);
    try {
      await send([claimGuard(made)]);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      noGuard = error.message;
      return;
    }
    if (installed !== null) {
      const open = doors.open(uptime());
      await send(guardSets(made, installed.policy));
      // In parts: nft keeps the memory that a long transaction took.
      for (let at = 0; at < open.length; at += DOORS_PER_PART) {
        await send(openIn(made, open.slice(at, at + DOORS_PER_PART), true));
      }
      if (canForward === true) await send(fillForwards(made.forwards, forwards.open(uptime()), uptime()));
      await send(guardRules(made, installed.policy));
      unguarded = null;
    }
    guard = made;
  }

  /** The statements that bring doors in `table` to their ends; `fresh` as in {@link openDoors}. */
  function openIn(table: NftPlace | Guard, some: readonly KnownDoor[], fresh: boolean): readonly string[] {
    return openDoors(table, some, { now: uptime(), fresh, comments: table === place });
  }

  /**
   * One transaction, tried twice: the session may have died, and the guard with it; and before Linux 6.8 a door
   * whose time ends within the transaction fails it. `build` is called for each try.
   */
  async function run(build: (isFirst: boolean) => readonly string[]): Promise<void> {
    try {
      await session.run(() => build(true));
    } catch (error) {
      if (!(error instanceof FirewallError) || error.notPermitted || error.timedOut) throw error;
      await session.renew();
      await session.run(() => build(false));
    }
  }

  /** Brings doubtful doors to what is known of them. */
  function correction(): readonly string[] {
    const known = [...doubtful.keys()].flatMap((key) => doors.get(key) ?? []);
    return tables().flatMap((table) => [
      ...shutDoors(table, [...doubtful.values()]),
      ...openIn(table, known, false),
    ]);
  }

  /** Brings doors to exactly what `change` says, by `attempt`: all of them or, if it throws, none. */
  async function apply(
    change: DoorsChange,
    attempt: (build: (isFirst: boolean) => readonly string[]) => Promise<void>,
  ): Promise<void> {
    const ownOpen = change.open.filter((door) => !isForward(door));
    const ownShut = change.shut.filter(({ forward }) => forward === undefined);
    const leading = await forwardsAfter(change);
    const [fresh, others] = partition(ownOpen, (door) => isFresh(door));
    for (const door of [...ownOpen, ...ownShut]) unguarded?.delete(doorKey(door));
    try {
      await attempt((isFirst) => {
        const statements = tables().flatMap((table) => [
          ...shutDoors(table, ownShut),
          ...openIn(table, fresh, isFirst),
          ...openIn(table, others, false),
          ...(leading === null ? [] : fillForwards(table.forwards, [...leading.values()], uptime())),
        ]);
        return [...correction(), ...statements];
      });
    } catch (error) {
      for (const door of [...ownOpen, ...ownShut]) doubtful.set(doorKey(door), door);
      if (leading !== null) areForwardsDoubtful = true;
      throw error;
    }
    doubtful.clear();
    for (const door of ownOpen) doors.set(door);
    for (const door of ownShut) doors.delete(doorKey(door));
    if (leading === null) return;
    forwards.replace(leading);
    areForwardsDoubtful = false;
  }

  /** All forwards after a change; null if it leaves them as they are. */
  async function forwardsAfter({ open, shut }: DoorsChange): Promise<Map<string, KnownDoor> | null> {
    const opening = open.filter(isForward);
    const shutting = shut.filter(({ forward }) => forward !== undefined);
    const isConcerned = areForwardsDoubtful || opening.length > 0 || shutting.length > 0;
    if (!isConcerned || !(await knowForwards())) return null;
    const after = keyed(forwards.open(uptime()));
    for (const door of shutting) after.delete(doorKey(door));
    for (const door of opening) after.set(doorKey(door), door);
    return after;
  }

  /** True if the kernel is not known to have that door, nor to have had it just now. */
  function isFresh(door: KnownDoor): boolean {
    if (installed === null) return false;
    const known = doors.get(doorKey(door));
    return known === undefined || known.until < uptime() - 1_000;
  }

  async function install(policy: GatePolicy, options: InstallOptions): Promise<readonly string[]> {
    isInstalling = true;
    const [ruleset, ourGuard] = [await listRuleset(), guard];
    const problem = missingChain(ruleset, place);
    if (problem !== null) throw new FirewallError(command.join(' '), null, problem);
    // The first grant is not to wait for a process to start, and the guard has to have a name.
    const isGuarded = guard !== null && (installed === null || hasDoorSets(ruleset, guard));
    await (isGuarded || noGuard !== null ? session.run(() => []) : session.renew());
    const before = await standing(ruleset, options);
    const open = keyed(before.doors);
    for (const key of doubtful.keys()) open.delete(key);
    const added = keyed(
      asKnownDoors(options.doors, uptime()).filter((door) => !outlasts(open.get(doorKey(door)), door)),
    );
    for (const [key, door] of added) open.set(key, door);
    const leading = takeForwards(open);
    takeForwards(added);
    const isAnew = installed === null || options.flush || unguarded !== null;
    unguarded = before.isTakenOver && guard !== null ? open : null;
    const doorsIn = (table: NftPlace | Guard, anew: boolean): readonly string[] =>
      anew
        ? [...flushDoors(table), ...openIn(table, [...open.values()], true)]
        : [...shutDoors(table, [...doubtful.values()]), ...openIn(table, [...added.values()], false)];
    const statements = (some: GatePolicy): readonly string[] => [
      ...installStatements(place, some, {
        jumps: jumps(ruleset, place),
        untracked: place.from === null && !isShutByOthers(ruleset, place),
        hasForwards: hasForwards(ruleset, place),
      }),
      ...doorsIn(place, before.isSuspect),
      ...(guard === null ? [] : guardSets(guard, some)),
      ...(some.forwards === true
        ? tables().flatMap((table) => fillForwards(table.forwards, [...leading.values()], uptime()))
        : []),
      ...(guard === null || unguarded !== null
        ? []
        : [...doorsIn(guard, isAnew), ...guardRules(guard, some)]),
    ];
    const unfiltered = await runWithFilterIfPossible(policy, statements);
    doors.replace(open);
    doubtful.clear();
    canForward = policy.forwards === true;
    forwards.replace(canForward ? leading : new Map());
    areForwardsDoubtful = false;
    installed = { policy, part: null };
    await noteWhatStands(policy);
    if (unguarded !== null) void fillGuard();
    return [
      ...rulesetWarnings(ruleset, place, policy),
      ...(placement.mode === 'own' ? strangers(ruleset, placement.table, ourGuard) : []),
      ...(unfiltered === null
        ? []
        : [`the kernel does not filter packets before we see them: ${unfiltered}`]),
      ...(placement.mode === 'own' && noGuard !== null ? [`${NO_GUARD}: ${noGuard}`] : []),
    ];
  }

  async function noteWhatStands(policy: GatePolicy): Promise<void> {
    const listing = await listOurs();
    installed = { policy, part: ourPart(listing, place, guard) };
    mark = doorsMark(listing, place);
  }

  /** Grants go on meanwhile. If it comes to nothing, our rules do not stand, which is for whoever looks after them. */
  async function fillGuard(): Promise<void> {
    try {
      // What else there is to do at a start comes first.
      await sleep(GUARD_AFTER_MS, undefined, { ref: false });
      while (unguarded !== null) await inTurn(fillSome);
    } catch (error) {
      if (!(error instanceof FirewallError)) throw error;
      if (installed !== null) installed = { ...installed, part: '' };
    }
  }

  /** Some doors more or, once there are no more, the guard's rules. */
  async function fillSome(): Promise<void> {
    if (unguarded === null || installed === null) return;
    if (isClosed) {
      unguarded = null;
      return;
    }
    const { policy } = installed;
    const some = [...take(unguarded.values(), DOORS_PER_PART)];
    // Another session has made a guard with everything in it.
    await run(() => {
      if (guard === null || unguarded === null) return [];
      return some.length === 0 ? guardRules(guard, policy) : openIn(guard, some, true);
    });
    session.refresh();
    for (const door of some) unguarded?.delete(doorKey(door));
    if (some.length > 0 && unguarded !== null) return;
    unguarded = null;
    await noteWhatStands(policy);
  }

  /**
   * The doors that are to stay, and whether what is in the kernel is to be replaced by them. After the first install
   * what is known counts: what somebody else has put back may be doors of long ago.
   */
  async function standing(ruleset: Ruleset, { flush, takeover }: InstallOptions): Promise<Standing> {
    const isTakenOver = false;
    if (flush || !hasDoorSets(ruleset, place)) return { doors: [], isSuspect: true, isTakenOver };
    if (installed !== null) {
      const known = [...doors.open(uptime()), ...forwards.open(uptime())];
      return { doors: known, isSuspect: !(await isIntact()), isTakenOver };
    }
    if (takeover !== undefined && doorsMark(await listOurs(), place) === takeover.mark) {
      return { doors: asKnownDoors(takeover.doors, uptime()), isSuspect: false, isTakenOver: true };
    }
    const leading = hasForwards(ruleset, place) ? await listForwards() : [];
    return { doors: [...(await listDoors()).doors, ...leading], isSuspect: false, isTakenOver };
  }

  /** A kernel without what the pre-filter needs does without it. Resolves to the reason, or null. */
  async function runWithFilterIfPossible(
    policy: GatePolicy,
    statements: (policy: GatePolicy) => readonly string[],
  ): Promise<string | null> {
    try {
      await run(() => statements(policy));
      return null;
    } catch (error) {
      if (policy.preFilter === null || !isRefusal(error)) throw error;
      await run(() => statements({ ...policy, preFilter: null }));
      return error.message;
    }
  }

  /** The doors of all these grants, each as long as it is open already or the longest of them says. */
  async function open(
    grants: readonly Grant[],
    attempt: Parameters<typeof apply>[1],
  ): Promise<readonly Granted[]> {
    const [startedAt, start] = [now(), uptime()];
    const wanted = new Map<string, KnownDoor>();
    for (const grant of grants) {
      const until = start + grant.timeoutSeconds * 1000;
      for (const port of grant.ports) {
        const door = { address: grant.address, port, until, grantId: grant.id, ...forwardOf(grant) };
        const key = doorKey(door);
        const known = wanted.get(key) ?? (isForward(door) ? forwards : doors).get(key);
        // One that is open longer is stated again: somebody else may have shut it.
        wanted.set(key, known !== undefined && outlasts(known, door) ? known : door);
      }
    }
    await apply({ open: [...wanted.values()], shut: [] }, attempt);
    return grants.map(({ timeoutSeconds }) => ({ expiresAt: startedAt + timeoutSeconds * 1000 }));
  }

  const grantInBurst = createBursts<Grant, Granted>({
    inTurn,
    weight: ({ ports }) => ports.length,
    limit: () => DOORS_PER_CHANGE,
    change: (grants) => open(grants, run),
    changeAlone: async (grant) => {
      const [granted] = await open([grant], (build) => session.run(() => build(false)));
      return granted ?? { expiresAt: 0 };
    },
  });

  async function adjust(changes: readonly DoorChange[]): Promise<void> {
    const shut = changes.filter(({ timeoutSeconds }) => timeoutSeconds === null);
    if (changes.length > 0) await apply({ open: asKnownDoors(changes, uptime()), shut }, run);
  }

  async function isIntact(): Promise<boolean> {
    if (installed === null) return false;
    if (doubtful.size > 0 || areForwardsDoubtful) await apply({ open: [], shut: [] }, run).catch(() => {});
    if (ourPart(await listOurs(), place, guard) === installed.part) return true;
    // What is to be repaired is worth a second look.
    return ourPart(await listOursAnew(), place, guard) === installed.part;
  }

  async function flush(): Promise<void> {
    const isForwarding = await knowForwards();
    await run(() =>
      tables().flatMap((table) => [
        ...flushDoors(table),
        ...(isForwarding ? fillForwards(table.forwards, [], uptime()) : []),
      ]),
    );
    doors.clear();
    forwards.clear();
    doubtful.clear();
    unguarded?.clear();
  }

  async function close(options: { readonly flush: boolean }): Promise<void> {
    try {
      if (!options.flush) return;
      if (place.from === null) return await flush();
      const ruleset = await listRuleset();
      const isThere = ruleset.chains.some(
        ({ family, table }) => family === place.family && table === place.table,
      );
      if (isThere)
        await nft(['-f', '-'], {
          input: `${detachStatements(place, { jumps: jumps(ruleset, place), hasForwards: hasForwards(ruleset, place) }).join('\n')}\n`,
        });
    } finally {
      isClosed = true;
      await session.end();
    }
  }

  /** Why there is no door for that address, or null if there is one. */
  function lacksDoorFor({ address }: Grant): string | null {
    const set = ipFamily(address) === 4 ? place.doors4 : place.doors6;
    return set === null ? `a table of family ${place.family} has no door for ${address}` : null;
  }

  return {
    name: `nftables, ${placement.mode === 'own' ? 'own' : "the operator's"} table ${place.family} ${place.table}`,
    install: async (policy, options) => {
      const checked = { ...options, doors: checkChanges(options.doors) };
      return inTurn(() => install(policy, checked));
    },
    grant: async (wanted) => {
      const checked = checkGrant(wanted);
      const isImpossible = checked.forward !== undefined && !(await knowForwards());
      const problem = isImpossible ? NO_FORWARDS : lacksDoorFor(checked);
      if (problem !== null) throw new FirewallError(command.join(' '), null, problem);
      return grantInBurst(checked);
    },
    adjust: async (changes) => {
      const checked = checkChanges(changes);
      return inTurn(() => adjust(checked));
    },
    isIntact: () => inTurn(isIntact),
    mark: () => mark,
    counters: () => inTurn(async () => countersIn(await listOurs(), place)),
    list: async () => {
      const listed = await listDoors();
      const leading = (await knowForwards()) ? await listForwards() : [];
      return [...listed.doors, ...leading].map((door) => asDoor(door, listed.at));
    },
    flush: () => inTurn(flush),
    close: (closing) => inTurn(() => close(closing)),
  };
}

interface Granted {
  readonly expiresAt: number;
}

/** What shall become of doors. */
interface DoorsChange {
  readonly open: readonly KnownDoor[];
  readonly shut: readonly DoorPlace[];
}

/** What an install finds. */
interface Standing {
  readonly doors: readonly KnownDoor[];
  readonly isSuspect: boolean;
  /** True: the kernel was not asked; the doors are those of {@link Takeover}. */
  readonly isTakenOver: boolean;
}

/** A change goes to the kernel as few messages, for which an unprivileged user's namespace has little room. */
const DOORS_PER_CHANGE = 200;

/** The same where they need not come all at once. */
const DOORS_PER_PART = 2_000;

/** How long the guard of doors that were taken over waits until it is filled. */
const GUARD_AFTER_MS = 500;

/** The kernel starts anew for each page of a set's list: 100,000 doors take it five seconds. */
const LIST_TIME_FACTOR = 12;

const NO_GUARD =
  'if somebody flushes all rules, the protected ports are open until ours are back: there are no owner tables (Linux 5.12, nft 0.9.9)';

/** nft or the kernel does not know how, or does not want to; not: nobody knows what has become of it. */
function isRefusal(error: unknown): error is FirewallError {
  return error instanceof FirewallError && error.status !== null && !error.notPermitted;
}

function keyed(doors: readonly KnownDoor[]): Map<string, KnownDoor> {
  const byKey = new Map<string, KnownDoor>();
  for (const door of doors) byKey.set(doorKey(door), door);
  return byKey;
}

/** Changes that open a door, counted from the time `now` (ms, monotonic). */
function asKnownDoors(changes: readonly DoorChange[], now: number): readonly KnownDoor[] {
  const doors: KnownDoor[] = [];
  for (const { address, port, timeoutSeconds, grantId, forward } of changes) {
    if (timeoutSeconds === null) continue;
    const until = now + timeoutSeconds * 1000;
    doors.push(
      forward === undefined ? { address, port, grantId, until } : { address, port, grantId, until, forward },
    );
  }
  return doors;
}

/** True if that door is open for longer already, and leads to the same place. */
function outlasts(known: KnownDoor | undefined, door: KnownDoor): boolean {
  return known !== undefined && known.until >= door.until && isSameForward(known.forward, door.forward);
}

/** Takes the doors that lead elsewhere out of `doors`. */
function takeForwards(doors: Map<string, KnownDoor>): Map<string, KnownDoor> {
  const taken = new Map<string, KnownDoor>();
  for (const [key, door] of doors) if (isForward(door)) taken.set(key, door);
  for (const key of taken.keys()) doors.delete(key);
  return taken;
}

function* take<T>(items: Iterable<T>, count: number): Iterable<T> {
  let taken = 0;
  for (const item of items) {
    if (taken++ === count) return;
    yield item;
  }
}

function asDoor({ until, ...door }: KnownDoor, now: number): Door {
  return { ...door, remainingSeconds: Math.floor((until - now) / 1000) };
}

function partition<T>(
  items: readonly T[],
  test: (item: T) => boolean,
): readonly [readonly T[], readonly T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}

function hasDoorSets(ruleset: Ruleset, place: NftPlace | Guard): boolean {
  const names = ruleset.sets
    .filter(({ family, table }) => family === place.family && table === place.table)
    .map(({ chain }) => chain);
  return doorSets(place).every((set) => names.includes(set));
}

function hasForwards(ruleset: Ruleset, place: NftPlace): boolean {
  const names = forwardRecords(place.forwards);
  return ruleset.sets.some(
    ({ family, table, chain }) => family === place.family && table === place.table && names.includes(chain),
  );
}

/** True if other rules drop what they do not know: these may know our packets by the state of a connection. */
function isShutByOthers(ruleset: Ruleset, place: NftPlace): boolean {
  return ruleset.chains
    .filter(
      (chain) => chain.hook === 'input' && !(chain.family === place.family && chain.table === place.table),
    )
    .some((chain) => shutsByDefault(ruleset, chain));
}

/** A guard that is not ours shuts our doors. */
function strangers(ruleset: Ruleset, table: string, ours: Guard | null): readonly string[] {
  const guards = ruleset.chains
    .map((chain) => chain.table)
    .filter((name) => name.startsWith(guardPrefix(table)));
  return [...new Set(guards)]
    .filter((name) => name !== ours?.table)
    .map(
      (name) =>
        `table inet ${name} belongs to another daemon's nft, and shuts the ports until that ends: nft list table inet ${name} names it`,
    );
}

function jumps(ruleset: Ruleset, place: NftPlace): readonly Jump[] {
  const to = (target: string | null, from: string | null): readonly Jump[] =>
    from === null
      ? []
      : rulesOf(ruleset, { ...place, chain: from })
          .filter((rule) => jumpTarget(rule) === target)
          .map(({ handle }) => ({ from, handle }));
  return [...to(place.chain, place.from), ...to(place.forwards.forwardChains.forward, place.forwardFrom)];
}
