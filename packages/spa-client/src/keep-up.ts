/** How an attempt to come up ended. */
export type Attempt =
  | { readonly state: 'up'; readonly ended: Promise<unknown> }
  | { readonly state: 'failed'; readonly status: number; readonly reason: string | null };

/** What happens to something that is kept up. Times in ms. */
export type KeepUpEvent =
  | { readonly kind: 'up' }
  | { readonly kind: 'lost'; readonly retryMs: number }
  | { readonly kind: 'failed'; readonly reason: string | null; readonly retryMs: number }
  | { readonly kind: 'up again'; readonly downMs: number };

/** How to keep it up. */
export interface KeepUpOptions {
  /** Comes up, or does not. `isFirst`: a person is waiting for it. */
  readonly connect: (isFirst: boolean) => Promise<Attempt>;
  readonly onEvent: (event: KeepUpEvent) => void;
  /** Ends it all. */
  readonly signal: AbortSignal;
  /** Ends early at the signal. */
  readonly pause: (ms: number) => Promise<unknown>;
  /** ms since any fixed moment. */
  readonly now: () => number;
}

/**
 * Brings something up, and again each time it is lost, until the signal. Resolves to the status of the first attempt if
 * that fails: what never worked would not work the next time; later, only the person gives up. Else to 0.
 */
export async function keepUp(options: KeepUpOptions): Promise<number> {
  const { connect, onEvent, signal, now } = options;
  const first = await connect(true);
  if (first.state === 'failed') return first.status;
  onEvent({ kind: 'up' });
  let retryMs = FIRST_RETRY_MS;
  for (let current: Up | null = first; current !== null; ) {
    const upSince = now();
    await current.ended;
    if (signal.aborted) break;
    const lostAt = now();
    if (lostAt - upSince >= STEADY_MS) retryMs = FIRST_RETRY_MS;
    onEvent({ kind: 'lost', retryMs });
    [current, retryMs] = await comeBack(options, retryMs);
    if (current !== null) onEvent({ kind: 'up again', downMs: now() - lostAt });
  }
  return 0;
}

type Up = Attempt & { readonly state: 'up' };

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
/** What was up for so long was not the reason for a loss. */
const STEADY_MS = 30_000;

/** Null after the signal; and how long to wait before the attempt that would come next. */
async function comeBack(
  { connect, onEvent, signal, pause }: KeepUpOptions,
  firstRetryMs: number,
): Promise<[Up | null, number]> {
  for (let retryMs = firstRetryMs; ; ) {
    await pause(retryMs);
    if (signal.aborted) return [null, retryMs];
    retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
    const attempt = await connect(false);
    if (signal.aborted) return [null, retryMs];
    if (attempt.state === 'up') return [attempt, retryMs];
    onEvent({ kind: 'failed', reason: attempt.reason, retryMs });
  }
}
