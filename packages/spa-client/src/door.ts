import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** How waiting for a door ended. `refused`: somebody answered that the port is closed; else nobody answered. */
export type DoorState = 'open' | 'refused' | 'silent';

/**
 * Waits until a TCP port accepts a connection, at most `limitMs`.
 *
 * A fresh attempt starts every few milliseconds while the earlier ones go on: the kernel sends a lost SYN again only
 * after a second, and a far host needs longer to answer than the pause between two attempts. Those that are still
 * unanswered when one succeeds are dropped before the server has accepted them.
 */
export async function waitForDoor(address: string, port: number, limitMs: number): Promise<DoorState> {
  const attempts = new Set<Socket>();
  const ended = new AbortController();
  let state: DoorState = 'silent';
  const timer = setTimeout(() => ended.abort(), limitMs);
  try {
    for (let pauseMs = FIRST_PAUSE_MS; !ended.signal.aborted; pauseMs = nextPause(pauseMs)) {
      await delay(pauseMs, undefined, { signal: ended.signal }).catch(ignoreAbort);
      if (ended.signal.aborted) break;
      const socket = createConnection({ host: address, port });
      attempts.add(socket);
      socket.once('connect', () => {
        state = 'open';
        ended.abort();
      });
      socket.once('error', (error: NodeJS.ErrnoException) => {
        attempts.delete(socket);
        if (error.code === 'ECONNREFUSED' && state === 'silent') state = 'refused';
      });
      dropOldest(attempts);
    }
    return state;
  } finally {
    clearTimeout(timer);
    for (const socket of attempts) socket.destroy();
  }
}

/** The packet needs a moment to get there and be verified. */
const FIRST_PAUSE_MS = 2;
const MAX_PAUSE_MS = 50;
/** With the longest pause: an answer may take three seconds. */
const MAX_ATTEMPTS = 60;

function nextPause(pauseMs: number): number {
  return pauseMs < 10 ? 10 : Math.min(pauseMs * 1.25, MAX_PAUSE_MS);
}

function dropOldest(attempts: Set<Socket>): void {
  const [oldest] = attempts;
  if (oldest === undefined || attempts.size <= MAX_ATTEMPTS) return;
  attempts.delete(oldest);
  oldest.destroy();
}

/** An aborted pause is the end of waiting, which the loop sees itself. */
function ignoreAbort(): void {}
