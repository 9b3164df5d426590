import { createSocket } from 'node:dgram';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from 'spa-lab';
import t, { type Test } from 'tap';
import { parseServerConfig } from '../src/config/server-config.ts';
import { askDaemon, controlPath } from '../src/control/socket.ts';
import { startDaemon } from '../src/daemon.ts';
import { createMemoryFirewall, createMemoryKernel, wipeMemoryKernel } from '../src/firewall/memory.ts';
import { parseSelector } from '../src/grants/selector.ts';
import { createMemoryReplayStore } from '../src/replay/memory.ts';
import { freePort } from './free-port.ts';
import { createReadableLog, createSharedKeys, messageOf, sealOf, stanzaOf } from './gate.ts';

const keys = createSharedKeys();

t.test('a daemon says who holds a door, and closes it', async (t) => {
  const { path, knock, kernel, log } = await startAskable(t);
  await knock();
  t.match(await askDaemon(path, { do: 'list' }), {
    firewall: 'none, no door opens',
    doors: [
      { port: 'tcp/22', address: '127.0.0.1', grants: [{ username: 'alice', operator: null, stanza: 1 }] },
    ],
  });
  const which = parseSelector('user=alice');
  t.match(await askDaemon(path, { do: 'revoke', which, cut: false }), {
    grants: 1,
    closed: [{ port: 'tcp/22', address: '127.0.0.1' }],
    kept: [],
    cut: null,
  });
  t.equal(kernel.doors.size, 0);
  t.match(log.lines.at(-1), /^warning: revoked 1 grant of user=alice; closed tcp\/22 for 127\.0\.0\.1$/);
  await knock();
  t.equal(kernel.doors.size, 1, 'a revocation is no ban');
});

t.test(
  'a packet that arrived before its sender was revoked opens nothing, one that comes later does',
  async (t) => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let claims = 0;
    const { path, send, knock, kernel, log } = await startAskable(t, undefined, async () => {
      claims += 1;
      await held;
    });
    await send();
    await until('it is being judged', () => claims === 1);
    await askDaemon(path, { do: 'revoke', which: parseSelector('user=alice'), cut: false });
    release();
    await until('it is denied', () =>
      log.lines.some((line) => /^warning: denied .*revoked while/.test(line)),
    );
    t.equal(kernel.doors.size, 0);
    await knock();
    t.equal(kernel.doors.size, 1);
  },
);

t.test(
  'who revokes while the configuration is being read again is answered when it is in force',
  async (t) => {
    const { path, daemon, log } = await startAskable(t);
    let loaded = (): void => {};
    daemon.delayAnswers(
      new Promise<void>((resolve) => {
        loaded = resolve;
      }),
    );
    let isAnswered = false;
    const asking = askDaemon(path, { do: 'revoke', which: { by: 'all' }, cut: false }).then(() => {
      isAnswered = true;
    });
    await askDaemon(path, { do: 'nothing' } as never);
    t.equal(isAnswered, false);
    t.notMatch(log.lines, /revoked/);
    loaded();
    await asking;
    t.match(log.lines.at(-1), /revoked 0 grants of everybody/);
  },
);

t.test(
  'the next daemon knows whose the doors are that the last one left; only one is asked at a time',
  async (t) => {
    const first = await startAskable(t);
    await first.knock();
    await t.rejects(startAskable(t, first), { name: 'UnavailableError', message: /another daemon uses/ });
    await first.daemon.close();
    t.notOk(existsSync(first.path));
    const next = await startAskable(t, first);
    t.match(await askDaemon(next.path, { do: 'list' }), { doors: [{ grants: [{ username: 'alice' }] }] });
  },
);

t.test('rules that are swept away come back within seconds, without a packet', async (t) => {
  const { knock, kernel, log } = await startAskable(t);
  await knock();
  wipeMemoryKernel(kernel);
  await until('they are back', () => kernel.policy !== null);
  t.equal(kernel.doors.size, 1);
  await until('that is told', () => log.lines.some((line) => /put back with 1 open door$/.test(line)));
});

interface Left {
  readonly folder: string;
  readonly kernel: ReturnType<typeof createMemoryKernel>;
}

/** A daemon with a run folder. Its doors stay when it ends. */
async function startAskable(t: Test, left?: Left, beforeClaim: () => Promise<void> = async () => {}) {
  const folder = left?.folder ?? mkdtempSync(join(tmpdir(), 'askable-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const kernel = left?.kernel ?? createMemoryKernel();
  const port = await freePort();
  const text = `UDPSERV_PORT ${port}\nLISTEN_ADDRESS 127.0.0.1\nFLUSH_IPT_AT_INIT N\nFLUSH_IPT_AT_EXIT N`;
  const config = parseServerConfig(join(folder, 'fwknopd.conf'), text, []).value;
  const log = createReadableLog();
  const replay = createMemoryReplayStore({ floorSeconds: 0 });
  const stanzas = [stanzaOf({ keys: [keys.opening] })];
  const daemon = await startDaemon(
    { config, stanzas, roster: null, log, dryRun: false, packetLimit: null },
    async () => ({
      firewall: createMemoryFirewall({ now: Date.now, kernel }),
      replay: {
        ...replay,
        claim: async (message) => {
          await beforeClaim();
          return replay.claim(message);
        },
      },
      runFolder: folder,
    }),
  );
  t.teardown(() => daemon.close());
  const opened = (): number => log.lines.filter((line) => line.startsWith('info: opened')).length;
  const send = async (): Promise<void> => {
    const socket = createSocket('udp4');
    socket.send(await sealOf(messageOf({}), keys.sealing), port, '127.0.0.1', () => socket.close());
  };
  const knock = async (): Promise<void> => {
    const before = opened();
    await send();
    await until('the door opens', () => opened() > before);
  };
  return { daemon, log, send, knock, kernel, folder, path: controlPath(folder) };
}
