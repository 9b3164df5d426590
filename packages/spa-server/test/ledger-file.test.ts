import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { until } from 'spa-lab';
import t, { type Test } from 'tap';
import type { LiveGrant } from '../src/grants/ledger.ts';
import { openLedgerFile, readLedgerFile } from '../src/grants/ledger-file.ts';
import { addressOf, portsOf } from './gate.ts';

t.test('what was added and not taken away is read again; the file is for its owner only', async (t) => {
  const { path, open } = makeFile(t);
  t.same(
    readLedgerFile(path),
    { grants: [], revoked: [], mark: null, damagedLines: 0 },
    'no file has no grants',
  );
  const { file } = open([]);
  const grants = [1, 2, 3].map(grantOf);
  grants.forEach(file.added);
  file.revoked(['id2']);
  t.same(readLedgerFile(path), {
    grants: [grants[0], grants[2]],
    revoked: [grants[1]],
    mark: null,
    damagedLines: 0,
  });
  t.equal(statSync(path).mode & 0o777, 0o600);
  file.close();
  open([grantOf(7)]).file.close();
  t.same(readLedgerFile(path).grants, [grantOf(7)], 'a file that is opened is what the ledger says');
});

t.test(
  'a file says in what the doors are, also when it was written anew, but not if it lacks lines',
  async (t) => {
    const { path, open } = makeFile(t);
    const { file } = open([]);
    file.marked('inet spa 1 2 3');
    t.equal(readLedgerFile(path).mark, 'inet spa 1 2 3');
    for (let i = 0; i < 10_010; i++) file.added(grantOf(i));
    await until('the file is small', () => readFileSync(path, 'utf8').split('\n').length < 10_000);
    t.equal(readLedgerFile(path).mark, 'inet spa 1 2 3');
    file.marked('inet spa 4 2 3');
    t.equal(readLedgerFile(path).mark, 'inet spa 4 2 3');
    file.close();
    appendFileSync(path, '{"id":');
    t.equal(readLedgerFile(path).mark, null, 'the last line is torn');
    appendFileSync(path, '\n');
    t.equal(readLedgerFile(path).mark, null);
  },
);

t.test('a last line that a crash tore is passed over, and damage is counted', async (t) => {
  const { path, open } = makeFile(t);
  const { file } = open([]);
  file.added(grantOf(1));
  file.added(grantOf(2));
  file.close();
  truncateSync(path, statSync(path).size - 5);
  t.same(readLedgerFile(path), { grants: [grantOf(1)], revoked: [], mark: null, damagedLines: 0 });
  const damage = ['null', '{', '{"id":7}', '\0\0\0', JSON.stringify({ ...grantOf(3), ports: 'tcp/0' })];
  appendFileSync(path, `\n${damage.join('\n')}\n${JSON.stringify({ revoked: 'id1' })}\n`);
  t.same(readLedgerFile(path), {
    grants: [],
    revoked: [grantOf(1)],
    mark: null,
    damagedLines: 1 + damage.length,
  });
});

t.test('a file of another boot has no grants: its clock was another', async (t) => {
  const { path, open } = makeFile(t);
  open([grantOf(1)]).file.close();
  writeFileSync(path, readFileSync(path, 'utf8').replace(/"boot":"[^"]*"/, '"boot":"another"'));
  t.same(readLedgerFile(path).grants, []);
});

t.test('the file stays small, however many grants come and go, and loses none meanwhile', async (t) => {
  const { path, open } = makeFile(t);
  const { file, grants, troubles } = open([]);
  for (let i = 0; i < 60_000; i++) {
    const grant = grantOf(i);
    grants.set(grant.id, grant);
    file.added(grant);
    const old = `id${i - 2_000}`;
    if (grants.delete(old)) file.revoked([old]);
    // Lets the file be written anew while more comes.
    if (i % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until('it is small', () => statSync(path).size < 15_000 * 200);
  t.same(
    readLedgerFile(path)
      .grants.map(({ id }) => id)
      .sort(),
    [...grants.keys()].sort(),
  );
  t.same(troubles, []);
  file.close();
});

t.test('a file that cannot be written is told once, and is right again once it can', async (t) => {
  const { path, open } = makeFile(t);
  const { file, grants, troubles } = open([]);
  const add = (number: number): void => {
    grants.set(`id${number}`, grantOf(number));
    file.added(grantOf(number));
  };
  rmSync(dirname(path), { recursive: true });
  add(1);
  // So many that the file is written anew, where there is no folder.
  for (let i = 0; i < 10_000; i++) file.revoked(['id0']);
  await until('trouble', () => troubles.length > 0);
  for (let i = 2; i < 5; i++) {
    add(i);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.match(troubles, [{ code: 'ENOENT' }], 'once');
  mkdirSync(dirname(path));
  add(5);
  await until('all well', () => troubles.length === 2);
  t.equal(troubles[1], null);
  t.equal(readLedgerFile(path).grants.length, 5);
  file.close();
});

function makeFile(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'ledger-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'run', 'grants');
  const open = (initial: readonly LiveGrant[]) => {
    const grants = new Map(initial.map((grant) => [grant.id, grant]));
    const troubles: (Error | null)[] = [];
    const onTrouble = (error: Error | null): void => {
      troubles.push(error);
    };
    return {
      grants,
      troubles,
      file: openLedgerFile({ path, grants: () => [...grants.values()], onTrouble }),
    };
  };
  return { path, open };
}

function grantOf(number: number): LiveGrant {
  return {
    id: `id${number}`,
    operator: number % 2 === 0 ? null : 'A'.repeat(40),
    username: 'alice "the\n" 1st',
    stanza: 1,
    address: addressOf(number % 3 === 0 ? '2001:db8::7' : '192.0.2.7'),
    ports: portsOf('tcp/22,udp/53'),
    endsAt: 30_000 + number,
  };
}
