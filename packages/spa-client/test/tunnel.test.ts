import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from 'spa-lab';
import t, { type Test } from 'tap';
import { startDeathWatch } from '../src/death-watch.ts';
import { parseForward } from '../src/forward-spec.ts';
import { whyTaken } from '../src/local-port.ts';
import { startTunnel, type TunnelOrder, type TunnelStart } from '../src/tunnel.ts';

/** Logs in, or not, as its first argument says; asked to forward, answers as the file `answer` says. */
const FAKE_SSH = `#!/bin/sh
folder="\${0%/*}"
case "$1" in
  -F) echo "$@" > "$folder/asked"; cat "$folder/answer" >&2; [ ! -s "$folder/answer" ]; exit ;;
  refused) echo "a banner" >&2; echo "Permission denied (publickey)." >&2; exit 255 ;;
  stubborn) trap '' TERM; : > "$folder/control"; while :; do sleep 0.05; done ;;
esac
: > "$folder/control"
while [ ! -e "$folder/cut" ]; do sleep 0.02; done
echo "Timeout, server not responding." >&2
exit 255
`;

interface Bench {
  readonly path: (name: string) => string;
  readonly start: (how: string, order?: Partial<TunnelOrder>) => Promise<TunnelStart>;
  /** What was passed on. */
  readonly lines: readonly string[];
  /** Process ids as they were told. */
  readonly processes: readonly (number | null)[];
  readonly stop: () => void;
}

function bench(t: Test, answer = ''): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'tunnel-'));
  const path = (name: string): string => join(folder, name);
  writeFileSync(path('ssh'), FAKE_SSH);
  chmodSync(path('ssh'), 0o755);
  writeFileSync(path('answer'), answer);
  const end = new AbortController();
  const lines: string[] = [];
  const processes: (number | null)[] = [];
  t.teardown(() => {
    end.abort();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    path,
    lines,
    processes,
    stop: () => end.abort(),
    start: (how, order = {}) =>
      startTunnel({
        ssh: path('ssh'),
        args: [how],
        controlPath: path('control'),
        forwards: [parseForward('local', '5000:db:5432'), parseForward('socks', '1080')],
        isAttended: false,
        onLine: (line) => lines.push(line),
        onProcess: (pid) => processes.push(pid),
        signal: end.signal,
        ...order,
      }),
  };
}

t.test('a tunnel is up when ssh has logged in and forwards all, until it ends', async (t) => {
  const { start, path, lines, processes } = bench(t);
  const tunnel = await start('well');
  t.equal(
    readFileSync(path('asked'), 'utf8'),
    `-F none -S ${path('control')} -O forward -L localhost:5000:db:5432 -D localhost:1080 bastion\n`,
  );
  t.same(lines, []);
  t.equal(processes.length, 1);
  writeFileSync(path('cut'), '');
  if (tunnel.state === 'up') await tunnel.ended;
  t.equal(tunnel.state, 'up');
  t.same(lines, ['Timeout, server not responding.'], 'what it says when it was up is passed on');
  t.same(processes.slice(1), [null]);
});

t.test('an ssh that does not log in has its last words told', async (t) => {
  const { start, lines } = bench(t);
  const reason = 'Permission denied (publickey).';
  t.same(await start('refused'), { state: 'failed', status: 255, reason });
  t.same(lines, []);
});

t.test('a forward that is refused ends ssh', async (t) => {
  const said =
    'mux_client_forward: forwarding request failed: Port forwarding failed\r\nmuxclient: failed\r\n';
  const { start, processes } = bench(t, said);
  t.same(await start('well'), { state: 'failed', status: 255, reason: 'Port forwarding failed' });
  t.notOk(isAlive(processes[0]));
});

t.test('an ssh that does not want to end is killed', async (t) => {
  const { start, stop, processes } = bench(t);
  const tunnel = await start('stubborn');
  t.equal(tunnel.state, 'up');
  stop();
  if (tunnel.state === 'up') await tunnel.ended;
  t.notOk(isAlive(processes[0]));
});

t.test('what is guarded ends, and the folder goes, when the guard’s owner is killed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'watch-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'guarded'));
  const script = `
    import { spawn } from 'node:child_process';
    import { startDeathWatch } from ${JSON.stringify(new URL('../src/death-watch.js', import.meta.url).href)};
    const watch = startDeathWatch(${JSON.stringify(join(folder, 'guarded'))});
    const start = () => spawn('sleep', ['3600'], { stdio: 'ignore' }).pid;
    const [before, now] = [start(), start()];
    watch.guard(before);
    watch.guard(null);
    watch.guard(now);
    console.log(JSON.stringify([before, now]));
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(owner.stdout, 'data')) as [Buffer];
  const [before = 0, now = 0] = JSON.parse(line.toString()) as readonly number[];
  t.teardown(() => process.kill(before));
  owner.kill('SIGKILL');
  await until('the guarded process has ended', () => !isAlive(now));
  await until('its folder is gone', () => !existsSync(join(folder, 'guarded')));
  t.ok(isAlive(before), 'what is no longer guarded lives');
});

t.test('a watch that ended touches nothing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'watch-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const child = spawn('sleep', ['3600'], { stdio: 'ignore' });
  t.teardown(() => child.kill());
  const watch = startDeathWatch(folder);
  watch.guard(child.pid ?? null);
  watch.end();
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.ok(existsSync(folder));
  t.ok(isAlive(child.pid));
});

t.test('a port is free, or it is said why not', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const inUse = `port ${port} is in use here; take another, or end who has it`;
  t.equal(await whyTaken('localhost', port), inUse);
  t.equal(await whyTaken('*', port), inUse);
  t.equal(await whyTaken('127.0.0.1', port), inUse);
  t.equal(await whyTaken('127.0.0.2', port), null);
  t.equal(await whyTaken('192.0.2.1', port), '192.0.2.1 is no address of this machine');
});

/** A zombie, whose parent did not ask for its status yet, is dead. */
function isAlive(pid: number | null | undefined): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
