import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { changeFiles } from '../src/roster/change-set.ts';
import { withFolderLock } from '../src/roster/folder-lock.ts';
import { readSettled } from '../src/roster/settled-folder.ts';
import { filesOf, generationOf } from './keys-folder-files.ts';

t.setTimeout(120_000);

const CHILD = fileURLToPath(new URL('./keys-folder-child.js', import.meta.url));

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'keys-folder-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function start(t: Test, what: string, folder: string): ChildProcess {
  const child = spawn(process.execPath, [CHILD, what, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

/** What a run that had decided those changes would have left there. */
function manifestOf(pending: string, changes: readonly object[]): string {
  const { dev, ino } = statSync(pending);
  return JSON.stringify({ format: 'spa-keys changes 2', place: `${dev} ${ino}`, changes });
}

async function kill(child: ChildProcess): Promise<void> {
  const end = once(child, 'exit');
  child.kill('SIGKILL');
  await end;
}

t.test('a run that is killed at any moment leaves the old state or the new one', async (t) => {
  const folder = folderOf(t);
  let last = 0;
  for (let round = 0; round < 25; round += 1) {
    const child = start(t, 'change', folder);
    await once(child.stdout ?? child, 'data');
    await sleep(Math.random() * 20);
    await kill(child);
    const generation = await withFolderLock(folder, () => generationOf(folder));
    t.ok(generation > last, `round ${round}: ${last} to ${generation}`);
    last = generation;
    const leftOvers = readdirSync(join(folder, '.spa-keys')).filter((name) => /^draft-|^pending/.test(name));
    t.same(leftOvers, []);
  }
});

t.test('whoever reads without the lock never sees a mixture', async (t) => {
  const folder = folderOf(t);
  const child = start(t, 'change', folder);
  await once(child.stdout ?? child, 'data');
  const seen = new Set<number>();
  for (let count = 0; count < 100 || seen.size < 2; count += 1) {
    const generation = await readSettled(folder, () => generationOf(folder));
    seen.add(generation);
  }
  t.notOk([...seen].some(Number.isNaN));
  await kill(child);
});

t.test('whoever only reads ends what a killed run had decided', async (t) => {
  const folder = folderOf(t);
  await changeFiles(folder, filesOf(1));
  // As it is a moment after the rename that decides: files are where they were.
  const pending = join(folder, '.spa-keys', 'pending');
  mkdirSync(pending);
  const changes = [...filesOf(2)].map(([path, text], index) => {
    if (text !== null) writeFileSync(join(pending, String(index)), text);
    return { path, draft: text === null ? null : String(index) };
  });
  writeFileSync(join(pending, 'manifest.json'), manifestOf(pending, changes));
  t.equal(await readSettled(folder, () => generationOf(folder)), 2);
  t.notOk(existsSync(pending));
});

t.test('several runs at once do not mix, and none of their changes is lost', async (t) => {
  const folder = folderOf(t);
  const children = [1, 2, 3].map(() => start(t, 'add', folder));
  const ends = await Promise.all(children.map((child) => once(child, 'exit')));
  t.same(
    ends.map(([code]) => code),
    [0, 0, 0],
  );
  t.equal(generationOf(folder), 30);
});

t.test('the second run says who is at it; the lock of a killed run is taken over', async (t) => {
  const folder = folderOf(t);
  const child = start(t, 'hold', folder);
  await once(child.stdout ?? child, 'data');
  await t.rejects(
    withFolderLock(folder, () => 1),
    {
      name: 'FolderBusyError',
      message: new RegExp(
        `^${folder}: keys-folder-child.js hold works on it since \\S+Z, as process ${child.pid}$`,
      ),
    },
  );
  await kill(child);
  t.equal(await withFolderLock(folder, () => 'mine'), 'mine');
  t.equal(await withFolderLock(folder, () => 'again'), 'again', 'and given back');
  await t.rejects(
    withFolderLock(folder, async () => {
      throw new Error('odd');
    }),
    { message: 'odd' },
  );
  t.equal(await withFolderLock(folder, () => 'free'), 'free', 'also after a failure');
});

t.test('a process that has the number of the one that was killed does not hold its lock', async (t) => {
  const folder = folderOf(t);
  const child = start(t, 'hold', folder);
  await once(child.stdout ?? child, 'data');
  await kill(child);
  const lock = join(folder, '.spa-keys', 'lock.1');
  const holder = JSON.parse(readFileSync(lock, 'utf8'));
  writeFileSync(lock, JSON.stringify({ ...holder, pid: process.pid }));
  t.equal(await withFolderLock(folder, () => 'mine'), 'mine');
  writeFileSync(join(folder, '.spa-keys', 'lock.9'), JSON.stringify({ ...holder, host: 'elsewhere' }));
  await t.rejects(
    withFolderLock(folder, () => 1),
    { message: / on elsewhere; if it is dead, remove .*lock\.9$/ },
  );
});

t.test('files and folders have the modes that were asked for, whatever the umask', async (t) => {
  const folder = folderOf(t);
  const before = process.umask(0o277);
  t.teardown(() => process.umask(before));
  process.umask(0);
  await changeFiles(folder, new Map([['keys/one', 'secret']]), 0o600);
  process.umask(0o077);
  await changeFiles(folder, new Map([['certificates/two', 'public']]));
  t.equal(statSync(join(folder, 'keys/one')).mode & 0o777, 0o600);
  t.equal(statSync(join(folder, 'keys')).mode & 0o777, 0o700);
  t.equal(statSync(join(folder, 'certificates/two')).mode & 0o777, 0o644);
  t.equal(readFileSync(join(folder, '.spa-keys/.gitignore'), 'utf8'), '*\n');
});

t.test('no path leads out of the folder', async (t) => {
  const folder = folderOf(t);
  const outside = folderOf(t);
  symlinkSync(outside, join(folder, 'link'));
  for (const path of [
    '../x',
    '/x',
    'a/../../x',
    '',
    'a//b',
    '.git/hooks/x',
    '.spa-keys/lock.1',
    'link/x',
    './x',
  ]) {
    await t.rejects(changeFiles(folder, new Map([[path, 'x']])), { name: 'ConfigError' }, path);
  }
  t.same(readdirSync(outside), []);
  // Somebody else's folder may come with a change of its own.
  mkdirSync(join(folder, '.spa-keys/pending'), { recursive: true });
  const pending = join(folder, '.spa-keys', 'pending');
  writeFileSync(join(pending, 'manifest.json'), manifestOf(pending, [{ path: 'link/x', draft: '0' }]));
  writeFileSync(join(folder, '.spa-keys/pending/0'), 'x');
  await t.rejects(
    withFolderLock(folder, () => 1),
    { name: 'ConfigError', message: /link: is no folder/ },
  );
  t.same(readdirSync(outside), []);
});

t.test('a change that cannot be written changes nothing', async (t) => {
  const folder = folderOf(t);
  await changeFiles(folder, filesOf(1));
  await t.rejects(changeFiles(join(folder, 'nowhere'), filesOf(2)), { name: 'ConfigError' });
  await t.rejects(changeFiles(folder, new Map([...filesOf(2), ['a/b', 'x']])), {
    name: 'ConfigError',
    message: /a: is no folder/,
  });
  t.equal(generationOf(folder), 1);
  chmodSync(folder, 0o700);
  t.notOk(existsSync(join(folder, 'odd', 'nothing')));
});
