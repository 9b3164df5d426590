import { type IpAddress, type IpNetwork, networkContains, type ProtoPort } from 'spa-core';
import { doorKey } from '../firewall/doors.ts';
import type { DoorName } from '../firewall/firewall.ts';
import { type Forward, forwardOf, isSameForward } from '../firewall/forward.ts';

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
  /** Where its doors lead; left out: to this host's own ports. */
  readonly forward?: Forward;
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

/**
 * A door that live grants hold open: until the last of them ends, and never longer. Of grants that lead one door to
 * different places the latest says where, and those that lead there how long.
 */
export interface LedgerDoor extends DoorName {
  readonly endsAt: number;
  /** Of its grants the one that ends last. */
  readonly grantId: string;
}

/** The grants that are live, and so what ought to be open. Pure: times are parameters, of one clock that never steps. */
export interface Ledger {
  /** How many grants it holds, ended ones that {@link Ledger.expire} has not seen included. */
  readonly size: number;
  /**
   * Adds a grant; one of the same id is replaced. Of the grants that one holder has for the same doors the latest
   * {@link GRANTS_PER_HOLDER} are kept: whoever knocks thousands of times a second takes up no more room.
   */
  add(grant: LiveGrant): void;
  /** Takes away those grants that are there. */
  delete(ids: readonly string[]): void;
  /** Takes away what has ended, a second after its end at the latest, and says what that was. */
  expire(now: number): readonly LiveGrant[];
  /** The grants that are meant and have not ended. */
  grants(selector: GrantSelector, now: number): readonly LiveGrant[];
  /** The grants of one door that have not ended. */
  grantsOf(door: DoorName, now: number): readonly LiveGrant[];
  /** All doors that ought to be open. */
  doors(now: number): readonly LedgerDoor[];
  /** One door; null if no live grant holds it open. */
  door(name: DoorName, now: number): LedgerDoor | null;
}

/** See {@link Ledger.add}. */
export const GRANTS_PER_HOLDER = 8;

/** An empty ledger. */
export function createLedger(): Ledger {
  const byId = new Map<string, LiveGrant>();
  /** Arrays, because most addresses have one grant, and a set takes ten times the room. */
  const byAddress = new Map<IpAddress, LiveGrant[]>();
  /** By the second in which they end, so that what has ended is found without a look at the rest. */
  const bySecond = new Map<number, Set<LiveGrant>>();
  let expiredSecond = Number.POSITIVE_INFINITY;

  const drop = (grants: readonly LiveGrant[]): void => {
    const going = new Set(grants);
    for (const grant of going) {
      byId.delete(grant.id);
      const ending = bySecond.get(secondOf(grant));
      ending?.delete(grant);
      if (ending?.size === 0) bySecond.delete(secondOf(grant));
    }
    for (const address of new Set(grants.map((grant) => grant.address))) {
      const staying = byAddress.get(address)?.filter((grant) => !going.has(grant)) ?? [];
      if (staying.length === 0) byAddress.delete(address);
      else byAddress.set(address, staying);
    }
  };

  /** What ends first of too many grants of one holder for the same doors; null if they are not too many. */
  const surplus = (neighbours: readonly LiveGrant[], grant: LiveGrant): LiveGrant | null => {
    if (neighbours.length < GRANTS_PER_HOLDER) return null;
    const alike = neighbours.filter((other) => isAlike(other, grant));
    return alike.length < GRANTS_PER_HOLDER ? null : [...alike, grant].reduce(earlier);
  };

  const named = (selector: GrantSelector, now: number): LiveGrant[] =>
    [...byId.values()].filter((grant) => grant.endsAt > now && isMeant(selector, grant));

  const grantsOf = (name: DoorName, now: number): LiveGrant[] => {
    const all = byAddress.get(name.address) ?? [];
    if (name.forward === undefined) return all.filter((grant) => isOpenFor(grant, name.port, now));
    const key = doorKey(name);
    return all.filter((grant) => grant.endsAt > now && doorsOf(grant).some((one) => doorKey(one) === key));
  };

  const door = (name: DoorName, now: number): LedgerDoor | null => {
    const all = grantsOf(name, now);
    const latest = all.at(-1);
    if (latest === undefined) return null;
    const alike = all.filter(({ forward }) => isSameForward(forward, latest.forward));
    const last = alike.reduce((longest, grant) => (grant.endsAt > longest.endsAt ? grant : longest), latest);
    return {
      ...{ address: name.address, port: name.port, endsAt: last.endsAt, grantId: last.id },
      ...forwardOf(latest),
    };
  };

  return {
    get size() {
      return byId.size;
    },
    add: (grant) => {
      const before = byId.get(grant.id);
      if (before !== undefined) drop([before]);
      byId.set(grant.id, grant);
      const ending = bySecond.get(secondOf(grant));
      if (ending === undefined) bySecond.set(secondOf(grant), new Set([grant]));
      else ending.add(grant);
      expiredSecond = Math.min(expiredSecond, secondOf(grant) - 1);
      const neighbours = byAddress.get(grant.address);
      byAddress.set(grant.address, neighbours === undefined ? [grant] : [...neighbours, grant]);
      const tooMany = neighbours === undefined ? null : surplus(neighbours, grant);
      if (tooMany !== null) drop([tooMany]);
    },
    delete: (ids) => drop(ids.map((id) => byId.get(id)).filter((grant) => grant !== undefined)),
    expire: (now) => {
      if (byId.size === 0) expiredSecond = Number.POSITIVE_INFINITY;
      const last = Math.floor(now / 1000);
      const ended: LiveGrant[] = [];
      for (let second = expiredSecond + 1; second <= last; second++) {
        for (const grant of bySecond.get(second) ?? []) ended.push(grant);
      }
      drop(ended);
      expiredSecond = Math.max(expiredSecond, last);
      return ended;
    },
    grants: named,
    grantsOf,
    doors: (now) => {
      const latest = new Map<string, LedgerDoor>();
      for (const grant of byId.values()) {
        if (grant.endsAt <= now) continue;
        for (const port of grant.ports) {
          const door = doorOf(grant, port);
          const key = doorKey(door);
          const known = latest.get(key);
          const isLonger = known !== undefined && known.endsAt >= grant.endsAt;
          if (!isLonger || !isSameForward(known.forward, grant.forward)) latest.set(key, door);
        }
      }
      return [...latest.values()];
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

/** The doors of a grant. */
export function doorsOf(grant: Pick<LiveGrant, 'address' | 'ports' | 'forward'>): readonly DoorName[] {
  return grant.ports.map((port) => ({ address: grant.address, port, ...forwardOf(grant) }));
}

/** As if no other grant held it open. Without a spread: there may be a hundred thousand, and it takes several times as long. */
function doorOf({ id, address, endsAt, forward }: LiveGrant, port: ProtoPort): LedgerDoor {
  if (forward === undefined) return { address, port, endsAt, grantId: id };
  return { address, port, endsAt, grantId: id, forward };
}

/** What a grant is meant by. */
export type Meant = Pick<LiveGrant, 'id' | 'operator' | 'username' | 'address'>;

/** True if `grant` is one of those that are meant. */
export function isMeant(selector: GrantSelector, grant: Meant): boolean {
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

function earlier(one: LiveGrant, other: LiveGrant): LiveGrant {
  return other.endsAt < one.endsAt ? other : one;
}

/** True if one and the same holder has both, for the same doors. */
function isAlike(one: LiveGrant, other: LiveGrant): boolean {
  return (
    one.operator === other.operator &&
    one.username === other.username &&
    one.stanza === other.stanza &&
    isSameForward(one.forward, other.forward) &&
    one.ports.length === other.ports.length &&
    one.ports.every((port) => other.ports.some(isSame(port)))
  );
}

/** True if it holds that door of this host's own open. */
function isOpenFor({ endsAt, ports, forward }: LiveGrant, port: ProtoPort, now: number): boolean {
  return endsAt > now && forward === undefined && ports.some(isSame(port));
}

function isSame({ protocol, port }: ProtoPort): (other: ProtoPort) => boolean {
  return (other) => other.protocol === protocol && other.port === port;
}
