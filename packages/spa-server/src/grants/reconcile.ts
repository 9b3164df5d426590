import type { Door } from '../firewall/firewall.ts';
import { doorKey } from '../firewall/doors.ts';
import type { LiveGrant } from './ledger.ts';

/**
 * The grants that are live after a start: what the ledger remembers, as far as the kernel confirms it.
 *
 * The kernel says what is open and for how long; the ledger says whose it is. So a grant without an open door is none, no
 * grant outlasts its door, and a door that no grant explains is a grant of its own by nobody known. Nothing that this
 * returns opens a door, or keeps one open for longer than it is. `now` in milliseconds of the ledger's clock.
 */
export function reconcile(
  remembered: readonly LiveGrant[],
  open: readonly Door[],
  now: number,
): readonly LiveGrant[] {
  const ends = new Map(
    open.map((door) => [doorKey(door.address, door.port), now + door.remainingSeconds * 1000] as const),
  );
  const explained = new Set<string>();
  const live = remembered.flatMap((grant) => {
    const ports = grant.ports.filter((port) => (ends.get(doorKey(grant.address, port)) ?? 0) > now);
    const doorEnds = ports.map((port) => ends.get(doorKey(grant.address, port)) ?? 0);
    const endsAt = Math.min(grant.endsAt, ...doorEnds);
    if (ports.length === 0 || endsAt <= now) return [];
    for (const port of ports) explained.add(doorKey(grant.address, port));
    return [{ ...grant, ports, endsAt }];
  });
  const unknown = open.filter(
    ({ address, port, remainingSeconds }) => remainingSeconds > 0 && !explained.has(doorKey(address, port)),
  );
  return [...live, ...byNobodyKnown(unknown, now)];
}

/** Doors that one grant opened are one grant, as far as their rules tell. */
function byNobodyKnown(doors: readonly Door[], now: number): readonly LiveGrant[] {
  return doors.map(({ address, port, remainingSeconds, grantId }, index) => ({
    id: grantId ?? `unknown${index}`,
    operator: null,
    username: null,
    stanza: null,
    address,
    ports: [port],
    endsAt: now + remainingSeconds * 1000,
  }));
}
