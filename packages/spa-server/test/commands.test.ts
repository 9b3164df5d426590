import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { getPriority, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from 'spa-lab';
import t from 'tap';
import { findAccount } from '../src/commands/accounts.ts';
import { execute } from '../src/commands/execute.ts';
import { MessageCommands, throughSudo } from '../src/commands/message-commands.ts';
import { warnOfMissingPrograms } from '../src/commands/missing-programs.ts';
import { fillIn, splitWords, unknownVariable } from '../src/commands/words.ts';
import { openReplayStore } from '../src/replay/lmdb.ts';
import { isRunning } from '../src/system/pid-file.ts';
import { stanzaOf } from './gate.ts';

const folder = mkdtempSync(join(tmpdir(), 'spa-commands-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const isRoot = process.getuid?.() === 0;
const AS_DAEMON = { account: null, timeLimitMs: 20_000 };

t.test('a command is split at white space, and nothing in it means anything', (t) => {
  t.same(splitWords(' /bin/echo  "a b" \t$HOME `id` *;x '), [
    '/bin/echo',
    '"a',
    'b"',
    '$HOME',
    '`id`',
    '*;x',
  ]);
  t.end();
});

t.test('variables are filled in as fwknopd does', (t) => {
  const variables = {
    ...{ IP: '192.0.2.7', SRC: '192.0.2.7', PKT_SRC: '192.0.2.8', DST: '192.0.2.1', PORT: 22, PROTO: 6 },
    ...{ TIMEOUT: 1_800_000_030, CLIENT_TIMEOUT: 30 },
  };
  const words = splitWords('ipset add $SRC,$PROTO:$PORT $SRCx $PKT_SRC>$DST $TIMEOUT $CLIENT_TIMEOUT $IP$IP');
  t.same(fillIn(words, variables), [
    ...['ipset', 'add', '192.0.2.7,6:22', '192.0.2.7x', '192.0.2.8>192.0.2.1', '1800000030', '30'],
    '192.0.2.7192.0.2.7',
  ]);
  t.equal(unknownVariable('$SRC,$PROTO:$PORT $CLIENT_TIMEOUT'), null);
  t.equal(unknownVariable('a $HOME'), '$HOME');
  t.equal(unknownVariable('$$IP'), '$');
  t.end();
});

t.test('a command that was run says how it ended', async (t) => {
  t.same(await execute(['true'], AS_DAEMON), { kind: 'ended', status: 0 });
  t.same(await execute(['sh', '-c', 'exit 7'], AS_DAEMON), { kind: 'ended', status: 7 });
  t.same(await execute(['sh', '-c', 'kill -9 $$'], AS_DAEMON), { kind: 'ended', status: 137 });
  t.match(await execute(['/there/is/none'], AS_DAEMON), { kind: 'not-started', problem: /not installed/ });
  t.match(await execute(['/etc/passwd'], AS_DAEMON), { kind: 'not-started', problem: /EACCES/ });
  const tooLong = ['true', ...Array.from({ length: 100 }, () => 'x'.repeat(100_000))];
  t.match(await execute(tooLong, AS_DAEMON), { kind: 'not-started', problem: /E2BIG/ });
});

t.test(
  'a command has a fixed PATH for an environment, / for a folder, and a session of its own',
  async (t) => {
    const said = join(folder, 'said');
    process.env.SPA_TEST_SECRET = 'x';
    const script = `{ env; pwd; ps -o sid= -p $$; echo $$; ls -l /proc/$$/fd; } > ${said}`;
    t.same(await execute(['sh', '-c', script], AS_DAEMON), { kind: 'ended', status: 0 });
    const [path, ...rest] = readFileSync(said, 'utf8')
      .split('\n')
      .filter((line) => !/^(PWD|_|SHLVL|OLDPWD)=/.test(line));
    t.equal(path, 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin');
    t.equal(rest[0], '/');
    t.equal(rest[1]?.trim(), rest[2]);
    t.match(rest.join('\n'), /0 -> \/dev\/null/);
  },
);

t.test('a command gets none of the files that the daemon has open', async (t) => {
  const store = await openReplayStore(join(folder, 'store'), 0);
  t.teardown(() => store.close());
  const [list, data] = [join(folder, 'descriptors'), join(folder, 'store', 'data.mdb')];
  const asked = `for one in /proc/$$/fd/*; do readlink $one; done >${list}; true`;
  spawnSync('sh', ['-c', asked]);
  t.match(readFileSync(list, 'utf8'), data, 'LMDB gives it to every child');
  t.same(await execute(['sh', '-c', asked], AS_DAEMON), { kind: 'ended', status: 0 });
  t.notMatch(readFileSync(list, 'utf8'), data);
  t.match(readFileSync(list, 'utf8'), list);
});

t.test('a command that does not end is killed, with all that it has started', async (t) => {
  const pids = join(folder, 'pids');
  const script = `trap '' TERM; sh -c "trap '' TERM; echo \\$\\$ >> ${pids}; sleep 60" & echo $$ >> ${pids}; wait; sleep 60`;
  const before = Date.now();
  t.same(await execute(['sh', '-c', script], { ...AS_DAEMON, timeLimitMs: 1_000 }), { kind: 'killed' });
  t.ok(Date.now() - before < 15_000);
  for (const pid of readFileSync(pids, 'utf8').trim().split('\n')) {
    await until(`process ${pid} is gone`, () => !isRunning(Number(pid)));
  }
});

t.test('accounts are those of the host', async (t) => {
  const place = { file: 'access.conf', line: 3, keyword: 'CMD_EXEC_USER' };
  const named = (value: string) => ({ value, place });
  t.equal(await findAccount({ user: null, group: null }), null);
  t.same(await findAccount({ user: named('root'), group: null }), { name: 'root:root', uid: 0, gid: 0 });
  const both = await findAccount({ user: named('root'), group: named('tty') });
  t.match(both, { name: 'root:tty', uid: 0, gid: 5 });
  await t.rejects(findAccount({ user: named('rootless'), group: null }), {
    name: 'ConfigError',
    message:
      'access.conf:3: CMD_EXEC_USER: this host knows no user "rootless"; write one that "getent passwd" shows',
  });
  await t.rejects(findAccount({ user: null, group: named('nosuchgroup') }), {
    message: /no group "nosuchgroup"/,
  });
});

t.test(
  'a command has the rights of its account, and no group more',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const account = { name: 'daemon:tty', uid: 1, gid: 5 };
    const options = { ...AS_DAEMON, account };
    chmodSync(folder, 0o711);
    mkdirSync(join(folder, 'open'));
    chmodSync(join(folder, 'open'), 0o777);
    // The daemon's own priority is higher, and a command waits until it has the usual one.
    const before = getPriority();
    setPriority(-5);
    t.teardown(() => setPriority(before));
    t.same(await execute(['sh', '-c', 'until [ $(nice) = 0 ]; do :; done'], options), {
      kind: 'ended',
      status: 0,
    });
    const script = `{ id -u; id -g; id -G; } > ${folder}/open/id`;
    t.same(await execute(['sh', '-c', script], options), { kind: 'ended', status: 0 });
    t.match(readFileSync(join(folder, 'open', 'id'), 'utf8'), /^1\n5\n5\n$/);
    const groups = process.getgroups?.() ?? [];
    process.setgroups?.([4, 27]);
    t.teardown(() => process.setgroups?.(groups));
    t.same(
      await execute(['sh', '-c', 'test "$(id -G)" = 0'], AS_DAEMON),
      { kind: 'ended', status: 0 },
      "nor the daemon's own",
    );
  },
);

t.test('programs that are missing are told before a packet needs them', async (t) => {
  const cycle = (program: string) => ({ open: [program, '$IP'], close: ['sh', program], timerSeconds: 5 });
  const sudo = { account: null, sudo: { user: null, group: null } };
  const stanzas = [
    stanzaOf({ cycle: cycle('sh') }),
    stanzaOf({ cycle: cycle('/no/such') }),
    stanzaOf({ commands: { ...sudo, sudo: null } }),
    stanzaOf({ place: 'access.conf:9', commands: sudo }),
  ];
  t.same(warnOfMissingPrograms(stanzas, '/no/sudo'), [
    'access.conf:1: CMD_CYCLE_OPEN: there is no program /no/such on this host; install it, or write its whole path',
    'access.conf:9: SUDO_EXE: there is no program /no/sudo on this host; install it, or write its whole path',
  ]);
});

t.test('no word of a command is an option of sudo', (t) => {
  t.same(throughSudo('/usr/bin/sudo', { user: 'web', group: null }, ['-u', 'root', 'id']), [
    ...['/usr/bin/sudo', '-n', '-u', 'web', '--'],
    ...['-u', 'root', 'id'],
  ]);
  t.same(throughSudo('sudo', { user: null, group: 'adm' }, ['id']), ['sudo', '-n', '-g', 'adm', '--', 'id']);
  t.end();
});

t.test('of messages so many commands run at once, and the end of the daemon is theirs', async (t) => {
  const commands = new MessageCommands();
  const endings: unknown[] = [];
  const start = (): boolean => commands.start(['sleep', '60'], AS_DAEMON, (ending) => endings.push(ending));
  const started = Array.from({ length: 20 }, start).filter(Boolean).length;
  t.equal(started, 16);
  await commands.close();
  t.same(
    endings,
    Array.from({ length: 16 }, () => ({ kind: 'killed' })),
  );
});
