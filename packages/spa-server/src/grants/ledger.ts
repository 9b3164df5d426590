import { type IpAddress, type IpNetwork, networkContains, type ProtoPort } from 'spa-core';
import { doorKey } from '../firewall/doors.ts';

/** A grant that may still hold doors open, and who got it. */
export interface LiveGrant {
  /** As in the firewall's grant: hex of the message's identity. */
  readonly id: string;
  /** Fingerprint of who signed; null: the packet had no signature, or nobody knows any more. */
  readonly operator: string | null;
  /** What the packet called itself; null: nobody knows any more. */
  readonly username: string | null;
  /** Number of the stanza that gave it; null: nobody knows any more. */
  readonly stanza: number | null;
  readonly address: IpAddress;
  readonly ports: readonly ProtoPort[];
  /** Milliseconds of the steady clock: see {@link steadyNow}. */
  readonly endsAt: number;
}

/** Which grants are meant. */
export type GrantSelector =
  | { readonly by: 'all' }
  /** The last digits of a fingerprint, upper case: all of them, or a key ID. */
  | { readonly by: 'operator'; readonly fingerprint: string }
  | { readonly by: 'user'; readonly name: string }
  | { readonly by: 'address'; readonly network: IpNetwork }
  /** The first digits of an id, as the log shows them. */
  | { readonly by: 'grant'; readonly id: string };

/** A door that live grants hold open: until the last of them ends, and never longer. */
export interface LedgerDoor {
  readonly address: IpAddress;
  readonly port: ProtoPort;
  readonly endsAt: number;
  /** Of its grants the one that ends last. */
  readonly grantId: string;
}

/** A door by its name. */
export type DoorName = Pick<LedgerDoor, 'address' | 'port'>;

/** The grants that are live, and so what ought to be open. Pure: times are parameters, of one clock that never steps. */
export interface Ledger {
  /** How many grants it holds, ended ones that {@link Ledger.expire} has not seen included. */
  readonly size: number;
  /** Adds a grant; one of the same id is replaced. */
  add(grant: LiveGrant): void;
  /** Takes away one grant, if it is there. */
  delete(id: string): void;
  /** Takes away what has ended, a second after its end at the latest. */
  expire(now: number): void;
  /** The grants that are meant and have not ended. */
  grants(selector: GrantSelector, now: number): readonly LiveGrant[];
  /** The grants of one door that have not ended. */
  grantsOf(door: DoorName, now: number): readonly LiveGrant[];
  /** All doors that ought to be open. */
  doors(now: number): readonly LedgerDoor[];
  /** One door; null if no live grant holds it open. */
  door(name: DoorName, now: number): LedgerDoor | null;
}

/** An empty ledger. */
export function createLedger(): Ledger {
  const byId = new Map<string, LiveGrant>();
  const byDoor = new Map<string, Set<LiveGrant>>();
  /** By the second in which they end, so that what has ended is found without a look at the rest. */
  const bySecond = new Map<number, Set<LiveGrant>>();
  let expiredSecond = Number.POSITIVE_INFINITY;

  const drop = (grant: LiveGrant): void => {
    byId.delete(grant.id);
    leave(bySecond, secondOf(grant), grant);
    for (const port of grant.ports) leave(byDoor, doorKey(grant.address, port), grant);
  };

  const named = (selector: GrantSelector, now: number): LiveGrant[] =>
    [...byId.values()].filter((grant) => grant.endsAt > now && isMeant(selector, grant));

  const grantsOf = ({ address, port }: DoorName, now: number): LiveGrant[] =>
    [...(byDoor.get(doorKey(address, port)) ?? [])].filter(({ endsAt }) => endsAt > now);

  const door = (name: DoorName, now: number): LedgerDoor | null => {
    const [first, ...rest] = grantsOf(name, now);
    if (first === undefined) return null;
    const last = rest.reduce((latest, grant) => (grant.endsAt > latest.endsAt ? grant : latest), first);
    return { address: name.address, port: name.port, endsAt: last.endsAt, grantId: last.id };
  };

  return {
    get size() {
      return byId.size;
    },
    add: (grant) => {
      const before = byId.get(grant.id);
      if (before !== undefined) drop(before);
      byId.set(grant.id, grant);
      join(bySecond, secondOf(grant), grant);
      for (const port of grant.ports) join(byDoor, doorKey(grant.address, port), grant);
      expiredSecond = Math.min(expiredSecond, secondOf(grant) - 1);
    },
    delete: (id) => {
      const grant = byId.get(id);
      if (grant !== undefined) drop(grant);
    },
    expire: (now) => {
      if (byId.size === 0) expiredSecond = Number.POSITIVE_INFINITY;
      const last = Math.floor(now / 1000);
      for (let second = expiredSecond + 1; second <= last; second++) {
        for (const grant of bySecond.get(second) ?? []) drop(grant);
      }
      expiredSecond = Math.max(expiredSecond, last);
    },
    grants: named,
    grantsOf,
    doors: (now) => {
      const doors = new Map<string, DoorName>();
      for (const { address, ports } of byId.values()) {
        for (const port of ports) doors.set(doorKey(address, port), { address, port });
      }
      return [...doors.values()].map((name) => door(name, now)).filter((found) => found !== null);
    },
    door,
  };
}

/**
 * Milliseconds of a clock that nobody can set: since the host's boot, the same for all its processes. A grant is counted
 * by it, as the kernel counts the timeout of a door, so that a clock that is put right makes no door last longer.
 */
export function steadyNow(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** True if `grant` is one of those that are meant. */
export function isMeant(selector: GrantSelector, grant: Omit<LiveGrant, 'endsAt'>): boolean {
  switch (selector.by) {
    case 'all':
      return true;
    case 'operator':
      return grant.operator?.toUpperCase().endsWith(selector.fingerprint) === true;
    case 'user':
      return grant.username === selector.name;
    case 'address':
      return networkContains(selector.network, grant.address);
    case 'grant':
      return grant.id.startsWith(selector.id);
  }
}

/** The first whole second at which it has ended. */
function secondOf({ endsAt }: LiveGrant): number {
  return Math.ceil(endsAt / 1000);
}

function join<Key>(groups: Map<Key, Set<LiveGrant>>, key: Key, grant: LiveGrant): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, new Set([grant]));
  else group.add(grant);
}

function leave<Key>(groups: Map<Key, Set<LiveGrant>>, key: Key, grant: LiveGrant): void {
  const group = groups.get(key);
  group?.delete(grant);
  if (group?.size === 0) groups.delete(key);
}
