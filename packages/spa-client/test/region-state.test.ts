import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readRegionState, writeRegionState } from '../src/region-state.ts';

const STATE = {
  lastUsedAt: 1_753_000_000_123,
  address: '203.0.113.5',
  openedAt: 1_752_999_999_000,
  roundTripMs: 81.5,
};

/** State lies below an own folder; gives the folder that the states lie in. */
function freshHome(t: Test): string {
  const home = mkdtempSync(join(tmpdir(), 'sshbh-state-'));
  const before = process.env.XDG_STATE_HOME;
  process.env.XDG_STATE_HOME = join(home, 'state');
  t.teardown(() => {
    if (before === undefined) delete process.env.XDG_STATE_HOME;
    else process.env.XDG_STATE_HOME = before;
    rmSync(home, { recursive: true, force: true });
  });
  return join(home, 'state', 'sshbh');
}

t.test('what was written is read again, and a later state takes its place', (t) => {
  const directory = freshHome(t);
  t.equal(readRegionState('us-east-1'), null);
  writeRegionState('us-east-1', STATE);
  t.same(readRegionState('us-east-1'), STATE);
  const later = { ...STATE, address: '2001:db8::5', lastUsedAt: STATE.lastUsedAt + 1 };
  writeRegionState('us-east-1', later);
  t.same(readRegionState('us-east-1'), later);
  t.equal(readdirSync(directory).length, 1, 'no draft stays behind');
  t.end();
});

t.test('nobody else can read it', (t) => {
  const directory = freshHome(t);
  writeRegionState('us-east-1', STATE);
  const [file = ''] = readdirSync(directory);
  t.equal(statSync(directory).mode & 0o777, 0o700);
  t.equal(statSync(join(directory, file)).mode & 0o777, 0o600);
  t.end();
});

t.test('any name is safe, and no two regions share a state', (t) => {
  const directory = freshHome(t);
  const names = [
    '../../etc/passwd',
    '..',
    '.',
    'a/b',
    'a_b',
    'a b',
    'a?b',
    `\0`,
    '日本',
    '日木',
    'x'.repeat(5000),
    '$(touch x)',
  ];
  for (const [index, name] of names.entries()) writeRegionState(name, { ...STATE, roundTripMs: index });
  t.equal(readdirSync(directory).length, names.length);
  for (const [index, name] of names.entries())
    t.equal(readRegionState(name)?.roundTripMs, index, JSON.stringify(name.slice(0, 20)));
  t.end();
});

t.test('a region is one in any case, as in the rc file', (t) => {
  freshHome(t);
  writeRegionState('US-East-1', STATE);
  t.same(readRegionState('us-east-1'), STATE);
  t.end();
});

t.test('what is corrupt or foreign counts as nothing', (t) => {
  const directory = freshHome(t);
  writeRegionState('us-east-1', STATE);
  const [name = ''] = readdirSync(directory);
  const file = join(directory, name);
  const good = readFileSync(file, 'utf8');
  const foreign = [
    '',
    'null',
    '[]',
    '"text"',
    good.slice(0, -5),
    good.replace('us-east-1', 'eu-west-1'),
    good.replace('203.0.113.5', '-oProxyCommand=x'),
    good.replace('81.5', '"81.5"'),
    good.replace('81.5', '-1'),
    good.replace('1753000000123', '1e300'),
  ];
  for (const content of foreign) {
    writeFileSync(file, content);
    t.equal(readRegionState('us-east-1'), null, content);
  }
  t.end();
});

t.test('a state that cannot be written or read stands in nobody’s way', (t) => {
  const directory = freshHome(t);
  writeFileSync(join(directory, '..', '..', 'file'), '');
  process.env.XDG_STATE_HOME = join(directory, '..', '..', 'file', 'below');
  writeRegionState('us-east-1', STATE);
  t.equal(readRegionState('us-east-1'), null);
  t.end();
});

t.test('it lies in ~/.local/state unless XDG_STATE_HOME names a folder', (t) => {
  const directory = freshHome(t);
  const home = join(directory, '..', '..');
  const before = process.env.HOME;
  t.teardown(() => {
    process.env.HOME = before;
  });
  process.env.HOME = home;
  for (const none of ['', 'relative']) {
    process.env.XDG_STATE_HOME = none;
    writeRegionState(`region-${none}`, STATE);
    t.same(readRegionState(`region-${none}`), STATE);
  }
  t.equal(readdirSync(join(home, '.local', 'state', 'sshbh')).length, 2);
  t.end();
});
