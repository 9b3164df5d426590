import type { LoadedRoster } from './load-roster.ts';

/** How it stands with the roster that is in force, in one line: `roster "example", version 7, …`. */
export function describeRoster({ roster, accepted }: LoadedRoster): string {
  const { bastion, operators } = roster;
  const count = `${operators.length} operator${operators.length === 1 ? '' : 's'}`;
  return `roster "${roster.roster}", version ${roster.version} of ${timeText(roster.issuedAtSeconds)} for "${bastion.name}", ${count}, signed by ${accepted.signer}, accepted ${timeText(accepted.acceptedAtSeconds)}`;
}

/** `2026-11-22T10:00:00Z`, from seconds since 1970. */
export function timeText(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}
