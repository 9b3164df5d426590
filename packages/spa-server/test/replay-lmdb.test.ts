import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { openReplayStore } from '../src/replay/lmdb.ts';
import { idOf, testReplayStore } from './replay-contract.ts';

testReplayStore(t, (t, nowSeconds) => openReplayStore(folderOf(t), nowSeconds));

t.test('what was claimed is remembered when the store is opened again, and so is the floor', async (t) => {
  const folder = folderOf(t);
  const before = await openReplayStore(folder, 999);
  await before.claim({ id: idOf('a'), timestampSeconds: 1500 });
  await before.raiseFloor(1200);
  await before.close();
  const after = await openReplayStore(folder, 5000);
  t.teardown(() => after.close());
  t.equal(after.floorSeconds, 1200, 'not the present: nothing was lost');
  t.equal(await after.claim({ id: idOf('a'), timestampSeconds: 1500 }), 'replayed');
  t.equal(await after.claim({ id: idOf('b'), timestampSeconds: 1200 }), 'claimed');
});

t.test('what was claimed is remembered when the process is killed right after', async (t) => {
  const folder = folderOf(t);
  const other = startProcess(t, folder, 999);
  t.equal(await other.ask('claim a 1500'), 'claimed');
  await other.kill();
  const store = await openReplayStore(folder, 5000);
  t.teardown(() => store.close());
  t.equal(await store.claim({ id: idOf('a'), timestampSeconds: 1500 }), 'replayed');
  t.equal(store.floorSeconds, 1000);
});

t.test('processes with the same store share its messages and its floor', async (t) => {
  const folder = folderOf(t);
  const store = await openReplayStore(folder, 999);
  t.teardown(() => store.close());
  const other = startProcess(t, folder, 5000);
  t.equal(await other.ask('claim a 1500'), 'claimed');
  t.equal(await store.claim({ id: idOf('a'), timestampSeconds: 1500 }), 'replayed');
  t.equal(await other.ask('raise 2000'), '2000');
  t.equal(
    await store.claim({ id: idOf('a'), timestampSeconds: 1500 }),
    'before-floor',
    'the other process has forgotten it',
  );
  await store.raiseFloor(1700);
  t.equal(store.floorSeconds, 2000);
  t.equal(await other.ask('claim b 1999'), 'before-floor');
});

t.test('thousands of old messages are forgotten', async (t) => {
  const folder = folderOf(t);
  const store = await openReplayStore(folder, 999);
  t.teardown(() => store.close());
  for (let i = 0; i < 200; i++) await store.claim({ id: idOf(`${i}`), timestampSeconds: 1000 + i });
  await store.raiseFloor(1200);
  t.equal(await store.claim({ id: idOf('new'), timestampSeconds: 1200 }), 'claimed');
  t.equal(await store.claim({ id: idOf('199'), timestampSeconds: 1199 }), 'before-floor');
});

t.test('the folder is made, for its owner only', async (t) => {
  const folder = join(folderOf(t), 'run', 'replay');
  const store = await openReplayStore(folder, 999);
  t.teardown(() => store.close());
  t.equal(statSync(folder).mode & 0o777, 0o700);
});

t.test('a store that cannot be opened is one line that names it', async (t) => {
  const places: Readonly<Record<string, string>> = {
    'a file in its place': fileIn(folderOf(t)),
    'a file in the place of its parent': join(fileIn(folderOf(t)), 'replay'),
    'a folder that nobody can write to': '/sys/replay',
    'a data file that is a folder': folderWith(folderOf(t), (path) => mkdirSync(path)),
    'a data file of something else': folderWith(folderOf(t), (path) =>
      writeFileSync(path, 'x'.repeat(16_384)),
    ),
    'a data file of zeros': folderWith(folderOf(t), (path) => writeFileSync(path, Buffer.alloc(16_384))),
    'a data file that is too short': folderWith(folderOf(t), (path) => writeFileSync(path, 'short')),
    'a data file that was cut off': await cutStore(folderOf(t)),
  };
  for (const [what, path] of Object.entries(places)) {
    const error = await openReplayStore(path, 999).catch((error: unknown) => error);
    t.match(error, { name: 'ReplayError' }, what);
    t.match(String(error), path, what);
    t.notMatch(String(error), '\n', what);
  }
});

t.test('an empty data file is a store that begins', async (t) => {
  const store = await openReplayStore(
    folderWith(folderOf(t), (path) => writeFileSync(path, '')),
    999,
  );
  t.teardown(() => store.close());
  t.equal(store.floorSeconds, 1000);
});

t.test('a store that was closed gives an error, and claims nothing', async (t) => {
  const store = await openReplayStore(folderOf(t), 999);
  await store.close();
  await t.rejects(store.claim({ id: idOf('a'), timestampSeconds: 1500 }), { name: 'ReplayError' });
});

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'replay-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function fileIn(folder: string): string {
  const path = join(folder, 'file');
  writeFileSync(path, 'text');
  return path;
}

/** A store whose data file `write` makes. */
function folderWith(parent: string, write: (path: string) => void): string {
  const folder = join(parent, 'replay');
  mkdirSync(folder);
  write(join(folder, 'data.mdb'));
  return folder;
}

/** A store of which a full disk or a crash took the end. */
async function cutStore(folder: string): Promise<string> {
  const store = await openReplayStore(folder, 999);
  for (let i = 0; i < 100; i++) await store.claim({ id: idOf(`${i}`), timestampSeconds: 1000 + i });
  await store.close();
  truncateSync(join(folder, 'data.mdb'), 8192);
  return folder;
}

interface OtherProcess {
  /** One line to it; resolves to its answer. */
  ask(line: string): Promise<string>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

function startProcess(t: Test, folder: string, nowSeconds: number): OtherProcess {
  const program = fileURLToPath(new URL('replay-process.js', import.meta.url));
  const child = spawn(process.execPath, [program, folder, String(nowSeconds)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    ask: async (line) => {
      child.stdin.write(`${line}\n`);
      return (await answers.next()).value ?? 'it has ended';
    },
    kill: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
