import * as fc from 'fast-check';
import t from 'tap';
import { createFairQueue, type FairQueue } from '../src/transport/fair-queue.ts';

t.test('sources take turns, the newest first, each in its own order', async (t) => {
  const queue = queueOf('a1', 'a2', 'a3', 'b1', 'c1', 'c2');
  t.same(drain(queue), ['c1', 'b1', 'a1', 'c2', 'a2', 'a3']);
  t.equal(queue.next(), null);
});

t.test('who comes while others are served comes before those who were served', async (t) => {
  const queue = queueOf('a1', 'a2', 'a3');
  t.equal(queue.next(), 'a1');
  queue.add('b', 'b1');
  queue.add('a', 'a4');
  t.same(drain(queue), ['b1', 'a2', 'a3', 'a4']);
});

t.test('the oldest of the source whose turn is furthest away is evicted', async (t) => {
  const queue = queueOf('a1', 'a2', 'b1', 'c1');
  t.equal(queue.evict(), 'a1');
  t.equal(queue.next(), 'c1');
  t.equal(queue.size, 2);
  t.equal(createFairQueue<string>().evict(), null);
});

t.test('nothing is lost or doubled, and no source waits for more than one turn of each other', async (t) => {
  const step = fc.oneof(
    fc.constantFrom('a', 'b', 'c', 'd').map((source) => ({ do: 'add' as const, source })),
    fc.constant({ do: 'next' as const }),
    fc.constant({ do: 'evict' as const }),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue = createFairQueue<string>();
        const waiting = new Set<string>();
        for (const [number, one] of steps.entries()) {
          if (one.do === 'add') {
            queue.add(one.source, `${one.source}${number}`);
            waiting.add(`${one.source}${number}`);
          } else {
            const item = queue[one.do]();
            if ((item === null) !== (waiting.size === 0)) return false;
            if (item !== null && !waiting.delete(item)) return false;
          }
          if (queue.size !== waiting.size) return false;
        }
        const sources = new Set([...waiting].map((item) => item.charAt(0)));
        const first = Array.from(sources, () => queue.next()?.charAt(0));
        return new Set(first).size === sources.size;
      }),
    ),
  );
});

function queueOf(...items: readonly string[]): FairQueue<string> {
  const queue = createFairQueue<string>();
  for (const item of items) queue.add(item.charAt(0), item);
  return queue;
}

function drain(queue: FairQueue<string>): readonly string[] {
  return Array.from({ length: queue.size }, () => queue.next() ?? '');
}
