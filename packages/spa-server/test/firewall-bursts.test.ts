import t from 'tap';
import { createBursts } from '../src/firewall/bursts.ts';
import { FirewallError } from '../src/firewall/firewall.ts';
import { createTurns } from '../src/firewall/in-turn.ts';

/** Bursts of numbers, each of its own weight; a change that `refuse` has an error for fails with it. */
function burstsOf(refuse: (items: readonly number[]) => Error | null): {
  readonly add: (item: number) => Promise<string>;
  readonly changes: (readonly number[])[];
} {
  const changes: (readonly number[])[] = [];
  const change = async (items: readonly number[]): Promise<readonly string[]> => {
    changes.push(items);
    await new Promise((resolve) => setImmediate(resolve));
    const error = refuse(items);
    if (error !== null) throw error;
    return items.map(String);
  };
  const add = createBursts<number, string>({
    inTurn: createTurns(),
    weight: (item) => item,
    limit: () => 10,
    change,
    changeAlone: async (item) => (await change([item]))[0] ?? '',
  });
  return { add, changes };
}

t.test('what comes while a change is under way shares the next, as far as there is room', async (t) => {
  const { add, changes } = burstsOf(() => null);
  const first = add(1);
  await Promise.resolve();
  const results = await Promise.all([first, ...[2, 3, 4, 20, 5, 5].map(add)]);
  t.same(results, ['1', '2', '3', '4', '20', '5', '5'], 'each has its own result');
  t.same(changes, [[1], [2, 3, 4], [20], [5, 5]]);
});

t.test('only the one at fault fails when a burst is refused', async (t) => {
  const refusal = new FirewallError('nft', 1, 'no');
  const { add, changes } = burstsOf((items) => (items.includes(3) ? refusal : null));
  const outcomes = await Promise.allSettled([1, 2, 3, 4].map(add));
  t.same(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  );
  t.same(changes, [[1, 2, 3, 4], [1], [2], [3], [4]]);
});

t.test('nothing is tried again when nobody knows what has become of it, or nobody may', async (t) => {
  for (const error of [
    new FirewallError('nft', null, 'no answer within 5000 ms'),
    new FirewallError('nft', 1, 'Operation not permitted'),
    new TypeError(),
  ]) {
    const { add, changes } = burstsOf(() => error);
    const outcomes = await Promise.allSettled([1, 2, 3].map(add));
    t.ok(outcomes.every(({ status }) => status === 'rejected'));
    t.equal(changes.length, 1);
  }
});
