import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lacking } from 'spa-lab';
import t, { type Test } from 'tap';

const options = { skip: lacking('mount') };

t.test(
  'on a file system that is full claims are refused, none is accepted twice, and with room it goes on',
  options,
  async (t) => {
    const found = run(t, 'claims') as Readonly<Record<string, unknown>> & { readonly errors: string[] };
    t.ok(Number(found.refused) > 0, 'it was full');
    t.match(found.errors, [
      /^ReplayError: replay store .*: its file system is full; make room, and it goes on$/,
    ]);
    t.equal(found.errors.length, 1);
    t.equal(found.acceptedTwice, 0);
    t.equal(found.refusedAfterwards, 0);
  },
);

t.test(
  'a full disk stops nobody: the pages that the store has are enough for the mark',
  options,
  async (t) => {
    t.same(run(t, 'mark'), { claimed: 60 });
  },
);

function run(t: Test, task: string): object {
  const folders = [folderIn(t), folderIn(t)];
  const program = fileURLToPath(new URL('replay-full-process.js', import.meta.url));
  // LMDB complains on stderr, too.
  const { stdout } = spawnSync('unshare', ['-m', process.execPath, program, task, ...folders], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(stdout);
}

function folderIn(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'replay-full-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
