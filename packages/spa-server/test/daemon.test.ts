import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { until } from 'spa-lab';
import t, { type Test } from 'tap';
import { parseServerConfig, type ServerConfig } from '../src/config/server-config.ts';
import { type Daemon, startDaemon } from '../src/daemon.ts';
import type { DaemonPorts } from '../src/daemon-ports.ts';
import type { Stanza } from '../src/decision/stanza.ts';
import { FirewallError } from '../src/firewall/firewall.ts';
import { createMemoryFirewall, createMemoryKernel, type MemoryKernel } from '../src/firewall/memory.ts';
import { createMemoryReplayStore } from '../src/replay/memory.ts';
import { ReplayError } from '../src/replay/replay-store.ts';
import { freePort } from './free-port.ts';
import { createReadableLog, createSharedKeys, messageOf, portsOf, sealOf, stanzaOf } from './gate.ts';

const keys = createSharedKeys();
const stanza = stanzaOf({ keys: [keys.opening] });

t.test('a packet opens the door, its repetition does not, and each has its line', async (t) => {
  const { log, send, kernel } = await startGate(t, {});
  const packet = await sealOf(messageOf({}), keys.sealing);
  await send(packet);
  await log.has(/^info: opened tcp\/22 for 127\.0\.0\.1, 30 s until .*user alice, stanza #1, packet \w{16}/);
  t.equal(kernel.doors.size, 1);
  await send(packet);
  await log.has(/^warning: denied tcp\/22 for its source: replay/);
  t.equal(kernel.doors.size, 1);
});

t.test('a door is opened once, however many copies of the packet come at once', async (t) => {
  const { log, send } = await startGate(t, {});
  const packet = await sealOf(messageOf({}), keys.sealing);
  await Promise.all(Array.from({ length: 10 }, () => send(packet)));
  await until('ten lines', () => log.matching(/opened|replay/).length === 10);
  t.equal(log.matching(/opened/).length, 1);
});

t.test(
  'what is not permitted, stale, of a stranger or no packet has its line and opens nothing',
  async (t) => {
    const { log, send, kernel } = await startGate(t, {});
    const now = Math.floor(Date.now() / 1000);
    await send(
      await sealOf(
        messageOf({ request: { kind: 'access', source: null, ports: portsOf('tcp/23') } }),
        keys.sealing,
      ),
    );
    await log.has(/^warning: denied tcp\/23 for its source: .*OPEN_PORTS/);
    await send(await sealOf(messageOf({ timestampSeconds: now - 500 }), keys.sealing));
    await log.has(/^warning: denied .*50\d s old/);
    await send(await sealOf(messageOf({}), createSharedKeys().sealing));
    await log.has(/^warning: \[127\.0\.0\.1\] \(stanza #1\) Error creating fko context: .*\(hmac\)/);
    await send(Buffer.alloc(200, '\n'));
    await log.has(/\(packet-alphabet\)/);
    await send(Buffer.alloc(139, 'A'));
    await send(Buffer.alloc(1501, 'A'));
    await until('two wrong lengths', () => log.matching(/\(packet-length\)/).length === 2);
    t.equal(kernel.doors.size, 0);
  },
);

t.test('with -v the log has no more of a message than its fields that matter', async (t) => {
  const { log, send } = await startGate(t, {});
  const message = messageOf({});
  await send(await sealOf(message, keys.sealing));
  await log.has(/opened/);
  await send(
    await sealOf(
      { ...message, username: 'carol', randomValue: '1234567890123456' },
      createSharedKeys().sealing,
    ),
  );
  await log.has(/\(hmac\)/);
  const all = log.matching(/./).join('\n');
  t.match(all, 'alice');
  for (const text of [message.randomValue, '1234567890123456', 'carol', '3.0.0']) t.notMatch(all, text);
});

t.test('a message that was denied is burnt', async (t) => {
  const { daemon, log, send, config, kernel } = await startGate(t, {
    stanzas: [stanzaOf({ keys: [keys.opening], openPorts: portsOf('tcp/443') })],
  });
  const packet = await sealOf(messageOf({}), keys.sealing);
  await send(packet);
  await log.has(/denied .*OPEN_PORTS/);
  await daemon.reload({ config, stanzas: [stanza], roster: null });
  await send(packet);
  await log.has(/denied .*replay/);
  t.equal(kernel.doors.size, 0);
});

t.test('a store that fails opens nothing, and the daemon lives', async (t) => {
  const replay = createMemoryReplayStore({ floorSeconds: 0 });
  let isBroken = true;
  const claim: typeof replay.claim = async (message) => {
    if (isBroken) throw new ReplayError('replay store /x: no space left on device');
    return replay.claim(message);
  };
  const { log, send, kernel } = await startGate(t, { replay: { ...replay, claim } });
  const packet = await sealOf(messageOf({}), keys.sealing);
  await send(packet);
  await log.has(/^error: could not open tcp\/22 .*: replay store \/x: no space left on device; user alice/);
  t.equal(kernel.doors.size, 0);
  isBroken = false;
  await send(packet);
  await log.has(/opened/);
});

t.test('rules that somebody removed are put back, once, and the door opens', async (t) => {
  const kernel = createMemoryKernel();
  const firewall = createMemoryFirewall({ now: Date.now, kernel });
  const grant: typeof firewall.grant = async (wanted) => {
    if (kernel.policy === null) throw new FirewallError('nft', 1, 'no such table');
    return firewall.grant(wanted);
  };
  const { log, send } = await startGate(t, { firewall: { ...firewall, grant } });
  kernel.policy = null;
  await send(await sealOf(messageOf({}), keys.sealing));
  await log.has(/opened/);
  t.equal(
    log.matching(/^warning: the firewall's rules were changed by somebody; put back with 1 open door$/)
      .length,
    1,
  );
});

t.test('a firewall that fails opens nothing, burns the message, and the daemon lives', async (t) => {
  const firewall = createMemoryFirewall({ now: Date.now });
  let tries = 0;
  const grant = async (): Promise<never> => {
    tries += 1;
    throw new FirewallError('nft', 1, 'no such table');
  };
  const { log, send } = await startGate(t, { firewall: { ...firewall, grant } });
  const packet = await sealOf(messageOf({}), keys.sealing);
  await send(packet);
  await log.has(/^error: could not open tcp\/22 for its source: nft: no such table \(status 1\)/);
  t.equal(tries, 2);
  await send(packet);
  await log.has(/denied .*replay/);
});

t.test('more packets at once than can be looked at are dropped, and counted', async (t) => {
  const replay = createMemoryReplayStore({ floorSeconds: 0 });
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const claim: typeof replay.claim = async (message) => {
    await held;
    return replay.claim(message);
  };
  const { log, send } = await startGate(t, { replay: { ...replay, claim } });
  const packet = await sealOf(messageOf({}), keys.sealing);
  for (let sent = 0; log.matching(/overload/).length === 0; sent++) {
    if (sent > 5000) throw new Error('five thousand packets are no overload');
    await send(packet);
    // A small datagram is sent at once; this lets the daemon receive it.
    await turn();
  }
  t.equal(log.matching(/opened|replay/).length, 0);
  release();
  await log.has(/opened/);
  await send(await sealOf(messageOf({}), keys.sealing));
  await until('the next one gets in', () => log.matching(/opened/).length === 2);
});

t.test('a daemon with a packet limit ends after it, and finishes what it began', async (t) => {
  const { daemon, log, send } = await startGate(t, { packetLimit: 2 });
  await send(await sealOf(messageOf({}), keys.sealing));
  await send(await sealOf(messageOf({}), keys.sealing));
  await daemon.closed;
  t.equal(log.matching(/opened/).length, 2);
});

t.test('a daemon that ends waits for the packet it is at', async (t) => {
  const firewall = createMemoryFirewall({ now: Date.now });
  const steps: string[] = [];
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { daemon, send } = await startGate(t, {
    firewall: {
      ...firewall,
      grant: async (wanted) => {
        steps.push('grant begins');
        await held;
        steps.push('grant ends');
        return firewall.grant(wanted);
      },
      close: async () => {
        steps.push('close');
      },
    },
  });
  await send(await sealOf(messageOf({}), keys.sealing));
  await until('a grant', () => steps.length === 1);
  const closing = daemon.close();
  release();
  await closing;
  t.same(steps, ['grant begins', 'grant ends', 'close']);
});

t.test(
  'a firewall that cannot be left in order is told to who waits, and the store is closed all the same',
  async (t) => {
    const error = new FirewallError('nft', null, 'no answer');
    let isClosed = false;
    const close = async (): Promise<void> => {
      isClosed = true;
    };
    const { daemon, send } = await startGate(t, {
      packetLimit: 1,
      firewall: {
        ...createMemoryFirewall({ now: Date.now }),
        close: async () => {
          throw error;
        },
      },
      replay: { ...createMemoryReplayStore({ floorSeconds: 0 }), close },
      endsInDisorder: true,
    });
    await send(Buffer.alloc(200, 'A'));
    await t.rejects(daemon.closed, error);
    await t.rejects(daemon.close(), error);
    t.equal(isClosed, true);
  },
);

t.test('a reload changes stanzas and protected ports while packets come; doors stay open', async (t) => {
  const { daemon, log, send, kernel, config } = await startGate(t, {});
  await send(await sealOf(messageOf({}), keys.sealing));
  await log.has(/opened tcp\/22/);
  const both = [stanzaOf({ keys: [keys.opening], openPorts: portsOf('tcp/22,tcp/443') })];
  const work: Promise<void>[] = [];
  for (let i = 0; i < 20; i++) {
    work.push(daemon.reload({ config, stanzas: i % 2 === 0 ? both : [stanza], roster: null }));
    await send(await sealOf(messageOf({}), keys.sealing));
  }
  await Promise.all(work);
  await until('all packets', () => log.matching(/opened tcp\/22/).length === 21);
  await daemon.reload({ config, stanzas: both, roster: null });
  t.same(kernel.policy?.protectedPorts, portsOf('tcp/22,tcp/443'));
  t.equal(kernel.doors.size, 1);
  await send(
    await sealOf(
      messageOf({ request: { kind: 'access', source: null, ports: portsOf('tcp/443') } }),
      keys.sealing,
    ),
  );
  await log.has(/opened tcp\/443/);
});

t.test('a reload that the firewall refuses changes nothing', async (t) => {
  const firewall = createMemoryFirewall({ now: Date.now });
  let isBroken = false;
  const install: typeof firewall.install = async (policy, options) => {
    if (isBroken) throw new FirewallError('nft', 1, 'no such chain');
    return firewall.install(policy, options);
  };
  const { daemon, log, send, config } = await startGate(t, { firewall: { ...firewall, install } });
  isBroken = true;
  const other = stanzaOf({ keys: [keys.opening], openPorts: portsOf('tcp/443') });
  await t.rejects(
    daemon.reload({ config: { ...config, maxPacketAgeSeconds: 1 }, stanzas: [other], roster: null }),
    FirewallError,
  );
  await send(await sealOf(messageOf({}), keys.sealing));
  await log.has(/opened tcp\/22/);
});

t.test('a daemon that has ended puts no rules in place again', async (t) => {
  const kernel = createMemoryKernel();
  const { daemon, config } = await startGate(t, {
    firewall: createMemoryFirewall({ now: Date.now, kernel }),
  });
  await daemon.close();
  kernel.policy = null;
  await daemon.reload({ config, stanzas: [stanza], roster: null });
  t.equal(kernel.policy, null);
});

t.test('the kernel drops what no packet begins like, unless requests of HTTP may carry one', async (t) => {
  for (const [extra, isFiltered] of [
    [[], true],
    [['ENABLE_SPA_OVER_HTTP Y'], false],
    [['SPA_PREFILTER N'], false],
  ] as const) {
    const kernel = createMemoryKernel();
    const config = await configOf(t, extra);
    const daemon = await startDaemon(partsOf({ config }), async () => twins(kernel));
    const { preFilter } = kernel.policy ?? {};
    t.equal((preFilter?.beginnings ?? null) !== null, isFiltered, `${extra}`);
    await daemon.close();
  }
});

t.test('a reload that needs a restart says so, and keeps the port', async (t) => {
  const { daemon, log, send, config } = await startGate(t, {});
  await daemon.reload({
    config: {
      ...config,
      reception: { ...config.reception, datagrams: { kind: 'socket', port: 1 } },
      replayStore: '/elsewhere',
    },
    stanzas: [stanza],
    roster: null,
  });
  t.equal(log.matching(/^warning: (UDPSERV_PORT|REPLAY_STORE) has changed: restart the daemon/).length, 2);
  await send(await sealOf(messageOf({}), keys.sealing));
  await log.has(/opened/);
});

t.test('a port that is taken is the error of the system, and nothing is opened', async (t) => {
  const { config } = await startGate(t, {});
  let opened = 0;
  const starting = startDaemon(partsOf({ config }), async () => {
    opened += 1;
    return twins();
  });
  await t.rejects(starting, { code: 'EADDRINUSE' });
  t.equal(opened, 0);
});

t.test('a daemon that cannot start leaves the port, the firewall and the store', async (t) => {
  const config = await configOf(t);
  const error = new FirewallError('nft', 1, 'no such chain');
  const left: string[] = [];
  const ports = twins();
  await t.rejects(
    startDaemon(partsOf({ config }), async () => ({
      firewall: {
        ...ports.firewall,
        install: async () => {
          throw error;
        },
        close: async () => {
          left.push('firewall');
          throw new FirewallError('nft', 1, 'this neither');
        },
      },
      replay: {
        ...ports.replay,
        close: async () => {
          left.push('store');
        },
      },
    })),
    error,
  );
  t.same(left, ['firewall', 'store']);
  const failed = startDaemon(partsOf({ config }), async () => {
    throw new ReplayError('replay store /x: not to be had');
  });
  await t.rejects(failed, ReplayError);
  const daemon = await startDaemon(partsOf({ config }), async () => twins());
  await daemon.close();
});

t.test('a store from a time when the clock was ahead is told, with what to do', async (t) => {
  const floorSeconds = Math.floor(Date.now() / 1000) + 86_400;
  const { log, send } = await startGate(t, { replay: createMemoryReplayStore({ floorSeconds }) });
  t.equal(
    log.matching(/^warning: no packet made before .*clock was ahead.*remove .*start it again/).length,
    1,
  );
  await send(await sealOf(messageOf({}), keys.sealing));
  await log.has(/denied .*send a new one/);
});

t.test('with --test nothing real is opened', async (t) => {
  const config = await configOf(t);
  const log = createReadableLog();
  const daemon = await startDaemon({ ...partsOf({ config, log }), dryRun: true });
  t.teardown(() => daemon.close());
  await sendTo(portOf(config), await sealOf(messageOf({}), keys.sealing));
  await until('a grant', () => log.lines.some((line) => /opened tcp\/22/.test(line)));
  t.match(
    log.lines[1],
    /^info: listening on 127\.0\.0\.1 port \d+; firewall: none, no door opens; 1 stanzas$/,
  );
});

interface GateOptions extends Partial<DaemonPorts> {
  readonly stanzas?: readonly Stanza[];
  readonly packetLimit?: number;
  /** The test looks at the outcome of `close` itself. */
  readonly endsInDisorder?: true;
}

interface Gate {
  readonly daemon: Daemon;
  readonly config: ServerConfig;
  readonly kernel: MemoryKernel;
  readonly log: {
    matching(pattern: RegExp): readonly string[];
    /** Resolves once a line matches. */
    has(pattern: RegExp): Promise<void>;
  };
  send(packet: Buffer): Promise<void>;
}

/** A daemon on a free port of 127.0.0.1 that speaks to twins. */
async function startGate(t: Test, options: GateOptions): Promise<Gate> {
  const { stanzas = [stanza], packetLimit = null, endsInDisorder } = options;
  const kernel = createMemoryKernel();
  const log = createReadableLog();
  const config = await configOf(t);
  const daemon = await startDaemon({ ...partsOf({ config, log }), stanzas, packetLimit }, async () => ({
    ...twins(kernel),
    ...options,
  }));
  t.teardown(() => (endsInDisorder ? undefined : daemon.close()));
  const matching = (pattern: RegExp): readonly string[] =>
    [...log.lines, ...log.debugLines].filter((line) => pattern.test(line));
  return {
    daemon,
    config,
    kernel,
    log: { matching, has: (pattern) => until(`${pattern}`, () => matching(pattern).length > 0) },
    send: (packet) => sendTo(portOf(config), packet),
  };
}

function twins(kernel: MemoryKernel = createMemoryKernel()): DaemonPorts {
  return {
    firewall: createMemoryFirewall({ now: Date.now, kernel }),
    replay: createMemoryReplayStore({ floorSeconds: 0 }),
  };
}

function partsOf({
  config,
  log = createReadableLog(),
}: {
  config: ServerConfig;
  log?: ReturnType<typeof createReadableLog>;
}) {
  return { config, stanzas: [stanza], roster: null, log, dryRun: false, packetLimit: null };
}

async function configOf(t: Test, extra: readonly string[] = []): Promise<ServerConfig> {
  const folder = mkdtempSync(join(tmpdir(), 'daemon-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const text = [
    `UDPSERV_PORT ${await freePort()}`,
    'LISTEN_ADDRESS 127.0.0.1',
    `REPLAY_STORE ${join(folder, 'replay')}`,
    ...extra,
  ].join('\n');
  return parseServerConfig(join(folder, 'fwknopd.conf'), text, []).value;
}

function portOf({ reception: { datagrams } }: ServerConfig): number {
  return datagrams.kind === 'socket' ? datagrams.port : 0;
}

function sendTo(port: number, packet: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.send(packet, port, '127.0.0.1', (error) => {
      socket.close();
      if (error === null) resolve();
      else reject(error);
    });
  });
}
