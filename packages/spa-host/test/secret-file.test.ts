import {
  chmodSync,
  chownSync,
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
import t from 'tap';
import {
  ConfigError,
  readGuardedFile,
  readPrivateFile,
  readTrustedFile,
  writePrivateFile,
} from '../src/index.ts';

const directory = mkdtempSync(join(tmpdir(), 'spa-secret-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

function file(name: string, mode: number): string {
  const path = join(directory, name);
  writeFileSync(path, 'secret');
  chmodSync(path, mode);
  return path;
}

t.test('a file that only its owner can read is read', async (t) => {
  t.equal(readPrivateFile(file('own', 0o600)).toString(), 'secret');
  t.equal(readPrivateFile(file('read-only', 0o400)).toString(), 'secret');
});

t.test('a file that others can read or write is refused, with the command that mends it', async (t) => {
  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o644]) {
    const path = file(`m${mode.toString(8)}`, mode);
    t.throws(() => readPrivateFile(path), {
      name: 'ConfigError',
      message: `${path}: holds a secret and others have access to it; run: chmod 600 ${path}`,
    });
  }
});

t.test('the command that mends it can be pasted into a shell, whatever the file is called', async (t) => {
  const path = file("it's $(mine)", 0o644);
  t.match(readGuardedFile(path).exposure, `run: chmod 600 '${directory}/it'\\''s $(mine)'`);
});

t.test('a file of another user is refused', { skip: notRoot() }, async (t) => {
  const path = file('foreign', 0o600);
  chownSync(path, 12_345, 0);
  t.throws(() => readPrivateFile(path), { message: `${path}: holds a secret and belongs to user 12345` });
});

t.test('a guarded file is read although others can read it, and says so', async (t) => {
  const guarded = readGuardedFile(file('guarded', 0o644));
  t.equal(guarded.data.toString(), 'secret');
  t.match(guarded.exposure, /chmod 600/);
  t.equal(readGuardedFile(file('private', 0o600)).exposure, null);
});

t.test('a file that is believed may be read by others, not changed', async (t) => {
  t.equal(readTrustedFile(file('certificate', 0o644)).toString(), 'secret');
  for (const mode of [0o664, 0o646, 0o620]) {
    const path = file(`w${mode.toString(8)}`, mode);
    t.throws(() => readTrustedFile(path), {
      name: 'ConfigError',
      message: `${path}: others can change it; run: chmod go-w ${path}`,
    });
  }
});

t.test("a file that is believed is not another user's", { skip: notRoot() }, async (t) => {
  const path = file('foreign-certificate', 0o644);
  chownSync(path, 12_345, 0);
  t.throws(() => readTrustedFile(path), { message: `${path}: belongs to user 12345; run: chown 0 ${path}` });
});

t.test('nobody can put anything into /dev/null', async (t) => {
  t.equal(readTrustedFile('/dev/null').length, 0);
});

t.test('a missing file and a directory are one clear line', async (t) => {
  const missing = join(directory, 'missing');
  t.throws(() => readPrivateFile(missing), {
    message: `${missing}: cannot be read: there is no such file`,
  });
  t.throws(() => readPrivateFile(directory), {
    message: `${directory}: this is a directory; name a file`,
  });
});

t.test('a device that never ends is not read for ever', async (t) => {
  t.throws(() => readGuardedFile('/dev/zero'), { message: '/dev/zero: is longer than 64 MiB; name another' });
});

t.test('a private file is written with mode 0600, whatever was there and whatever the umask', async (t) => {
  const before = process.umask(0);
  t.teardown(() => process.umask(before));
  const fresh = join(directory, 'fresh');
  writePrivateFile(fresh, 'one');
  const old = file('old', 0o644);
  writePrivateFile(old, 'two');
  for (const path of [fresh, old]) t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(readFileSync(old, 'utf8'), 'two');
});

t.test('writing through a symbolic link replaces the file behind it and keeps the link', async (t) => {
  const target = file('target', 0o600);
  const link = join(directory, 'link');
  symlinkSync(target, link);
  writePrivateFile(link, 'new');
  t.equal(readFileSync(target, 'utf8'), 'new');
});

t.test(
  'a device, a directory and a path without a directory are refused and nothing is left behind',
  async (t) => {
    const inside = join(directory, 'inside');
    mkdirSync(inside);
    t.throws(() => writePrivateFile('/dev/null', 'x'), ConfigError);
    t.throws(() => writePrivateFile(inside, 'x'), ConfigError);
    t.throws(() => writePrivateFile(join(directory, 'nowhere', 'x'), 'x'), ConfigError);
    t.same(readdirSync(inside), []);
  },
);

function notRoot(): string | false {
  return process.getuid?.() === 0 ? false : 'only root can give files away';
}
