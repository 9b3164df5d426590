import t, { type Test } from 'tap';
import { type Attempt, type KeepUpEvent, keepUp } from '../src/keep-up.ts';

/** What is up for so many seconds, or does not come up. */
type Fate = number | 'failed';

/** Keeps up what has these fates one after the other, then ends it. Time is what the waits add up to. */
async function live(fates: readonly Fate[]): Promise<{ status: number; events: readonly KeepUpEvent[] }> {
  const end = new AbortController();
  const events: KeepUpEvent[] = [];
  const left = [...fates];
  let now = 0;
  const connect = async (isFirst: boolean): Promise<Attempt> => {
    if (isFirst !== (left.length === fates.length)) throw new Error('which is the first?');
    const fate = left.shift();
    if (fate === undefined) end.abort();
    if (typeof fate !== 'number') return { state: 'failed', status: 42, reason: 'no network' };
    // Time goes on only when the end is waited for.
    const ended = {
      // biome-ignore lint/suspicious/noThenProperty: a promise that sets the clock
      then: (resolve: (value: unknown) => void) => {
        now += fate * 1000;
        resolve(null);
      },
    } as unknown as Promise<unknown>;
    return { state: 'up', ended };
  };
  const status = await keepUp({
    connect,
    onEvent: (event) => events.push(event),
    signal: end.signal,
    pause: async (ms) => {
      now += ms;
    },
    now: () => now,
  });
  return { status, events };
}

function retries({ events }: { readonly events: readonly KeepUpEvent[] }): readonly number[] {
  return events.flatMap((event) => ('retryMs' in event ? [event.retryMs / 1000] : []));
}

t.test('what never comes up is not tried again', async (t) => {
  t.same(await live(['failed', 1]), { status: 42, events: [] });
});

t.test('what is lost comes up again, and says how long it was down', async (t) => {
  t.same(await live([60, 'failed', 60]), {
    status: 0,
    events: [
      { kind: 'up' },
      { kind: 'lost', retryMs: 1000 },
      { kind: 'failed', reason: 'no network', retryMs: 2000 },
      { kind: 'up again', downMs: 3000 },
      { kind: 'lost', retryMs: 1000 },
    ],
  });
});

t.test('the pauses double up to half a minute, for ever', async (t: Test) => {
  const fates = [1, ...new Array<Fate>(8).fill('failed')];
  t.same(retries(await live(fates)), [1, 2, 4, 8, 16, 30, 30, 30, 30]);
});

t.test(
  'what is lost again and again is tried less and less often, until it was up for a while',
  async (t) => {
    t.same(retries(await live([1, 1, 1, 1, 29, 30, 1])), [1, 2, 4, 8, 16, 1, 2]);
  },
);
