import { closeSync, openSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError } from 'spa-host';

/**
 * Runs `work`, which takes milliseconds, as the only one that changes `file`: of two that save a stanza at once neither loses
 * its own. The lock is the file beside it, with `.lock` at its end; whoever has it for seconds is dead.
 * @throws ConfigError if nothing can be written there
 */
export async function withRcLock<Result>(file: string, work: () => Result): Promise<Result> {
  const lock = `${file}.lock`;
  const until = performance.now() + DEAD_AFTER_MS;
  while (!tryToTake(lock, file)) {
    if (performance.now() < until) await sleep(RETRY_MS);
    else rmSync(lock, { force: true });
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

const DEAD_AFTER_MS = 5_000;
const RETRY_MS = 20;

/** False if somebody else has it. */
function tryToTake(lock: string, file: string): boolean {
  try {
    closeSync(openSync(lock, 'wx', 0o600));
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    throw new ConfigError({ file }, `cannot be written: ${code}`);
  }
}
