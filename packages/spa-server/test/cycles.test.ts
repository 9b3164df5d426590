import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from 'spa-lab';
import t, { type Test } from 'tap';
import { type CommandOrigin, type CycleJournal, openCycleJournal } from '../src/commands/cycle-journal.ts';
import { type CycleRound, Cycles, roundOf } from '../src/commands/cycles.ts';
import type { Ending } from '../src/commands/execute.ts';
import { addressOf, portsOf } from './gate.ts';

const OK: Ending = { kind: 'ended', status: 0 };
const FAILED: Ending = { kind: 'ended', status: 1 };
const HUNG: Ending = { kind: 'killed' };
const MISSING: Ending = { kind: 'not-started', problem: 'no such program' };

t.test('open runs when its close is written down, and close when its time is up', async (t) => {
  const rig = makeRig(t);
  const cycles = await rig.start();
  rig.onRun = () => t.equal(rig.files().length, 1, 'it is in the journal before anything runs');
  t.equal(await cycles.begin(round('a', 0.2)), 'begun');
  rig.onRun = () => {};
  await until('it is closed', () => rig.ran.includes('close a'));
  t.same(rig.ran, ['open a', 'close a']);
  await until('it is forgotten', () => rig.files().length === 0);
  t.equal(cycles.origins().length, 0);
  await cycles.close({ runPending: true });
  t.same(rig.ran, ['open a', 'close a']);
});

t.test('who asks again has more time; what was opened twice is closed twice, and no more', async (t) => {
  const rig = makeRig(t);
  const cycles = await rig.start();
  await cycles.begin(round('a', 0.1));
  await cycles.begin(round('a', 0.6));
  await cycles.begin(round('a', 0.1));
  await cycles.begin(round('b', 0.3));
  rig.endings.set('close a', [OK, FAILED, OK]);
  await until('all is closed', () => cycles.origins().length === 0);
  t.same(rig.ran, ['open a', 'open a', 'open a', 'open b', 'close b', 'close a', 'close a']);
  t.same(
    rig.told.filter((line) => line.startsWith('closing')),
    ['closing close b', 'closing close a'],
  );
});

t.test(
  'whatever ended the daemon, the next one closes: what is overdue at once, the rest in its time',
  async (t) => {
    const rig = makeRig(t);
    const first = await rig.start();
    await first.begin(round('long', 600));
    await first.begin(round('short', 20));
    // The first is not closed: it was killed. It has no more say.
    rig.ran.length = 0;
    rig.wallOffset = 30_000;
    const second = await rig.start();
    await until('the overdue one has run', () => second.origins().length === 1);
    t.same(rig.ran, ['close short']);
    rig.wallOffset = -3_600_000;
    const third = await rig.start();
    t.equal(third.origins().length, 1);
    rig.steadyOffset = 601_000;
    const fourth = await rig.start();
    t.equal(fourth.origins().length, 1, 'a clock that was set back does not prolong it');
    await third.close({ runPending: false });
    t.same(rig.ran, ['close short'], 'what is not due is left to the next daemon');
    await fourth.close({ runPending: true });
    t.same(rig.ran, ['close short', 'close long'], 'or runs at the end');
    t.same(rig.files(), []);
  },
);

t.test('what a killed daemon was still opening is closed once more when it must have ended', async (t) => {
  const rig = makeRig(t);
  rig.limitMs = 30_000;
  const first = await rig.start();
  await first.begin(round('a', 20));
  await first.begin(round('b', 600));
  rig.wallOffset = 20_500;
  rig.steadyOffset = 20_500;
  const second = await rig.start();
  await until('it is closed', () => rig.ran.includes('close a'));
  t.equal(second.origins().length, 2, 'and kept');
  rig.steadyOffset = 31_000;
  await second.revoke({ by: 'user', name: 'nobody' });
  await until('it is closed again', () => second.origins().length === 1);
  t.same(
    rig.ran.filter((line) => line.startsWith('close')),
    ['close a', 'close a'],
  );
  await second.close({ runPending: true });
  t.same(rig.files(), [], 'what lasts longer than any open command is closed once');
  t.equal(rig.ran.filter((line) => line === 'close b').length, 1);
});

t.test('what cannot be written down is not opened', async (t) => {
  const rig = makeRig(t);
  const cycles = await rig.start();
  writeFileSync(rig.folder, 'in the way');
  await t.rejects(cycles.begin(round('a', 60)), {
    name: 'JournalError',
    message: /^its close command cannot be written down: EEXIST/,
  });
  t.same(rig.ran, []);
  t.equal(cycles.origins().length, 0);
  t.equal(await cycles.begin({ ...round('a', 60), close: null }), 'begun', 'NONE needs no journal');
  await cycles.close({ runPending: true });
  t.same(rig.ran, ['open a']);
});

t.test('a close that could not run is kept, and one whose open did not run is not', async (t) => {
  const rig = makeRig(t);
  const cycles = await rig.start();
  rig.endings.set('close a', [HUNG, OK]);
  rig.endings.set('open b', [MISSING]);
  rig.endings.set('open c', [FAILED]);
  await cycles.begin(round('a', 0));
  await cycles.begin(round('b', 600));
  await cycles.begin(round('c', 600));
  await until('a was tried', () => rig.told.some((line) => line === 'close a: tried again in 60 s'));
  await until('b is forgotten', () => cycles.origins().length === 2);
  await cycles.close({ runPending: true });
  t.same([...rig.ran].sort(), ['close a', 'close a', 'close c', 'open a', 'open b', 'open c']);
  t.same(rig.files(), []);
});

t.test('of what was opened three times, what could not be closed is closed later', async (t) => {
  const rig = makeRig(t);
  const cycles = await rig.start();
  for (let opened = 0; opened < 3; opened++) await cycles.begin(round('a', 600));
  rig.endings.set('close a', [OK, HUNG, OK]);
  await cycles.revoke({ by: 'all' });
  await until('one hangs', () => rig.told.some((line) => line === 'close a: tried again in 60 s'));
  t.equal(rig.files().length, 1);
  await cycles.close({ runPending: true });
  t.equal(rig.ran.filter((line) => line === 'close a').length, 4, 'three that closed, and one that hung');
  t.same(rig.files(), []);
});

t.test('an open that hangs keeps nobody else waiting, and only so many run', async (t) => {
  const rig = makeRig(t);
  const cycles = await rig.start();
  let release = (): void => {};
  rig.hold = new Promise<void>((resolve) => {
    release = resolve;
  });
  const begun = Array.from({ length: 16 }, (_, index) => cycles.begin(round(`n${index}`, 600)));
  t.same(new Set(await Promise.all(begun)), new Set(['begun']));
  t.equal(await cycles.begin(round('x', 600)), 'busy');
  t.notMatch(rig.ran, ['open x']);
  rig.hold = null;
  release();
  await until('they have ended', async () => (await cycles.begin(round('x', 600))) === 'begun');
  await cycles.close({ runPending: true });
  t.equal(rig.ran.filter((line) => line.startsWith('close')).length, 17);
});

t.test('what a revocation is meant for is closed now', async (t) => {
  const rig = makeRig(t);
  const cycles = await rig.start();
  await cycles.begin(round('a', 600));
  await cycles.begin({ ...round('b', 600), origin: { ...ORIGIN, username: 'bob' } });
  t.equal(await cycles.revoke({ by: 'user', name: 'bob' }), 1);
  await until('it is closed', () => cycles.origins().length === 1);
  t.same(rig.ran, ['open a', 'open b', 'close b']);
  const beginning = cycles.begin(round('c', 600));
  t.equal(await cycles.revoke({ by: 'all' }), 2, 'also of what is being written down');
  t.equal(await beginning, 'begun');
  await cycles.close({ runPending: false });
  t.same(rig.files(), []);
});

t.test('a round has the words of its stanza and the values of its packet', async (t) => {
  const cycle = {
    open: ['add', '$SRC,$PROTO:$PORT', '$IP/$PKT_SRC/$DST', '$CLIENT_TIMEOUTs'],
    close: ['del', '$SRC', '$TIMEOUT'],
    timerSeconds: 60,
  };
  const [port = { protocol: 'tcp', port: 0 }] = portsOf('udp/53,tcp/22');
  const variables = {
    ...{ address: addressOf('2001:db8::7'), packetSource: addressOf('192.0.2.8'), port },
    ...{ packetDestination: addressOf('192.0.2.1'), timeoutSeconds: 45, timestampSeconds: 1_800_000_000 },
  };
  t.same(roundOf({ cycle, variables }, ORIGIN), {
    open: ['add', '2001:db8::7,17:53', '2001:db8::7/192.0.2.8/192.0.2.1', '45s'],
    close: ['del', '2001:db8::7', '1800000045'],
    seconds: 45,
    origin: ORIGIN,
  });
  const unknown = { cycle: { ...cycle, close: null }, variables: { ...variables, packetDestination: null } };
  t.match(roundOf(unknown, ORIGIN), { open: { 2: '2001:db8::7/192.0.2.8/0.0.0.0' }, close: null });
});

t.test('the journal is run as root, and so nobody else can have written it', async (t) => {
  const rig = makeRig(t);
  const journal = openCycleJournal(rig.folder);
  t.same(await journal.read(), { pending: [], damaged: [] });
  const close = { id: 'ab12', words: ['x', '$y'], dueAt: 5, seconds: 1, opens: 2, origin: ORIGIN };
  await journal.write(close);
  t.same(await journal.read(), { pending: [close], damaged: [] });
  const path = join(rig.folder, 'ab12.json');
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(statSync(rig.folder).mode & 0o777, 0o700);
  writeFileSync(join(rig.folder, 'torn.json.new'), '{"id"');
  writeFileSync(join(rig.folder, 'other.json'), JSON.stringify(close));
  writeFileSync(join(rig.folder, 'empty.json'), '{}', { mode: 0o600 });
  chmodSync(path, 0o666);
  mkdirSync(join(rig.folder, 'folder'));
  symlinkSync('/dev/zero', join(rig.folder, 'link.json'));
  execFileSync('mkfifo', [join(rig.folder, 'pipe.json')]);
  const damaged = ['ab12.json', 'empty.json', 'folder', 'link.json', 'other.json', 'pipe.json'].map((name) =>
    join(rig.folder, name),
  );
  t.same(await journal.read(), { pending: [], damaged });
  await rig.start();
  t.equal(rig.told.length, damaged.length, 'the daemon starts, whatever lies there');
  await journal.remove('ab12');
  t.notOk(existsSync(path));
});

const ADDRESS = addressOf('192.0.2.7');
const ORIGIN: CommandOrigin = {
  ...{ source: ADDRESS, stanza: 1, id: 'f00d', operator: null, username: 'alice', address: ADDRESS },
};

function round(name: string, seconds: number): CycleRound {
  return { open: ['open', name], close: ['close', name], seconds, origin: ORIGIN };
}

interface Rig {
  readonly folder: string;
  readonly ran: string[];
  readonly told: string[];
  /** What commands come to, in turn; the last one stays. Nothing: status 0. */
  readonly endings: Map<string, Ending[]>;
  onRun: () => void;
  hold: Promise<void> | null;
  wallOffset: number;
  steadyOffset: number;
  limitMs: number;
  files(): readonly string[];
  start(): Promise<Cycles>;
}

function makeRig(t: Test): Rig {
  const root = mkdtempSync(join(tmpdir(), 'spa-cycles-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const folder = join(root, 'journal');
  const rig: Rig = {
    folder,
    ran: [],
    told: [],
    endings: new Map(),
    onRun: () => {},
    hold: null,
    wallOffset: 0,
    steadyOffset: 0,
    limitMs: 0,
    files: () => (existsSync(folder) ? readdirSync(folder) : []),
    start: async () => {
      const journal: CycleJournal = openCycleJournal(folder);
      const cycles = new Cycles({
        journal,
        run: async (words) => {
          const command = words.join(' ');
          rig.ran.push(command);
          rig.onRun();
          await rig.hold;
          const endings = rig.endings.get(command) ?? [OK];
          return (endings.length > 1 ? endings.shift() : endings[0]) ?? OK;
        },
        news: {
          closing: (_, words) => rig.told.push(`closing ${words.join(' ')}`),
          ended: (_, words, ending) => rig.told.push(`${words.join(' ')}: ${ending.kind}`),
          trouble: (line) => rig.told.push(line),
        },
        limitMs: () => rig.limitMs,
        now: () => performance.now() + rig.steadyOffset,
        wallNow: () => Date.now() + rig.wallOffset,
      });
      await cycles.start();
      return cycles;
    },
  };
  return rig;
}
