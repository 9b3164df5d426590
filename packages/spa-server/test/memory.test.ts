import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createTidying } from '../src/system/memory.ts';

t.test('it is tidied up when a megabyte has come to what was left, and not if that takes long', async (t) => {
  const live = { megabytes: 10 };
  let garbage = 0;
  const tidyUp = createTidying({
    usedBytes: () => (live.megabytes + garbage) * 1024 * 1024,
    collect: () => {
      garbage = 0;
    },
  });
  const left = (megabytes: number): number => {
    garbage = megabytes;
    tidyUp();
    return garbage;
  };
  t.equal(left(5), 0, 'at the first look');
  t.equal(left(0.5), 0.5);
  t.equal(left(1), 0);
  live.megabytes = 40;
  t.equal(left(7), 0);
  t.equal(left(9), 9, 'more than can be done at once');
  live.megabytes = 10;
  t.equal(left(0), 0);
  t.equal(left(2), 0, 'after much was there, and went by itself');
});

t.test('what nobody needs is given back once much has come to it', async (t) => {
  // Of its own: in a process that is large already there is no tidying up.
  const script = fileURLToPath(new URL('memory-process.js', import.meta.url));
  const isThere = JSON.parse(execFileSync(process.execPath, [script], { encoding: 'utf8' }));
  t.same(isThere, { used: true, useless: true, uselessWithOthers: false, others: 500 });
});
