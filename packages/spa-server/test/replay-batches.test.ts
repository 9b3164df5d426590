import t from 'tap';
import { createBatches } from '../src/replay/batches.ts';

t.test('what is asked for in one turn is done in one step, in order', async (t) => {
  const steps: (readonly number[])[] = [];
  const batches = createBatches((items: readonly number[]) => {
    steps.push(items);
    return items.map((item) => 10 * item);
  });
  t.same(await Promise.all([1, 2, 3].map(batches.add)), [10, 20, 30]);
  t.equal(await batches.add(4), 40);
  t.same(steps, [[1, 2, 3], [4]]);
});

t.test('a step that fails fails for all of its items, and for no others', async (t) => {
  const batches = createBatches((items: readonly string[]) => {
    if (items.includes('bad')) throw new Error('it is bad');
    return items;
  });
  const results = await Promise.allSettled(['good', 'bad'].map(batches.add));
  t.match(results, [
    { status: 'rejected', reason: { message: 'it is bad' } },
    { status: 'rejected', reason: { message: 'it is bad' } },
  ]);
  t.equal(await batches.add('good'), 'good');
});

t.test('a flood is done in more steps than one', async (t) => {
  const sizes: number[] = [];
  const batches = createBatches((items: readonly number[]) => {
    sizes.push(items.length);
    return items;
  });
  const items = Array.from({ length: 2000 }, (_, i) => i);
  t.same(await Promise.all(items.map(batches.add)), items);
  t.ok(sizes.length > 1);
  t.ok(Math.max(...sizes) <= 256);
});

t.test('finish does what still waits', async (t) => {
  const batches = createBatches((items: readonly number[]) => items);
  let done = 0;
  const all = Array.from({ length: 1200 }, (_, i) => batches.add(i).then(() => (done += 1)));
  batches.finish();
  await Promise.resolve();
  t.equal(done, 1200);
  await Promise.all(all);
});
