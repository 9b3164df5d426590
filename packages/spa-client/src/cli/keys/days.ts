import type { Party } from 'spa-core';
import { UsageError } from 'spa-host';

/** How long a new key lasts unless somebody says otherwise, in days. */
const KEY_DAYS: Readonly<Record<Party['kind'], number>> = {
  authority: 3_650,
  operator: 730,
  bastion: 730,
};

/** When a new key ends, in seconds since 1970; null for `--days 0`: never. @throws UsageError */
export function endOfNewKey(
  kind: Party['kind'],
  days: string | undefined,
  nowSeconds: number,
): number | null {
  const count = days === undefined ? KEY_DAYS[kind] : readDays('--days', days);
  return count === 0 ? null : inDays(count, nowSeconds);
}

/** A number of days, as an option says it. @throws UsageError */
export function readDays(option: string, text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= DAYS_MAX) return Number(text);
  throw new UsageError(`${option} "${text}" is no number of days; write 0 to ${DAYS_MAX}`);
}

/** So many days from `nowSeconds` on, in seconds since 1970. */
export function inDays(days: number, nowSeconds: number): number {
  return nowSeconds + days * DAY_SECONDS;
}

const DAYS_MAX = 36_500;
const DAY_SECONDS = 86_400;
