import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HmacKey, SymmetricKey } from 'spa-core';
import { createNamespacePair, lacking, type Namespace, sendDatagram } from 'spa-lab';
import t, { type Test } from 'tap';
import { ACCESS, HMAC_KEY, KEY, killIfThere, makeSetting, readPid } from './cli-setting.ts';
import { addressOf, messageOf, portsOf, sealOf } from './gate.ts';

const skip = lacking('nft', 'setpriv');

t.test('a daemon on a host', { skip }, async (t) => {
  const { server, client, dispose } = await createNamespacePair();
  t.teardown(dispose);

  t.test('starts in the background, is alone, and stops', async (t) => {
    const { command, pidFile, folder } = makeSetting(t);
    writeFileSync(
      join(folder, 'logger'),
      `#!/bin/sh\nprintf '%s\\n' "$*" "PID $$" > ${folder}/arguments\nexec cat > ${folder}/log\n`,
      {
        mode: 0o755,
      },
    );
    const loud = ['env', `PATH=${folder}:${process.env.PATH}`];
    const started = await server.run([...loud, ...command('-v')]);
    // Most hosts grant less than the daemon asks for.
    t.match(started, { status: 0, stdout: /^$/, stderr: /^(the kernel grants a receive buffer .*\n)?$/ });
    const pid = readPid(pidFile);

    const status = await server.run(command('--status'));
    t.match(status, { status: 0, stderr: '' });
    t.match(status.stdout, `spa-server is running (pid=${pid}).\n`);
    t.match(await server.run(command()), {
      status: 69,
      stdout: '',
      stderr: `spa-server: a daemon is already running (pid=${pid}, ${pidFile}); stop it with --kill, or name another --pid-file\n`,
    });
    for (const args of [[], ['-f']]) {
      const { status, stderr } = await server.run(command('-p', join(folder, 'other.pid'), ...args));
      t.equal(status, 69, `the port is taken ${args}`);
      t.match(
        stderr,
        'spa-server: UDP port 62201 is in use: another daemon may be running; stop it, or write another UDPSERV_PORT\n',
      );
    }
    t.match(await server.run(command('--fw-list')), {
      status: 0,
      stdout: /^Doors that are open in nftables.*: 0\n$/,
    });
    t.match(await server.run(command('--fw-flush')), { status: 0, stdout: 'Closed all doors: 0.\n' });
    t.match(await server.run(command('--fw-list-all')), { status: 0, stdout: /tcp dport 22 drop/ });
    t.match(await server.run(command('-R')), { status: 0, stdout: new RegExp(`pid=${pid}`) });
    rmSync(join(folder, 'run', 'spa-server.sock'));
    t.match(await server.run(command('--fw-flush')), {
      status: 1,
      stdout: 'Closed all doors: 0.\n',
      stderr: `spa-server: the daemon (pid=${pid}) does not listen to this; stop it with --kill and start it again\n`,
    });
    t.same(await server.run(command('-K')), {
      status: 0,
      stdout: `Stopped spa-server (pid=${pid}).\n`,
      stderr: '',
    });

    t.notOk(existsSync(pidFile), 'the pid file is gone');
    t.match(await server.run(command('-S')), { status: 1 });
    t.match(
      readFileSync(join(folder, 'arguments'), 'utf8'),
      `--tag fwknopd --id=${pid} --priority daemon.info --prio-prefix\n`,
    );
    const log = readFileSync(join(folder, 'log'), 'utf8');
    t.match(log, /^<6>Starting fwknopd\n/);
    t.match(log, '<4>Got SIGTERM. Exiting...\n');
    t.match(log, /<6>Shutting Down fwknopd\.\n$/);
  });

  t.test('takes over from a daemon that died', async (t) => {
    const { command, pidFile } = makeSetting(t);
    t.match(await server.run(command()), { status: 0 });
    const first = readPid(pidFile);
    if (first !== null) killIfThere(first);
    t.match(await server.run(command('-S')), { status: 1 });
    t.match(await server.run(command()), { status: 0 });
    t.not(readPid(pidFile), first);
    t.match(await server.run(command('-K')), { status: 0 });
  });

  t.test('in the foreground it tells on standard error, and reads a changed configuration', async (t) => {
    const { command, access, pidFile } = makeSetting(t);
    const daemon = startInForeground(t, server, command('-f'));
    await daemon.says('listening on ');
    while (!existsSync(pidFile)) await sleep(10);
    daemon.signal('SIGUSR1');
    daemon.signal('SIGUSR2');

    writeFileSync(access, `${ACCESS}OPEN_PORT tcp/443\n`);
    t.match(await server.run(command('-R')), { status: 0 });
    await daemon.says(
      `${access}:6: "OPEN_PORT" is no keyword; did you mean OPEN_PORTS?; the old configuration stays in force\n`,
    );
    writeFileSync(access, ACCESS.replace('tcp/22', 'tcp/22, tcp/443'));
    t.match(await server.run(command('-R')), { status: 0 });
    await daemon.says('The new configuration is in force.\n');
    t.match(await server.run(command('--fw-list-all')), { stdout: /443/ });
    daemon.signal('SIGINT');
    t.equal(await daemon.exitCode, 0);
    await daemon.says('Got SIGINT. Exiting...\n');
    t.notOk(existsSync(pidFile));
  });

  t.test('ends after the packets that it was told to judge', async (t) => {
    const { command } = makeSetting(t);
    const daemon = startInForeground(t, server, command('-f', '--test', '--packet-limit', '1'));
    await daemon.says('listening on ');
    const send = `require('dgram').createSocket('udp4').send('9'.repeat(150), 62201, '10.77.0.2', () => process.exit())`;
    await client.must([process.execPath, '-e', send]);
    t.equal(await daemon.exitCode, 0);
  });

  t.test('needs CAP_NET_ADMIN, and no other privilege of root', async (t) => {
    const { command } = makeSetting(t);
    const strong = ['setpriv', '--bounding-set=-all,+net_admin', '--inh-caps=-all,+net_admin', '--'];
    const daemon = startInForeground(t, server, [...strong, ...command('-f')]);
    await daemon.says('listening on ');
    const key = new SymmetricKey(Buffer.from(KEY, 'base64'));
    const hmac = new HmacKey(Buffer.from(HMAC_KEY, 'base64'), 'sha256');
    const request = { kind: 'access', source: addressOf('10.77.0.1'), ports: portsOf('tcp/22') } as const;
    const packet = await sealOf(messageOf({ request }), { encryption: { kind: 'aes', key }, hmac });
    await sendDatagram(client, '10.77.0.2', packet.toString());
    await daemon.says('opened tcp/22 for 10.77.0.1');
    t.match(await server.run(command('--fw-list')), { stdout: /tcp\/22 from 10\.77\.0\.1/ });
    daemon.signal('SIGTERM');
    t.equal(await daemon.exitCode, 0);
  });

  t.test('says that it needs the privilege, and ends with 77', async (t) => {
    const { command } = makeSetting(t);
    const weak = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin', '--'];
    for (const args of [[], ['-f']]) {
      const { status, stderr } = await server.run([...weak, ...command(...args)]);
      t.equal(status, 77, stderr);
      t.match(stderr, /^spa-server: .*needs root or CAP_NET_ADMIN/m);
    }
  });

  t.test(
    'with LOG_FORMAT json all that it says in the foreground are objects, also why it ends',
    async (t) => {
      const { command } = makeSetting(t, { config: 'LOG_FORMAT json\n' });
      const weak = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin', '--'];
      const { status, stdout, stderr } = await server.run([...weak, ...command('-f')]);
      t.match({ status, stdout }, { status: 77, stdout: /^$/ });
      const events = stderr
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      t.match(events[0], { event: 'starting', level: 'info' });
      t.match(events.at(-1), { event: 'failed-to-serve', level: 'error', problem: /CAP_NET_ADMIN/ });
    },
  );
});

interface ForegroundDaemon {
  signal(name: NodeJS.Signals): void;
  /** Resolves once it has said so. */
  says(text: string): Promise<void>;
  /** Null if a signal ended it. */
  readonly exitCode: Promise<number | null>;
}

function startInForeground(t: Test, host: Namespace, command: readonly string[]): ForegroundDaemon {
  const child: ChildProcess = host.spawn(command, { stdio: ['ignore', 'ignore', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  const listeners = new Set<() => void>();
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
    for (const listener of listeners) listener();
  });
  return {
    // nsenter becomes the daemon, so that its process is the child.
    signal: (name) => {
      child.kill(name);
    },
    exitCode: ended,
    says: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (said.includes(text)) resolve();
        };
        listeners.add(look);
        void ended.then(() => reject(new Error(`ended without saying "${text}" but: ${said}`)));
        look();
      }),
  };
}
