import t from 'tap';
import { createTokenBuckets } from '../src/transport/token-buckets.ts';

const budget = { burst: 3, perSecond: 2 };

t.test('a burst goes through, then so many a second, never more than a burst', async (t) => {
  let now = 0;
  const buckets = createTokenBuckets(budget, 10, () => now);
  const takeAll = (name: string): number => {
    let taken = 0;
    while (buckets.take(name)) taken += 1;
    return taken;
  };
  t.equal(takeAll('a'), 3);
  t.equal(takeAll('b'), 3, 'each has its own');
  now = 499;
  t.equal(takeAll('a'), 0);
  now = 1000;
  t.equal(takeAll('a'), 2);
  now = 1_000_000;
  t.equal(takeAll('a'), 3);
  now = 0;
  t.equal(takeAll('a'), 0, 'a clock that goes back gives nothing');
});

t.test('a token that is given back can be taken again, above the burst it is lost', async (t) => {
  const buckets = createTokenBuckets(budget, 10, () => 0);
  for (let i = 0; i < 3; i++) buckets.take('a');
  buckets.give('a');
  t.ok(buckets.take('a'));
  t.notOk(buckets.take('a'));
  for (let i = 0; i < 10; i++) buckets.give('a');
  t.same(
    [1, 2, 3, 4].map(() => buckets.take('a')),
    [true, true, true, false],
  );
});

t.test('whoever was seen the longest ago is forgotten, and nobody else', async (t) => {
  const buckets = createTokenBuckets(budget, 2, () => 0);
  for (const name of ['a', 'a', 'a', 'b', 'b', 'b']) t.ok(buckets.take(name));
  t.notOk(buckets.take('a'));
  t.ok(buckets.take('c'), 'b is forgotten');
  t.notOk(buckets.take('a'));
  t.ok(buckets.take('b'));
});
