import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HmacKey, openPacket, parsePacket, SymmetricKey } from 'spa-core';
import t, { type Test } from 'tap';

const SSHBH = fileURLToPath(new URL('../src/bin/sshbh.cjs', import.meta.url));
const KEY = 'a-key-of-the-test';
const HMAC_KEY = 'another-key-of-the-test';
/** Writes its process id and what it was given, and then does what the last argument says. Questions (-G) are for the real one. */
const FAKE_SSH = `#!/bin/sh
[ "$1" = -G ] && PATH="\${PATH#*:}" exec ssh -F none "$@"
printf '%s\\n' "$$" "$@" > "$FAKE_SSH_LOG"
for last; do :; done
case "$last" in
  exit-*) exit "\${last#exit-}" ;;
  stdin) cat; exit 0 ;;
  sleep) trap 'exit 43' INT; echo ready; while :; do sleep 0.05; done ;;
  kill-*) kill -"\${last#kill-}" $$ ;;
esac
`;

interface Run {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Bench {
  readonly rcFile: string;
  readonly logLines: () => readonly string[];
  /** What ssh was given. */
  readonly log: () => readonly string[];
  readonly start: (argv: readonly string[], env?: Record<string, string>) => ChildProcess;
  readonly run: (argv: readonly string[], input?: string) => Promise<Run>;
}

function bench(t: Test, rc: string): Bench {
  const directory = mkdtempSync(join(tmpdir(), 'sshbh-'));
  const ssh = join(directory, 'ssh');
  const logFile = join(directory, 'log');
  const rcFile = join(directory, 'rc');
  writeFileSync(ssh, FAKE_SSH);
  chmodSync(ssh, 0o755);
  writeFileSync(rcFile, rc, { mode: 0o600 });
  const children: ChildProcess[] = [];
  t.teardown(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });
  const start: Bench['start'] = (argv, env = {}) => {
    const child = spawn(process.execPath, [SSHBH, '--rc-file', rcFile, ...argv], {
      env: { ...process.env, PATH: `${directory}:${process.env.PATH}`, FAKE_SSH_LOG: logFile, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    children.push(child);
    return child;
  };
  const logLines = (): readonly string[] => readFileSync(logFile, 'utf8').trimEnd().split('\n');
  return {
    rcFile,
    logLines,
    log: () => logLines().slice(1),
    start,
    run: (argv, input = '') => finish(start(argv), input),
  };
}

async function finish(child: ChildProcess, input: string): Promise<Run> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, signal, stdout, stderr };
}

interface Bastion {
  /** TCP port behind the door. */
  readonly port: number;
  readonly udpPort: number;
  readonly packets: readonly Buffer[];
}

/** A port that listens only after a packet, `delayMs` later; null: never. */
async function bastion(t: Test, delayMs: number | null): Promise<Bastion> {
  const doors: Server[] = [];
  const port = await freePort();
  const packets: Buffer[] = [];
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const timers: NodeJS.Timeout[] = [];
  t.teardown(() => {
    for (const timer of timers) clearTimeout(timer);
    for (const door of doors) door.close();
    socket.close();
  });
  socket.on('message', (packet) => {
    packets.push(packet);
    if (delayMs === null || packets.length > 1) return;
    timers.push(
      setTimeout(() => {
        const door = createServer((connection) => connection.destroy());
        doors.push(door.listen(port, '127.0.0.1'));
      }, delayMs),
    );
  });
  return { port, udpPort: socket.address().port, packets };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function region({ port, udpPort }: Bastion): string {
  return `[default]
SPA_SERVER_PORT ${udpPort}
KEY ${KEY}
HMAC_KEY ${HMAC_KEY}
[us-east-1]
SPA_SERVER 127.0.0.1
ACCESS udp/53,tcp/${port}
[eu-west-1]
SPA_SERVER 127.0.0.2
[keys-only]
FW_TIMEOUT 30
`;
}

t.test('the door opens some time after the packet, and ssh runs with its arguments', async (t) => {
  const host = await bastion(t, 300);
  const { run, log } = bench(t, region(host));
  const result = await run(['us-east-1', '-L', '8080:localhost:80', '--', 'echo', 'a b', 'exit-7']);
  t.same(result, { code: 7, signal: null, stdout: '', stderr: '' });
  t.same(log(), [
    '-L',
    '8080:localhost:80',
    '-p',
    `${host.port}`,
    '127.0.0.1',
    '--',
    'echo',
    'a b',
    'exit-7',
  ]);

  t.equal(host.packets.length, 1, 'one packet');
  const opened = await openPacket(
    parsePacket(host.packets[0] ?? Buffer.alloc(0)),
    {
      kind: 'aes',
      key: new SymmetricKey(Buffer.from(KEY)),
      hmac: new HmacKey(Buffer.from(HMAC_KEY), 'sha256'),
    },
    { nowSeconds: Math.floor(Date.now() / 1000) },
  );
  t.same(opened.message.request, {
    kind: 'access',
    source: null,
    ports: [
      { protocol: 'udp', port: 53 },
      { protocol: 'tcp', port: host.port },
    ],
  });
});

// Since Node 22.15.
if ('execve' in process) {
  t.test('where Node can replace the process, ssh is sshbh itself', async (t) => {
    const { start, logLines } = bench(t, region(await bastion(t, 0)));
    const child = start(['us-east-1', '--', 'exit-0']);
    t.same(await finish(child, ''), { code: 0, signal: null, stdout: '', stderr: '' });
    t.equal(logLines()[0], String(child.pid));
  });
}

t.test("a user and ssh's options before the region reach ssh in the right order", async (t) => {
  const host = await bastion(t, 0);
  const { run, log } = bench(t, region(host));
  await run(['-l', 'alice', '-4', '-xoForwardAgent=no', '--', 'US-EAST-1', '--', 'exit-0']);
  t.same(log(), [
    '-l',
    'alice',
    '-xoForwardAgent=no',
    '-p',
    `${host.port}`,
    '-4',
    '127.0.0.1',
    '--',
    'exit-0',
  ]);
  await run(['bob@us-east-1', '--', 'exit-0']);
  t.same(log(), ['-p', `${host.port}`, 'bob@127.0.0.1', '--', 'exit-0']);
});

t.test('ssh has the standard input and output of sshbh', async (t) => {
  const { run } = bench(t, region(await bastion(t, 0)));
  t.match(await run(['us-east-1', '--', 'stdin'], 'through\n'), { code: 0, stdout: 'through\n' });
});

t.test('-v says what happens, on standard error', async (t) => {
  const host = await bastion(t, 50);
  const { run } = bench(t, region(host));
  const result = await run(['-v', 'us-east-1', '--', 'exit-0']);
  t.match(
    result.stderr,
    new RegExp(
      `^sshbh: a packet of \\d+ characters went from 127.0.0.1 to 127.0.0.1\nsshbh: 127.0.0.1 port ${host.port} is open\n$`,
    ),
  );
});

t.test('a signal that ends ssh ends sshbh in the same way', async (t) => {
  const { run } = bench(t, region(await bastion(t, 0)));
  for (const name of ['KILL', 'TERM', 'INT', 'HUP']) {
    t.match(await run(['us-east-1', '--', `kill-${name}`]), { code: null, signal: `SIG${name}` });
  }
});

t.test('SIGTERM and SIGHUP to sshbh reach ssh', async (t) => {
  const { start } = bench(t, region(await bastion(t, 0)));
  for (const name of ['SIGTERM', 'SIGHUP'] as const) {
    const child = start(['us-east-1', '--', 'sleep']);
    const done = finish(child, '');
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    child.kill(name);
    t.match(await done, { code: null, signal: name });
  }
});

t.test('an interrupt of the terminal is for ssh to handle', async (t) => {
  const { rcFile } = bench(t, region(await bastion(t, 0)));
  const directory = join(rcFile, '..');
  const child = spawn(process.execPath, [SSHBH, '--rc-file', rcFile, 'us-east-1', '--', 'sleep'], {
    env: { ...process.env, PATH: `${directory}:${process.env.PATH}`, FAKE_SSH_LOG: join(directory, 'log') },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const done = once(child, 'close');
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  // A terminal sends it to the whole group, as here.
  process.kill(-(child.pid ?? 0), 'SIGINT');
  t.same(await done, [43, null], 'the exit code of its handler');
});

t.test('a door that stays shut is exit code 255, after a second packet, with why', async (t) => {
  const host = await bastion(t, null);
  const { run } = bench(t, region(host));
  const result = await run(['--wait', '2.2', 'us-east-1']);
  t.equal(result.code, 255);
  t.match(
    result.stderr,
    `sshbh: us-east-1: 127.0.0.1 port ${host.port} answers that it is closed, 2.2 s after the first packet`,
  );
  t.equal(host.packets.length, 3, 'after 0.5 s and 1 s more');
  t.equal(new Set(host.packets.map(String)).size, 3, 'never the same packet twice');
});

t.test('what cannot be written, because the disk is full, is one line and exit code 74', async (t) => {
  const full = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(full));
  const { status, stderr } = spawnSync(process.execPath, [SSHBH, '--help'], {
    encoding: 'utf8',
    stdio: ['ignore', full, 'pipe'],
  });
  t.equal(status, 74);
  t.equal(stderr, 'stdout: cannot be written: ENOSPC\n');
});

t.test('a host that is not found is exit code 255', async (t) => {
  const { run } = bench(t, '[x]\nSPA_SERVER nowhere.invalid\nKEY k\nHMAC_KEY h\n');
  t.match(await run(['x']), { code: 255, stderr: /^sshbh: x: nowhere.invalid: no address found/ });
});

t.test('-6 refuses a host that has only an IPv4 address', async (t) => {
  const { run } = bench(t, '[x]\nSPA_SERVER 127.0.0.1\nKEY k\nHMAC_KEY h\n');
  t.match(await run(['-6', 'x']), { code: 255, stderr: /^sshbh: x: 127.0.0.1: no IPv6 address found\n/ });
});

t.test('an unknown region is exit code 78 and names the nearest first', async (t) => {
  const { run, rcFile } = bench(t, region({ port: 1, udpPort: 1, packets: [] }));
  t.match(await run(['eu-wset-1']), {
    code: 78,
    stderr: `sshbh: ${rcFile}: there is no region eu-wset-1; did you mean eu-west-1?\n`,
  });
});

t.test('a region without host or tcp port says what to write', async (t) => {
  const { run, rcFile } = bench(t, '[a]\nKEY k\n[b]\nSPA_SERVER x\nACCESS udp/53\n');
  t.match(await run(['a']), {
    code: 78,
    stderr: `sshbh: ${rcFile}: [a] names no host; write SPA_SERVER HOST\n`,
  });
  t.match(await run(['b']), {
    code: 78,
    stderr: `sshbh: ${rcFile}: [b] has no tcp port in ACCESS; write ACCESS tcp/22\n`,
  });
});

t.test('a host that ssh could take for an option is refused', async (t) => {
  const { run, rcFile } = bench(t, '[a]\nSPA_SERVER -oProxyCommand=reboot\nKEY k\n');
  t.match(await run(['a']), {
    code: 78,
    stderr: `sshbh: ${rcFile}:2: SPA_SERVER: "-oProxyCommand=reboot" is no host; write a host name or an IP address\n`,
  });
});

t.test('nothing in an error is an order to the terminal', async (t) => {
  const esc = String.fromCharCode(27);
  const { run } = bench(t, `[bad]\nSPA_SERVER a${esc}c\n[e${esc}c]\nSPA_SERVER ::1\nACCESS udp/1\n`);
  for (const region of ['bad', `e${esc}c`]) {
    const { code, stderr } = await run([region]);
    t.equal(code, 78);
    t.match(stderr, /^sshbh: [^\p{C}]*\?c[^\p{C}]*\n$/u);
  }
});

t.test('--list shows the stanzas that have a host', async (t) => {
  const { run } = bench(t, region({ port: 1, udpPort: 1, packets: [] }));
  t.match(await run(['--list']), { code: 0, stdout: /^us-east-1 +127.0.0.1 .*\neu-west-1 +127.0.0.2 .*\n$/ });
});

t.test('a wrong command line is exit code 64', async (t) => {
  const { run } = bench(t, '[a]\nSPA_SERVER x\n');
  t.match(await run([]), { code: 64, stderr: /^sshbh: which region\?/ });
  t.match(await run(['--frob', 'a']), { code: 64, stderr: /unknown option --frob/ });
  t.match(await run(['-4', '-6', 'a']), { code: 64, stderr: /contradict/ });
  t.match(await run(['--', '-oProxyCommand=reboot@a']), { code: 64, stderr: /begins with a dash/ });
  for (const way of [['-J', 'b'], ['-oProxyJump=b'], ['-o', 'ProxyCommand none']]) {
    t.match(await run(['a', 'db-3', ...way]), { code: 64, stderr: /is reached through it; leave out -J/ });
  }
  t.match(await run(['--wait', '0', 'a']), { code: 64, stderr: /write seconds/ });
});

t.test(
  'a region with OpenPGP whose packets nobody signs is an error: spa-client alone sends those',
  async (t) => {
    const { run } = bench(t, '[a]\nSPA_SERVER 127.0.0.1\nUSE_GPG Y\nGPG_RECIPIENT b@example\n');
    t.match(await run(['a']), { code: 64, stderr: /^sshbh: sign as whom\? write GPG_SIGNER or/ });
  },
);

t.test('a control socket is a file, whatever it is called', async (t) => {
  const { rcFile } = bench(t, region(await bastion(t, 0)));
  for (const control of ['', '22', 'x'.repeat(300)]) {
    const options = ['--if-needed', '--control', control, '--json', '--rc-file', rcFile];
    const child = spawn(process.execPath, [SSHBH, 'open', ...options, 'us-east-1']);
    t.match(await finish(child, ''), { code: 0, stderr: '', stdout: /"state":"open"/ }, control.slice(0, 3));
  }
});

t.test('a program that is not there is said by name', async (t) => {
  const host = await bastion(t, 0);
  const { run } = bench(t, region(host));
  t.match(await run(['--ssh', 'no-such-ssh', 'us-east-1']), {
    code: 78,
    stderr: 'sshbh: no-such-ssh: there is no such program on PATH\n',
  });
});
