import { KeyError, SpaError } from 'spa-core';
import { ConfigError, UsageError } from 'spa-host';
import { SendError } from '../send.ts';
import { SshError } from '../ssh-settings.ts';

/** What is looked at, in this order. */
export type CheckName =
  | 'rc-file'
  | 'region'
  | 'dns'
  | 'route'
  | 'clock'
  | 'key-files'
  | 'keys'
  | 'hmac'
  | 'signer'
  | 'recipient'
  | 'certification'
  | 'size'
  | 'port'
  | 'packet'
  | 'door';

/** What a check found. */
export interface Finding {
  readonly check: CheckName;
  /** `warn`: it works, or may work, but should be looked at; `bad`: it stands in the way; `skipped`: nobody knows. */
  readonly state: 'ok' | 'warn' | 'bad' | 'skipped';
  /** One line. */
  readonly says: string;
  /** What to do about it, as one line; null: nothing. */
  readonly todo: string | null;
}

/** All is well. */
export function ok(check: CheckName, says: string): Finding {
  return { check, state: 'ok', says, todo: null };
}

/** It works, but. */
export function warn(check: CheckName, says: string, todo: string): Finding {
  return { check, state: 'warn', says, todo };
}

/** It cannot work. */
export function bad(check: CheckName, says: string, todo: string): Finding {
  return { check, state: 'bad', says, todo };
}

/** It could not be looked at. */
export function skipped(check: CheckName, says: string, todo: string | null = null): Finding {
  return { check, state: 'skipped', says, todo };
}

/**
 * What an error for the operator says (one line, and mostly after a semicolon what to write instead), or null if it is
 * none: then it is a fault of ours.
 */
export function complaint(check: CheckName, error: unknown, otherwise: string): Finding | null {
  if (!(error instanceof Error) || !OPERATORS_ERRORS.some((type) => error instanceof type)) return null;
  const message = error.message.replaceAll(/\s+/g, ' ');
  const separator = message.includes('; ') ? '; ' : ': ';
  const at = error instanceof SpaError || separator === '; ' ? message.indexOf(separator) : -1;
  if (at < 0) return bad(check, message, otherwise);
  return bad(check, message.slice(0, at), message.slice(at + 2));
}

/** A duration as people say it: `12 ms`, `4.2 s`, `4 min 10 s`, `3 h 5 min`, `12 days`. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1).replace(/\.0$/, '')} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3_600) return pair(seconds, 60, 'min', 's');
  if (seconds < 172_800) return pair(Math.round(seconds / 60), 60, 'h', 'min');
  return `${Math.round(seconds / 86_400)} days`;
}

const OPERATORS_ERRORS = [ConfigError, KeyError, SendError, SpaError, SshError, UsageError] as const;

function pair(value: number, size: number, big: string, small: string): string {
  const rest = value % size;
  return `${Math.floor(value / size)} ${big}${rest === 0 ? '' : ` ${rest} ${small}`}`;
}
