import { setTimeout as sleep } from 'node:timers/promises';

/** Asks again and again until `check` holds. @throws Error that says `what` was waited for, after the limit. */
export async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  { limitMs = 15_000, everyMs = 25 }: { readonly limitMs?: number; readonly everyMs?: number } = {},
): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`waited ${limitMs / 1000} s in vain: ${what}`);
    await sleep(everyMs);
  }
}
