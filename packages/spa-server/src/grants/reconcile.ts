import { doorKey } from '../firewall/doors.ts';
import type { Door } from '../firewall/firewall.ts';
import { forwardOf, isSameForward } from '../firewall/forward.ts';
import { doorsOf, type LiveGrant } from './ledger.ts';
import type { LedgerFileContent } from './ledger-file.ts';

type Remembered = Pick<LedgerFileContent, 'grants' | 'revoked'>;

/** How much longer than its grants a door may seem to be open: firewalls count whole seconds, and open a little later. */
const SLACK_MS = 2_000;

/**
 * The grants that are live after a start: what the ledger remembers, as far as the kernel confirms it.
 *
 * The kernel says what is open and for how long; the ledger says whose it is. So a grant without an open door is none, no
 * grant outlasts its doors, and what the ledger does not explain of an open door is a grant of nobody known: but not if the
 * ledger knows the grant that the door names, which was revoked then, or has ended (see {@link findOverdue}). Nothing that this returns opens a door, or keeps one open for longer than it is. `now` in milliseconds of the ledger's clock.
 */
export function reconcile(remembered: Remembered, open: readonly Door[], now: number): readonly LiveGrant[] {
  const endOf = new Map(open.map((door) => [doorKey(door), now + door.remainingSeconds * 1000]));
  const live = remembered.grants.flatMap((grant) => confirm(grant, endOf, now));
  const explainedUntil = new Map<string, number>();
  for (const grant of live) {
    for (const key of doorsOf(grant).map(doorKey)) {
      explainedUntil.set(key, Math.max(explainedUntil.get(key) ?? 0, grant.endsAt));
    }
  }
  const known = endsOf(remembered);
  const unexplained = open.filter((door) => {
    if (door.grantId !== null && known.has(door.grantId)) return false;
    const end = endOf.get(doorKey(door)) ?? 0;
    return end > now && end > (explainedUntil.get(doorKey(door)) ?? 0) + SLACK_MS;
  });
  return [...live, ...ofNobodyKnown(unexplained, new Set(live.map(({ id }) => id)), now)];
}

/**
 * The doors that the kernel keeps open for longer than the grants that they name: it goes by a clock that somebody has set
 * back (iptables), or a revocation was not carried out. `now` as in {@link reconcile}.
 */
export function findOverdue(remembered: Remembered, open: readonly Door[], now: number): readonly Door[] {
  const known = endsOf(remembered);
  return open.filter(({ grantId, remainingSeconds }) => {
    const end = grantId === null ? undefined : known.get(grantId);
    return end !== undefined && now + remainingSeconds * 1000 > end + SLACK_MS;
  });
}

/** When grants end, by their id; those that were revoked have ended. */
function endsOf({ grants, revoked }: Remembered): ReadonlyMap<string, number> {
  return new Map([
    ...grants.map(({ id, endsAt }) => [id, endsAt] as const),
    ...revoked.map(({ id }) => [id, 0] as const),
  ]);
}

/** What is left of `grant`: the doors that are open, until the first of them closes. */
function confirm(grant: LiveGrant, endOf: ReadonlyMap<string, number>, now: number): readonly LiveGrant[] {
  const endOfPort = (port: LiveGrant['ports'][number]): number =>
    endOf.get(doorKey({ address: grant.address, port, ...forwardOf(grant) })) ?? 0;
  const ports = grant.ports.filter((port) => endOfPort(port) > now);
  const endsAt = Math.min(grant.endsAt, ...ports.map(endOfPort));
  return ports.length === 0 || endsAt <= now ? [] : [{ ...grant, ports, endsAt }];
}

/** Doors whose rules name one grant are one grant, until the first of them closes. */
function ofNobodyKnown(
  doors: readonly Door[],
  taken: ReadonlySet<string>,
  now: number,
): readonly LiveGrant[] {
  const grants = new Map<string, LiveGrant>();
  for (const [index, door] of doors.entries()) {
    const { address, port, remainingSeconds, grantId } = door;
    const id = grantId === null || taken.has(grantId) ? `unknown${String(index).padStart(4, '0')}` : grantId;
    const endsAt = now + remainingSeconds * 1000;
    const known = grants.get(id);
    const isMore = known?.address === address && isSameForward(known.forward, door.forward);
    grants.set(id, {
      ...{ id, operator: null, username: null, stanza: null, address },
      ports: isMore ? [...known.ports, port] : [port],
      ...forwardOf(door),
      endsAt: Math.min(endsAt, known?.endsAt ?? endsAt),
    });
  }
  return [...grants.values()];
}
