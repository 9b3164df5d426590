import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createScratch, lacking, type Scratch } from 'spa-lab';
import t, { type Test } from 'tap';
import { withManifest } from '../src/roster/bundle.ts';
import { formatOrders, type Orders } from '../src/roster/far-host.ts';
import { INSTALLER } from '../src/roster/installer.sh.ts';
import { tarOf } from '../src/roster/tar.ts';

t.setTimeout(120_000);

/** A daemon that accepts every configuration but that which says `bad`, and that does not run. */
const DAEMON = `#!/bin/sh
case " $* " in
*" -S "*) exit 1 ;;
*--exit-parse-config*) for word; do last=$word; done; sleep 0.05; grep -q bad "$last" && { echo "bad line"; exit 1; }; exit 0 ;;
esac
exit 0
`;

const skip = lacking('flock', 'tar', 'sha256sum', 'gpg');

t.test('a release is put into force, and the one before is kept', { skip }, async (t) => {
  const host = setUp(t);
  t.match(host.install(1, 'one'), { status: 0, stdout: /^installed 1-111111111111$/m });
  t.equal(host.inForce(), 'one\n');
  t.match(host.install(1, 'one'), { status: 0, stdout: /^unchanged 1-111111111111$/m });
  t.match(host.install(2, 'two'), { status: 0, stdout: /^installed 2-/m });
  t.match(host.install(3, 'three'), { status: 0 });
  t.strictSame(host.releases(), ['2-222222222222', '3-333333333333']);
  t.match(host.run({ task: 'rollback' }), { status: 0, stdout: /^installed 2-/m });
  t.equal(host.inForce(), 'two\n');
  t.equal(statSync(host.scratch.path('keys')).mode & 0o777, 0o700);
  t.equal(statSync(host.scratch.path('keys', 'current', 'access.conf')).mode & 0o777, 0o600);
});

t.test(
  'what is older, damaged, cut short, bad or out of place is refused, and the old stays',
  { skip },
  async (t) => {
    const host = setUp(t);
    host.install(2, 'two');
    t.match(host.install(1, 'one'), { status: 3, stderr: /version 1 of the roster is older than 2/ });
    const whole = host.archive('three');
    const damaged = Buffer.from(whole.toString('latin1').replace('three\n', 'thr3e\n'), 'latin1');
    t.match(host.run(host.orders(3), damaged), { status: 78, stderr: /is not what was sent/ });
    t.match(host.run(host.orders(3), whole.subarray(0, 700)), {
      status: 78,
      stderr: /the old release stays in force/,
    });
    t.match(host.install(3, 'bad'), {
      status: 78,
      stderr: /spa-server refuses the new files, the old ones stay in force:\nbad line/,
    });
    for (const wrong of [
      { release: '3-../../x' },
      { folder: '/tmp/a b' },
      { folder: '/tmp/../etc' },
      { folder: 'relative' },
      { config: '/etc/$(id)' },
    ]) {
      t.match(host.run({ ...host.orders(3), ...wrong }, whole), { status: 64 }, JSON.stringify(wrong));
    }
    t.match(host.runText('task install\nrm everything\n\n'), {
      status: 64,
      stderr: /does not know: rm everything/,
    });
    t.equal(host.inForce(), 'two\n');
    t.strictSame(host.releases(), ['2-222222222222']);
  },
);

t.test('of two at once one waits its turn', { skip }, async (t) => {
  const host = setUp(t);
  const lock = spawn('flock', [host.scratch.path('keys', 'lock'), 'cat'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  t.teardown(() => lock.stdin.end());
  for (
    let tries = 0;
    tries < 200 && spawnSync('flock', ['-n', host.scratch.path('keys', 'lock'), 'true']).status === 0;
    tries++
  )
    await sleep(10);
  t.match(host.install(1, 'one'), { status: 75, stderr: /another run is at work/ });
});

t.test('kill -9 at any moment leaves the old or the new, and the next run goes on', { skip }, async (t) => {
  const host = setUp(t);
  host.install(1, 'r1');
  const seen = new Set<string>();
  for (let round = 2; round < 14; round++) {
    const before = host.inForce();
    const child = spawn('setsid', ['sh', '-c', INSTALLER], { stdio: ['pipe', 'ignore', 'ignore'] });
    child.stdin.on('error', () => {});
    child.stdin.end(
      Buffer.concat([Buffer.from(formatOrders(host.orders(round))), host.archive(`r${round}`)]),
    );
    await sleep(round * 35);
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    if (child.exitCode === null && child.signalCode === null)
      await new Promise((resolve) => child.once('exit', resolve));
    const after = host.inForce();
    t.ok(after === before || after === `r${round}\n`, `round ${round}: ${after.trim()}`);
    seen.add(after === before ? 'old' : 'new');
    const { status } = spawnSync('sha256sum', ['--quiet', '--strict', '--check', 'MANIFEST'], {
      cwd: host.scratch.path('keys', 'current'),
    });
    t.equal(status, 0, 'whole');
    t.match(host.install(round, `r${round}`), { status: 0, stdout: /^(installed|unchanged) /m });
    t.equal(host.inForce(), `r${round}\n`);
    t.ok(host.releases().length <= 2, 'nothing is left behind');
  }
  t.comment([...seen].join(' and '));
});

interface Host {
  readonly scratch: Scratch;
  orders(version: number): Orders;
  archive(text: string): Buffer;
  install(version: number, text: string): ReturnType<Host['run']>;
  run(orders: Partial<Orders> & Pick<Orders, 'task'>, archive?: Buffer): ReturnType<Host['runText']>;
  runText(
    orders: string,
    archive?: Buffer,
  ): { readonly status: number | null; readonly stdout: string; readonly stderr: string };
  inForce(): string;
  releases(): readonly string[];
}

function setUp(t: Test): Host {
  const scratch = createScratch();
  t.teardown(scratch.remove);
  mkdirSync(scratch.path('keys'));
  writeFileSync(scratch.path('spa-server'), DAEMON, { mode: 0o755 });
  const folder = scratch.path('keys');
  const config = scratch.path('fwknopd.conf');
  writeFileSync(config, `ACCESS_FILE ${folder}/current/access.conf\n`);
  const common = { folder, config, daemon: 'spa-server', program: scratch.path('spa-server') } as const;
  const runText: Host['runText'] = (orders, archive = Buffer.alloc(0)) =>
    spawnSync('sh', ['-c', INSTALLER], {
      input: Buffer.concat([Buffer.from(orders), archive]),
      encoding: 'utf8',
    });
  const orders = (version: number): Orders => ({
    ...common,
    task: 'install',
    version,
    release: `${version}-${String(version).at(-1)?.repeat(12)}`,
  });
  const archive = (text: string): Buffer =>
    tarOf(withManifest([{ path: 'access.conf', content: `${text}\n` }], 'test'));
  const run: Host['run'] = (more, data) => runText(formatOrders({ ...common, ...more }), data);
  return {
    ...{ scratch, orders, archive, run, runText },
    install: (version, text) => run(orders(version), archive(text)),
    inForce: () => readFileSync(`${folder}/current/access.conf`, 'utf8'),
    releases: () => {
      const current = readlinkSync(`${folder}/current`);
      if (!existsSync(`${folder}/${current}`)) throw new Error(`${current} is not there`);
      return readdirSync(`${folder}/releases`).sort();
    },
  };
}
