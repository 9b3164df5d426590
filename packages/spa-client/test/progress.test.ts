import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { appendFileSync, chmodSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createScratch, lackingPrograms, openTerminal, type Terminal } from 'spa-lab';
import t, { type Test } from 'tap';

const SSHBH = fileURLToPath(new URL('../src/bin/sshbh.cjs', import.meta.url));
/** Says where it is. Questions (-G) are for the real one. */
const FAKE_SSH = `#!/bin/sh
[ "$1" = -G ] && sleep "\${SLOW_SSH:-0}" && PATH="\${PATH#*:}" exec ssh -F none "$@"
echo 'ssh is here'
`;
const skip = lackingPrograms('tmux', 'setpriv', 'ssh');

t.setTimeout(120_000);

interface Bench {
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** `sshbh us-east-1`, to a bastion whose door opens that long after the first packet. */
async function bench(t: Test, delayMs: number): Promise<Bench> {
  const scratch = createScratch();
  const door = createServer((connection) => connection.destroy());
  door.listen(0, '127.0.0.1');
  await once(door, 'listening');
  const { port } = door.address() as AddressInfo;
  door.close();
  await once(door, 'close');
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  let timer: NodeJS.Timeout | null = null;
  socket.on('message', () => {
    timer ??= setTimeout(() => door.listen(port, '127.0.0.1'), delayMs);
  });
  t.teardown(() => {
    if (timer !== null) clearTimeout(timer);
    door.close();
    socket.close();
    scratch.remove();
  });
  writeFileSync(scratch.path('ssh'), FAKE_SSH);
  chmodSync(scratch.path('ssh'), 0o755);
  const rc = `[us-east-1]\nSPA_SERVER 127.0.0.1\nSPA_SERVER_PORT ${socket.address().port}\nACCESS tcp/${port}\nKEY a-key\nHMAC_KEY another-key\n`;
  writeFileSync(scratch.path('rc'), rc, { mode: 0o600 });
  return {
    command: [process.execPath, SSHBH, '--rc-file', scratch.path('rc'), 'us-east-1'],
    env: { PATH: `${scratch.path()}:${process.env.PATH}`, XDG_STATE_HOME: scratch.path('state') },
  };
}

/** The command between two lines of a shell, so that what it leaves on the terminal can be seen. */
function terminalWith(t: Test, { command, env }: Bench, columns = 100): Promise<Terminal> {
  const script = 'echo before; "$@"; echo after; read -r _';
  return openTerminal(t, ['sh', '-c', script, 'sh', ...command], { env, columns });
}

t.test('who waits is told what for, and the line is gone when the door is open', { skip }, async (t) => {
  const terminal = await terminalWith(t, await bench(t, 1500));
  await terminal.shows(/^before\nsshbh: us-east-1: waiting for 127\.0\.0\.1 port \d+, 1 packet sent$/);
  await terminal.shows(/sent \(1 s\)$/);
  await terminal.shows(/^after$/m);
  t.equal(terminal.screen(), 'before\nssh is here\nafter');
});

t.test('who waits for names or keys, before any packet, is told too', { skip }, async (t) => {
  const { command, env } = await bench(t, 0);
  const terminal = await terminalWith(t, { command, env: { ...env, SLOW_SSH: '1.5' } });
  await terminal.shows(/^before\nsshbh: us-east-1: looking up 127\.0\.0\.1( \(1 s\))?$/);
  await terminal.shows(/^after$/m);
  t.equal(terminal.screen(), 'before\nssh is here\nafter');
});

t.test('the line never wraps', { skip }, async (t) => {
  const terminal = await terminalWith(t, await bench(t, 1500), 40);
  await terminal.shows(/^before\nsshbh: us-east-1: waiting for 127\.0\.0\.…$/);
  await terminal.shows(/^after$/m);
  t.equal(terminal.screen(), 'before\nssh is here\nafter');
});

t.test('a door that opens at once needs no word', { skip }, async (t) => {
  const terminal = await terminalWith(t, await bench(t, 0));
  await terminal.shows(/^after$/m);
  t.equal(terminal.screen(), 'before\nssh is here\nafter');
});

t.test('a terminal that can only print is not written over', { skip }, async (t) => {
  const { command, env } = await bench(t, 1000);
  const terminal = await terminalWith(t, { command: ['env', 'TERM=dumb', ...command], env });
  await terminal.shows(/^after$/m);
  t.equal(terminal.screen(), 'before\nssh is here\nafter');
});

t.test('a pipe sees nothing of it', { skip }, async (t) => {
  const { command, env } = await bench(t, 1000);
  const [program = '', ...args] = command;
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(child, 'close');
  t.same({ code, stdout, stderr }, { code: 0, stdout: 'ssh is here\n', stderr: '' });
});

t.test('a question is asked on a line of its own', { skip }, async (t) => {
  const { command, env } = await bench(t, 60_000);
  const [, , , rcFile = ''] = command;
  appendFileSync(rcFile, 'FALLBACK b\n[b]\nSPA_SERVER 127.0.0.2\nACCESS tcp/9\nHMAC_KEY another-key\n');
  const terminal = await terminalWith(t, { command, env });
  await terminal.shows(/^before\nsshbh: us-east-1: waiting for /);
  await terminal.shows(/^before\nEnter encryption key:$/);
  t.pass('the line is gone');
});
