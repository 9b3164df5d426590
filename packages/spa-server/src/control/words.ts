import type { GrantSelector } from '../grants/ledger.ts';
import { formatSelector } from '../grants/selector.ts';
import type { CountersAnswer, DoorLine, GrantLine, ListAnswer, NamedDoor, RevokeAnswer } from './protocol.ts';

/** Digits of a grant's id that the log shows, and that are enough to name it. */
const ID_DIGITS = 16;

/** What `--fw-list` prints: a line for each door and each who holds it open. */
export function describeList({ firewall, doors }: ListAnswer): string {
  const lines = doors.flatMap((door) =>
    door.grants.map(
      (grant) => `${nameOf(door, 'from')}, ${grant.remainingSeconds} s left: ${holderOf(grant)}`,
    ),
  );
  return text([`Doors that are open in ${firewall}: ${doors.length}`, ...lines]);
}

/** What `--revoke` prints. */
export function describeRevocation(
  which: GrantSelector,
  { grants, closed, byCommands = 0, kept, cut }: RevokeAnswer,
): string {
  const nothing = grants === 0 && closed.length === 0 && byCommands === 0;
  const whose = formatSelector(which);
  return text([
    nothing ? `There is no live grant of ${whose}.` : `Revoked ${count(grants, 'grant')} of ${whose}.`,
    ...closed.map((door) => `Closed ${nameOf(door, 'for')}.`),
    ...describeByCommands(byCommands),
    ...kept.map(describeKept),
    ...(cut === null ? [] : [`Ended ${count(cut.connections, 'connection')}.`]),
    ...(cut === null && closed.length > 0 ? [CONNECTIONS_LIVE] : []),
    ...(cut?.connections === 0 && which.by !== 'address' ? [EARLIER_CONNECTIONS] : []),
  ]);
}

/** What `--fw-flush` prints. */
export function describeFlush({ closed, byCommands = 0 }: RevokeAnswer): string {
  return text([
    `Closed all doors: ${closed.length}.`,
    ...describeByCommands(byCommands),
    ...(closed.length > 0 ? [CONNECTIONS_LIVE] : []),
  ]);
}

/** What `--status` prints besides. */
export function describeCounters({ counters, roster }: CountersAnswer): string {
  // A daemon that was started before an update says nothing of it.
  const following = typeof roster === 'string' ? [`Follows the ${roster}.`] : [];
  return text([
    ...following,
    ...counters.map(({ what, count: number }) => `${String(number).padStart(8)} ${what}`),
  ]);
}

const CONNECTIONS_LIVE = 'Connections that were made through them live on; --revoke with --cut ends them.';
const EARLIER_CONNECTIONS =
  'Connections live longer than doors. If one is still there, --fw-list no longer knows whose it is, but the log does: ' +
  'look for "opened", and give --revoke address=IP --cut.';

function describeByCommands(number: number): readonly string[] {
  return number === 0 ? [] : [`Running ${count(number, 'close command')}.`];
}

function describeKept(door: DoorLine): string {
  const holders = door.grants.map(holderOf).join('; ');
  return `Still open for others, ${door.remainingSeconds} s more: ${nameOf(door, 'for')}: ${holders}.`;
}

function holderOf({ id, operator, username, stanza }: GrantLine): string {
  const grant = `grant ${id === '' ? 'unknown' : id.slice(0, ID_DIGITS)}`;
  if (username === null) return `operator unknown, ${grant}`;
  const signed = operator === null ? 'not signed' : `operator ${operator}`;
  return `user ${username}, ${signed}, stanza #${stanza ?? '?'}, ${grant}`;
}

function nameOf({ port, address }: NamedDoor, word: 'for' | 'from'): string {
  return `${port} ${word} ${address}`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

function text(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}
