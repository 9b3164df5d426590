import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { HmacKey, openPacket, parsePacket, SymmetricKey } from 'spa-core';
import { createScratch, lackingPrograms, openTerminal, type Scratch, type Terminal, until } from 'spa-lab';
import t, { type Test } from 'tap';

const CLIENT = fileURLToPath(new URL('../src/bin/spa-client.cjs', import.meta.url));
const KEY = 'correct-horse-battery';
const HMAC_KEY = 'another-key-of-the-test';
const skip = lackingPrograms('tmux', 'setpriv', 'setsid');

t.setTimeout(120_000);

interface Bench {
  readonly scratch: Scratch;
  /** `spa-client` and its options for one packet to a server of the test's own. */
  readonly command: readonly string[];
  /** Opens the first packet that came with that key. */
  readonly opens: (key: string) => Promise<boolean>;
}

async function bench(t: Test): Promise<Bench> {
  const scratch = createScratch();
  const server: Socket = createSocket('udp4');
  const packets: Buffer[] = [];
  server.on('message', (packet) => packets.push(packet));
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    scratch.remove();
  });
  const rcFile = scratch.path('rc');
  const rc = `[lab]\nSPA_SERVER 127.0.0.1\nSPA_SERVER_PORT ${server.address().port}\nACCESS tcp/22\nALLOW_IP source\nHMAC_KEY ${HMAC_KEY}\n`;
  writeFileSync(rcFile, rc, { mode: 0o600 });
  return {
    scratch,
    command: [process.execPath, CLIENT, '--rc-file', rcFile, '-n', 'lab'],
    opens: async (key) => {
      await until('a packet is there', () => packets.length > 0);
      const keys = {
        kind: 'aes',
        key: new SymmetricKey(Buffer.from(key)),
        hmac: new HmacKey(Buffer.from(HMAC_KEY), 'sha256'),
      } as const;
      const nowSeconds = Math.floor(Date.now() / 1000);
      const [packet = Buffer.alloc(0)] = packets;
      return openPacket(parsePacket(packet), keys, { nowSeconds }).then(
        () => true,
        () => false,
      );
    },
  };
}

/** An askpass that writes down its prompt. */
function askpass(scratch: Scratch, script: string): string {
  const file = scratch.path('askpass');
  writeFileSync(file, `#!/bin/sh\nprintf '%s' "$1" > '${scratch.path('prompt')}'\n${script}\n`);
  chmodSync(file, 0o755);
  return file;
}

interface Run {
  readonly code: number | null;
  readonly stderr: string;
}

/** Without a terminal, as a window manager starts it. */
async function runWithoutTerminal(command: readonly string[], env: NodeJS.ProcessEnv): Promise<Run> {
  const child = spawn('setsid', ['--wait', ...command], {
    env: {
      ...process.env,
      DISPLAY: '',
      WAYLAND_DISPLAY: '',
      SSH_ASKPASS: '',
      SSH_ASKPASS_REQUIRE: '',
      ...env,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, stderr };
}

/** A shell that tells the exit status of `command`. */
function terminalWith(t: Test, command: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Terminal> {
  return openTerminal(
    t,
    ['sh', '-c', 'trap : INT; "$@"; echo "ended with $?"; read -r _', 'sh', ...command],
    {
      env: { DISPLAY: '', WAYLAND_DISPLAY: '', ...env },
    },
  );
}

t.test('a person is asked on the terminal, and nothing of the secret is shown', { skip }, async (t) => {
  const { command, opens } = await bench(t);
  const terminal = await terminalWith(t, command);
  await terminal.shows(/^Enter encryption key:/);
  terminal.type(KEY);
  terminal.press('Enter');
  await terminal.shows(/^ended with 0$/m);
  t.match(terminal.screen(), /^Enter encryption key: *\nended with 0$/);
  t.ok(await opens(KEY));
});

t.test('what is typed wrong can be taken back', { skip }, async (t) => {
  const { command, opens } = await bench(t);
  const terminal = await terminalWith(t, command);
  await terminal.shows(/^Enter encryption key:/);
  terminal.type('wrong');
  terminal.press('C-u');
  terminal.type(`${KEY}x`);
  terminal.press('BSpace', 'Enter');
  await terminal.shows(/^ended with 0$/m);
  t.ok(await opens(KEY));
});

t.test('Ctrl-C ends it by the signal, and the terminal is as it was', { skip }, async (t) => {
  const { command } = await bench(t);
  const terminal = await terminalWith(t, command);
  await terminal.shows(/^Enter encryption key:/);
  terminal.type('half');
  terminal.press('C-c');
  await terminal.shows(/^ended with 130$/m);
  t.notMatch(terminal.screen(), /half/);
  terminal.type('echoed again');
  await terminal.shows(/^echoed again$/m);
  t.pass('the terminal echoes');
});

t.test('nothing typed is said to be nothing', { skip }, async (t) => {
  const { command } = await bench(t);
  for (const key of ['Enter', 'C-d']) {
    const terminal = await terminalWith(t, command);
    await terminal.shows(/^Enter encryption key:/);
    terminal.press(key);
    await terminal.shows(/^ended with 64$/m);
    t.match(terminal.screen(), /spa-client: no encryption key was given/, key);
  }
});

t.test('without a terminal SSH_ASKPASS asks', { skip }, async (t) => {
  const { scratch, command, opens } = await bench(t);
  const SSH_ASKPASS = askpass(scratch, `printf '%s\\nmore\\n' '${KEY}'`);
  t.match(await runWithoutTerminal(command, { SSH_ASKPASS, DISPLAY: ':99' }), { code: 0, stderr: '' });
  t.equal(readFileSync(scratch.path('prompt'), 'utf8'), 'Enter encryption key: ');
  t.ok(await opens(KEY));
});

t.test('without a display it asks only if it has to', { skip }, async (t) => {
  const { scratch, command, opens } = await bench(t);
  const SSH_ASKPASS = askpass(scratch, `echo '${KEY}'`);
  t.match(await runWithoutTerminal(command, { SSH_ASKPASS }), {
    code: 64,
    stderr:
      'spa-client: no encryption key is given, and there is no terminal to ask on; write it into the rc file\n',
  });
  t.match(await runWithoutTerminal(command, { SSH_ASKPASS, SSH_ASKPASS_REQUIRE: 'force' }), { code: 0 });
  t.ok(await opens(KEY));
});

t.test('on a terminal it asks only if it is preferred', { skip }, async (t) => {
  const { scratch, command, opens } = await bench(t);
  const SSH_ASKPASS = askpass(scratch, `echo '${KEY}'`);
  const plain = await terminalWith(t, command, { SSH_ASKPASS, DISPLAY: ':99' });
  await plain.shows(/^Enter encryption key:/);
  const env = { SSH_ASKPASS, DISPLAY: ':99', SSH_ASKPASS_REQUIRE: 'prefer' };
  await (await terminalWith(t, command, env)).shows(/^ended with 0$/m);
  t.ok(await opens(KEY));
});

t.test('an askpass that fails is told in one line', { skip }, async (t) => {
  const { scratch, command } = await bench(t);
  const force = (SSH_ASKPASS: string): Promise<Run> =>
    runWithoutTerminal(command, { SSH_ASKPASS, SSH_ASKPASS_REQUIRE: 'force' });
  const cancelled = await force(askpass(scratch, `echo '${KEY}'; exit 1`));
  t.match(cancelled, {
    code: 64,
    stderr: /^spa-client: no encryption key was given to \S+ \(SSH_ASKPASS\)\n$/,
  });
  t.match(await force(askpass(scratch, '')), { code: 64, stderr: cancelled.stderr });
  const none = await force('/nonexistent/askpass');
  t.match(none, { code: 78, stderr: /^spa-client: \/nonexistent\/askpass: cannot be run: .*\n$/ });
  t.notMatch(cancelled.stderr + none.stderr, KEY);
});

t.test('the secret is in no command line while an askpass asks', { skip }, async (t) => {
  const { scratch, command } = await bench(t);
  const SSH_ASKPASS = askpass(
    scratch,
    `echo '${KEY}'; : > '${scratch.path('asked')}'; cat '${scratch.path('fifo')}'`,
  );
  const fifo = spawn('mkfifo', [scratch.path('fifo')]);
  await once(fifo, 'close');
  const run = runWithoutTerminal(command, { SSH_ASKPASS, SSH_ASKPASS_REQUIRE: 'force' });
  await until('the askpass has answered', () => readdirSync(scratch.path()).includes('asked'));
  t.notOk(commandLines().some((line) => line.includes(KEY)));
  t.ok(commandLines().some((line) => line.includes(SSH_ASKPASS)));
  writeFileSync(scratch.path('fifo'), '');
  t.match(await run, { code: 0 });
});

function commandLines(): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    });
}
