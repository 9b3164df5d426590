import { formatDoor } from '../firewall/doors.ts';
import type { DoorName } from '../firewall/firewall.ts';
import type { HeldDoor, Revocation } from '../grants/doorkeeper.ts';
import type { GrantSelector, LiveGrant } from '../grants/ledger.ts';
import { formatSelector, parseSelector } from '../grants/selector.ts';

/** What a running daemon can be asked for: one line of JSON, answered by one line of JSON. */
export type ControlRequest =
  | { readonly do: 'list' }
  | { readonly do: 'revoke'; readonly which: GrantSelector; readonly cut: boolean }
  | { readonly do: 'counters' };

/** What it answers: to a request that it could not fulfil an error, a line for the operator. */
export type ControlAnswer = ListAnswer | RevokeAnswer | CountersAnswer | ErrorAnswer;

/** The doors that are open. */
export interface ListAnswer {
  readonly firewall: string;
  readonly doors: readonly DoorLine[];
}

/** What was revoked. */
export interface RevokeAnswer {
  readonly grants: number;
  readonly closed: readonly NamedDoor[];
  /** Doors that somebody else's grants still hold open. */
  readonly kept: readonly DoorLine[];
  /** Close commands (`CMD_CYCLE_CLOSE`) that run now; left out: none. */
  readonly byCommands?: number;
  /** Null: nothing was to be cut. */
  readonly cut: { readonly connections: number; readonly problem: string | null } | null;
}

/** What was counted, in the words for the operator. */
export interface CountersAnswer {
  readonly counters: readonly { readonly what: string; readonly count: number }[];
  /** The roster in force, in one line; null: there is none. */
  readonly roster: string | null;
}

/** Why there is no answer. */
export interface ErrorAnswer {
  readonly error: string;
  readonly exitCode: number;
}

/** A door as text: `tcp/22` or `tcp/2222 to 10.0.0.5:22`, `192.0.2.7`. */
export interface NamedDoor {
  readonly port: string;
  readonly address: string;
}

/** A door and who holds it open. */
export interface DoorLine extends NamedDoor {
  readonly remainingSeconds: number;
  readonly grants: readonly GrantLine[];
}

/** One holder of a door. Null is what nobody knows. */
export interface GrantLine {
  readonly id: string;
  readonly operator: string | null;
  readonly username: string | null;
  readonly stanza: number | null;
  readonly remainingSeconds: number;
}

/** Reads a request; null if the line is none. */
export function parseControlRequest(line: string): ControlRequest | null {
  try {
    const request = JSON.parse(line) as Readonly<Record<string, unknown>> | null;
    if (request?.do === 'list' || request?.do === 'counters') return { do: request.do };
    if (request?.do !== 'revoke' || typeof request.which !== 'string') return null;
    const which = request.which === ALL ? ({ by: 'all' } as const) : parseSelector(request.which);
    return { do: 'revoke', which, cut: request.cut === true };
  } catch {
    return null;
  }
}

/** The line of a request, without its end. */
export function formatControlRequest(request: ControlRequest): string {
  if (request.do !== 'revoke') return JSON.stringify(request);
  const which = request.which.by === 'all' ? ALL : formatSelector(request.which);
  return JSON.stringify({ ...request, which });
}

const ALL = 'all';

/** The answer to `list`; `remaining` says how many seconds a grant has. */
export function listAnswer(
  firewall: string,
  doors: readonly HeldDoor[],
  remaining: (grant: LiveGrant) => number,
): ListAnswer {
  return { firewall, doors: doors.map((door) => doorLine(door, remaining)) };
}

/** The answer to `revoke`. */
export function revokeAnswer(
  { grants, closed, kept, cut }: Revocation,
  remaining: (grant: LiveGrant) => number,
): RevokeAnswer {
  return {
    grants: grants.length,
    closed: closed.map(namedDoor),
    kept: kept.map((door) => doorLine(door, remaining)),
    cut,
  };
}

function doorLine(door: HeldDoor, remaining: (grant: LiveGrant) => number): DoorLine {
  return {
    ...namedDoor(door),
    remainingSeconds: door.remainingSeconds,
    grants:
      door.grants.length === 0
        ? [{ id: door.grantId ?? '', ...NOBODY, remainingSeconds: door.remainingSeconds }]
        : door.grants.map((grant) => ({
            ...{ id: grant.id, operator: grant.operator, username: grant.username, stanza: grant.stanza },
            remainingSeconds: remaining(grant),
          })),
  };
}

const NOBODY = { operator: null, username: null, stanza: null };

function namedDoor(door: DoorName): NamedDoor {
  return { address: door.address, port: formatDoor(door) };
}
