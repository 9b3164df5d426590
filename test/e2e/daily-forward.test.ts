import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { inhabitants, lacking, loseArrivals, type Namespace, regionAddresses, until } from 'spa-lab';
import t, { type Test } from 'tap';
import { DAILY_PROGRAMS, type Daily, dailyLab, isOnePacket } from './daily.ts';

t.setTimeout(120_000);

const ECHO_PORT = '5432';
const TO_DB = '5000:db-3:5432';

t.test('sshbh forward', { skip: lacking(...DAILY_PROGRAMS) }, async (t) => {
  const lab = await dailyLab(t);
  const { operator, bastion, privateHost } = lab;
  for (const host of [operator, privateHost]) await startEcho(host);
  mkdirSync(lab.home.path('tmp'));
  const forward = (t: Test, ...args: readonly string[]): Tunnel => startTunnel(t, lab, args);

  await t.test(
    'leads to hosts that only the bastion knows, by one packet, and from there to here',
    async (t) => {
      const { result, packets } = await lab.during(async () => {
        const tunnel = forward(t, 'us-east-1', TO_DB, '-D', '1080', '-R', `9000:localhost:${ECHO_PORT}`);
        await tunnel.says('9000 -> localhost:5432 is up');
        return tunnel;
      });
      t.equal(
        result.said(),
        [
          'sshbh: us-east-1: localhost:5000 -> db-3:5432 is up\n',
          'sshbh: us-east-1: localhost:1080 (SOCKS) is up\n',
          "sshbh: us-east-1: the bastion's localhost:9000 -> localhost:5432 is up\n",
        ].join(''),
      );
      t.ok(isOnePacket(packets), 'one packet');
      t.equal(await echo(operator, 5000), 'hello');
      t.equal(await echo(bastion, 9000), 'hello');
      t.equal(await echoThroughSocks(operator, 1080, regionAddresses.private4), 'hello');
      await lab.closeDoors();
    },
  );

  await t.test('opens the door again when its session is killed', async (t) => {
    const tunnel = forward(t, 'us-east-1', TO_DB);
    await tunnel.says('is up');
    await lab.closeDoors();
    t.equal(await echo(operator, 5000), 'hello', 'a closed door does not end it');
    const { packets } = await lab.during(async () => {
      for (const pid of sessionsOn(bastion)) process.kill(pid, 'SIGKILL');
      await tunnel.says('is lost; trying again in 1 s');
      await tunnel.says('up again after');
    });
    t.ok(isOnePacket(packets), 'one packet');
    t.equal(await echo(operator, 5000), 'hello');
    await lab.closeDoors();
  });

  await t.test('comes back by itself when the network was away', async (t) => {
    const tunnel = forward(t, '--alive', '3', '--wait', '0.5', 'us-east-1', TO_DB);
    await tunnel.says('is up');
    await lab.closeDoors();
    await loseArrivals(bastion, 100, 'meta l4proto { tcp, udp }');
    await tunnel.says('not responding');
    await tunnel.says('is lost; trying again in 1 s');
    await tunnel.says('does not answer');
    await tunnel.says('trying again in 2 s');
    await loseArrivals(bastion, 0);
    await tunnel.says('up again after');
    t.equal(await echo(operator, 5000), 'hello');
    await lab.closeDoors();
  });

  await t.test("does not use the person's own connection, which may end", async (t) => {
    const path = lab.home.path('master');
    await operator.must(['sshbh', 'us-east-1', '-fNM', '-S', path]);
    const tunnel = forward(t, 'us-east-1', TO_DB, '--', '-o', `ControlPath=${path}`);
    await tunnel.says('is up');
    await operator.must(['ssh', '-S', path, '-O', 'exit', 'us-east-1']);
    t.equal(await echo(operator, 5000), 'hello');
    await lab.closeDoors();
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
    await t.test(`leaves nothing behind after ${signal}`, async (t) => {
      const before = inhabitants([operator.network]);
      const tunnel = forward(t, 'us-east-1', TO_DB);
      await tunnel.says('is up');
      const exited = once(tunnel.process, 'exit');
      tunnel.process.kill(signal);
      t.same(await exited, [null, signal]);
      await until('all have ended', () => {
        const now = inhabitants([operator.network]);
        return now.every((pid) => before.includes(pid));
      });
      t.same(readdirSync(lab.home.path('tmp')), []);
      await lab.closeDoors();
    });
  }

  const FAILURES = [
    [
      'a key that is not accepted',
      [TO_DB, '--', '-i', '/dev/null', '-o', 'IdentitiesOnly=yes'],
      'status 255',
    ],
    ['a port that the bastion has', ['-R', '22:localhost:22'], 'remote port forwarding failed'],
  ] as const;
  for (const [what, args, reason] of FAILURES) {
    await t.test(`ends at once, as ssh does, after ${what}`, async (t) => {
      const result = await operator.run(['sshbh', 'forward', 'us-east-1', ...args]);
      t.match(result, { status: 255, stdout: '', stderr: reason });
      t.notMatch(result.stderr, 'again');
    });
  }

  await t.test('sends nothing if the port here is in use', async (t) => {
    await lab.closeDoors();
    const { result, packets } = await lab.during(() =>
      operator.run(['sshbh', 'forward', 'us-east-1', `${ECHO_PORT}:db-3:5432`]),
    );
    const stderr = 'sshbh: us-east-1: port 5432 is in use here; take another, or end who has it\n';
    t.same(result, { status: 255, stdout: '', stderr });
    t.equal(packets, 0);
  });
});

interface Tunnel {
  readonly process: ChildProcess;
  readonly said: () => string;
  /** Waits until it says this after what it was last waited for to say. */
  readonly says: (text: string) => Promise<void>;
}

/** It ends with the test. */
function startTunnel(t: Test, { operator, home }: Daily, args: readonly string[]): Tunnel {
  const child = operator.spawn(['env', `TMPDIR=${home.path('tmp')}`, 'sshbh', 'forward', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  });
  let said = '';
  let heard = 0;
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  return {
    process: child,
    said: () => said,
    says: async (text) => {
      const wanted = `the tunnel says "${text}"`;
      await until(wanted, () => {
        if (child.exitCode !== null && !said.includes(text, heard)) throw new Error(`it ended: ${said}`);
        return said.includes(text, heard);
      }).catch((error: unknown) => {
        throw new Error(`${(error as Error).message}; it said:\n${said}`);
      });
      heard = said.indexOf(text, heard) + text.length;
    },
  };
}

async function startEcho(host: Namespace): Promise<void> {
  const script = `require('node:net').createServer((peer) => peer.on('error', () => {}).pipe(peer))
    .listen(${ECHO_PORT}, () => console.log('listening'));`;
  const server = host.spawn([process.execPath, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => server.stdout?.once('data', resolve));
}

/** Says hello at a port of the host's loopback; what comes back. */
function echo(host: Namespace, port: number): Promise<string> {
  return converse(host, port, []);
}

/** The same through a SOCKS5 proxy (RFC 1928): no authentication, then a connection to an IPv4 address. */
function echoThroughSocks(host: Namespace, port: number, address: string): Promise<string> {
  const to = [...address.split('.').map(Number), Number(ECHO_PORT) >> 8, Number(ECHO_PORT) & 0xff];
  return converse(host, port, [
    { says: [5, 1, 0], hears: 2 },
    { says: [5, 1, 0, 1, ...to], hears: 10 },
  ]);
}

interface Exchange {
  readonly says: readonly number[];
  /** Octets. */
  readonly hears: number;
}

function converse(host: Namespace, port: number, before: readonly Exchange[]): Promise<string> {
  const script = `
    const before = ${JSON.stringify(before)};
    const socket = require('node:net').connect(${port}, '127.0.0.1');
    const hear = async (octets) => {
      for (;;) {
        const heard = socket.read(octets);
        if (heard !== null) return heard;
        if (socket.readableEnded) throw new Error('the other side has ended');
        await new Promise((resolve) => socket.once('readable', resolve));
      }
    };
    const main = async () => {
      for (const { says, hears } of before) {
        socket.write(Buffer.from(says));
        await hear(hears);
      }
      socket.write('hello');
      process.stdout.write((await hear(5)).toString());
      socket.destroy();
    };
    main();`;
  return host.must([process.execPath, '-e', script]);
}

/** The processes of sshd that hold a session. */
function sessionsOn(host: Namespace): readonly number[] {
  const sessions = inhabitants([host.network]).filter((pid) => commandOf(pid).startsWith('sshd: '));
  return sessions.filter((pid) => !commandOf(pid).includes('[listener]'));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
