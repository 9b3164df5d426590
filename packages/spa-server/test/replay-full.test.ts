import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lacking } from 'spa-lab';
import t from 'tap';

t.test(
  'on a file system that is full claims are refused, none is accepted twice, and with room it goes on',
  { skip: lacking('mount') },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'replay-full-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const program = fileURLToPath(new URL('replay-full-process.js', import.meta.url));
    // LMDB complains on stderr, too.
    const { stdout } = spawnSync('unshare', ['-m', process.execPath, program, folder], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const found = JSON.parse(stdout);
    t.ok(found.refused > 0, 'it was full');
    t.match(found.errors, [
      /^ReplayError: replay store .*: its file system is full; make room, and it goes on$/,
    ]);
    t.equal(found.errors.length, 1);
    t.equal(found.acceptedTwice, 0);
    t.equal(found.refusedAfterwards, 0);
  },
);
