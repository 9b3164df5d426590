import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

t.test('what nobody needs is given back once much has come to it', async (t) => {
  // Of its own: in a process that is large already there is no tidying up.
  const script = fileURLToPath(new URL('memory-process.js', import.meta.url));
  const isThere = JSON.parse(execFileSync(process.execPath, [script], { encoding: 'utf8' }));
  t.same(isThere, { used: true, useless: true, uselessWithOthers: false, others: 500 });
});
