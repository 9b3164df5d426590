import { html, type Markup } from './markup.ts';

const DAY_SECONDS = 86_400;

/** A day of UTC as in `2026-11-22`; null is `never`. */
export function dayOf(seconds: number | null): string {
  return seconds === null ? 'never' : iso(seconds).slice(0, 10);
}

/** A minute of UTC as in `2026-11-22 09:30`. */
export function minuteOf(seconds: number): string {
  return iso(seconds).slice(0, 16).replace('T', ' ');
}

/** The day as a `time` element. */
export function dayElement(seconds: number | null): Markup {
  return seconds === null ? html`never` : html`<time datetime="${iso(seconds)}">${dayOf(seconds)}</time>`;
}

/** The minute as a `time` element. */
export function minuteElement(seconds: number): Markup {
  return html`<time datetime="${iso(seconds)}">${minuteOf(seconds)}</time>`;
}

/** Whole days from now until then; negative if it is past. */
export function daysUntil(seconds: number, nowSeconds: number): number {
  return Math.floor((seconds - nowSeconds) / DAY_SECONDS);
}

/** `today`, `in 3 days`, `4 days ago`. */
export function distanceTo(seconds: number, nowSeconds: number): string {
  const days = daysUntil(seconds, nowSeconds);
  if (days < 0) return `${counted(-days, 'day')} ago`;
  return days === 0 ? 'within a day' : `in ${counted(days, 'day')}`;
}

/** `1 day`, `1,200 days`. */
export function counted(count: number, noun: string, plural: string = `${noun}s`): string {
  return `${numeral(count)} ${count === 1 ? noun : plural}`;
}

/** With commas: `1,200`. */
export function numeral(count: number): string {
  return count.toLocaleString('en-US');
}

/** The calendar goes to the year 9999: a key may say more. */
function iso(seconds: number): string {
  return new Date(Math.min(Math.max(seconds, 0), 253_402_300_799) * 1000).toISOString();
}
