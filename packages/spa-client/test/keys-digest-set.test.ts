import { createHash } from 'node:crypto';
import t from 'tap';
import { digestSet } from '../src/roster/digest-set.ts';

const digestOf = (number: number): string => createHash('sha256').update(String(number)).digest('base64url');

t.test('a set of digests has what was added, once, and nothing else, also when it is read again', (t) => {
  const set = digestSet();
  for (let number = 0; number < 5000; number += 1) set.add(digestOf(number % 3000));
  t.equal(set.size, 3000);
  for (const again of [set, digestSet(Buffer.from(set.octets()))]) {
    again.add(digestOf(3000));
    const numbers = Array.from({ length: 6000 }, (_, number) => number);
    t.same(
      numbers.filter((number) => again.has(digestOf(number))),
      numbers.slice(0, 3001),
    );
    t.equal(again.octets().length, 3001 * 32);
  }
  t.end();
});

t.test('what is no digest is not looked for', (t) => {
  t.throws(() => digestSet().has('short'), RangeError);
  t.end();
});
