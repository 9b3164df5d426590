import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandRequest } from 'spa-core';
import { until } from 'spa-lab';
import t, { type Test } from 'tap';
import { openCycleJournal } from '../src/commands/cycle-journal.ts';
import { parseServerConfig } from '../src/config/server-config.ts';
import { askDaemon, controlPath } from '../src/control/socket.ts';
import { type Daemon, startDaemon } from '../src/daemon.ts';
import type { DaemonPorts } from '../src/daemon-ports.ts';
import { createMemoryFirewall, createMemoryKernel } from '../src/firewall/memory.ts';
import { parseSelector } from '../src/grants/selector.ts';
import { createMemoryReplayStore } from '../src/replay/memory.ts';
import { freePort } from './free-port.ts';
import { createReadableLog, createSharedKeys, messageOf, sealOf, stanzaOf } from './gate.ts';

const keys = createSharedKeys();
const cycleKeys = createSharedKeys();

t.test('the command of a message runs once, however often the packet comes', async (t) => {
  const { send, command, has, wrote } = await startRig(t);
  const packet = await sealOf(messageOf({ request: command }), keys.sealing);
  await send(packet);
  await has(/CMD_EXEC: command returned 0, pid_status: 0/);
  await send(packet);
  await has(/replay: this message was accepted before/);
  t.equal(wrote('ran'), 'x');
});

t.test('a dry run runs nothing, and what the last daemon left is not its business', async (t) => {
  const first = await startRig(t);
  await first.knock();
  await until('it is open', () => first.wrote('open') === 'x');
  const dry = await startRig(t, { folder: first.folder, dryRun: true });
  await dry.send(await sealOf(messageOf({ request: dry.command }), keys.sealing));
  await dry.has(/Running command/);
  await dry.knock();
  await dry.has(/Running CMD_CYCLE_OPEN command/);
  await dry.daemon.close();
  t.equal(dry.wrote('ran'), '');
  t.equal(dry.wrote('open'), 'x', 'only that of the first');
  t.equal(dry.wrote('close'), '');
});

t.test('a revocation closes what commands have opened, and a reload does not', async (t) => {
  const { daemon, knock, wrote, runFolder, has, reload } = await startRig(t);
  await knock();
  await until('it is open', () => wrote('open') === 'x');
  await reload();
  t.match(await askDaemon(controlPath(runFolder), { do: 'counters' }), {
    counters: [
      {},
      { what: 'opened by commands', count: 1 },
      {},
      { what: 'close commands still to be run', count: 1 },
    ],
  });
  const revoke = (who: string) =>
    askDaemon(controlPath(runFolder), { do: 'revoke', which: parseSelector(who), cut: false });
  t.notMatch(await revoke('user=bob'), { byCommands: 1 });
  t.equal(wrote('close'), '');
  t.match(await revoke('user=alice'), { grants: 0, byCommands: 1 });
  await has(/Timer expired, running CMD_CYCLE_CLOSE command/);
  await until('it is closed', () => wrote('close') === 'x');
  await daemon.close();
  t.equal(wrote('close'), 'x', 'and that is all');
});

t.test('a message of somebody who is revoked meanwhile runs nothing', async (t) => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let claims = 0;
  const claiming = async (): Promise<void> => {
    claims += 1;
    await held;
  };
  const { knock, send, command, has, wrote, runFolder } = await startRig(t, { claiming });
  await knock();
  await send(await sealOf(messageOf({ request: command }), keys.sealing));
  await until('both are being judged', () => claims === 2);
  const which = parseSelector('address=127.0.0.1');
  await askDaemon(controlPath(runFolder), { do: 'revoke', which, cut: false });
  release();
  await has(/denied tcp\/22 .*it was revoked/);
  await has(/denied command .*it was revoked/);
  t.equal(wrote('open') + wrote('ran'), '');
});

t.test('what cannot be written down is not opened, and the daemon lives', async (t) => {
  const rig = await startRig(t);
  writeFileSync(join(rig.folder, 'replay-closes'), 'in the way');
  await rig.knock();
  await rig.has(/^error: could not open tcp\/22 .*its close command cannot be written down/);
  t.equal(rig.wrote('open'), '');
  rmSync(join(rig.folder, 'replay-closes'));
  await rig.knock();
  await until('it is open', () => rig.wrote('open') === 'x');
});

t.test('with FLUSH_IPT_AT_EXIT N what is open stays for the next daemon', async (t) => {
  const first = await startRig(t, { server: ['FLUSH_IPT_AT_EXIT N'] });
  await first.knock();
  await until('it is open', () => first.wrote('open') === 'x');
  await first.daemon.close();
  t.equal(first.wrote('close'), '');
  t.equal(readdirSync(join(first.folder, 'replay-closes')).length, 1);
  const second = await startRig(t, { folder: first.folder });
  await second.daemon.close();
  t.equal(second.wrote('close'), 'x');
});

t.test('a stanza of commands runs no commands of messages', async (t) => {
  const rig = await startRig(t);
  await rig.send(await sealOf(messageOf({ request: rig.command }), cycleKeys.sealing));
  await rig.has(/SPA Command messages are not allowed in the current configuration/);
  t.equal(rig.wrote('ran'), '');
});

interface Rig {
  readonly daemon: Daemon;
  readonly folder: string;
  readonly runFolder: string;
  /** Makes a file `ran`. */
  readonly command: CommandRequest;
  /** What commands have written into a file of that name: an x each. */
  wrote(name: string): string;
  has(pattern: RegExp): Promise<void>;
  send(packet: Buffer): Promise<void>;
  /** Asks for tcp/22, which commands open. */
  knock(): Promise<void>;
  reload(): Promise<void>;
}

interface RigOptions {
  /** What another rig has left. */
  readonly folder?: string;
  readonly dryRun?: boolean;
  /** Lines of fwknopd.conf. */
  readonly server?: readonly string[];
  claiming?(): Promise<void>;
}

/** A daemon with a stanza that runs commands of messages, and one whose commands open tcp/22. */
async function startRig(t: Test, options: RigOptions = {}): Promise<Rig> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'spa-commands-'));
  const runFolder = join(folder, 'run');
  const program = join(folder, 'add');
  if (options.folder === undefined) {
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    mkdirSync(runFolder);
    writeFileSync(program, `#!/bin/sh\nprintf x >> ${folder}/$1\n`, { mode: 0o755 });
  }
  const port = await freePort();
  const lines = [
    ...[`UDPSERV_PORT ${port}`, 'LISTEN_ADDRESS 127.0.0.1', `REPLAY_STORE ${join(folder, 'replay')}`],
    ...(options.server ?? []),
  ];
  const config = parseServerConfig(join(folder, 'fwknopd.conf'), lines.join('\n'), []).value;
  const cycle = { open: [program, 'open'], close: [program, 'close'], timerSeconds: 600 };
  const stanzas = [
    stanzaOf({ keys: [keys.opening], commands: { account: null, sudo: null } }),
    stanzaOf({ number: 2, keys: [cycleKeys.opening], cycle }),
  ];
  const log = createReadableLog();
  const replay = createMemoryReplayStore({ floorSeconds: 0 });
  const openPorts = async (): Promise<DaemonPorts> => ({
    firewall: createMemoryFirewall({ now: Date.now, kernel: createMemoryKernel() }),
    replay: {
      ...replay,
      claim: async (message) => {
        await options.claiming?.();
        return replay.claim(message);
      },
    },
    journal: openCycleJournal(join(folder, 'replay-closes')),
    runFolder,
  });
  const { dryRun = false } = options;
  const daemon = await startDaemon(
    { config, stanzas, roster: null, log, dryRun, packetLimit: null },
    dryRun ? undefined : openPorts,
  );
  t.teardown(() => daemon.close());
  const send = async (packet: Buffer): Promise<void> => {
    const socket = createSocket('udp4');
    socket.send(packet, port, '127.0.0.1', () => socket.close());
    await once(socket, 'close');
  };
  return {
    daemon,
    folder,
    runFolder,
    command: { kind: 'command', source: null, command: `${program} ran` },
    wrote: (name) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : ''),
    has: (pattern) => until(`${pattern}`, () => log.lines.some((line) => pattern.test(line))),
    send,
    knock: async () => send(await sealOf(messageOf({}), cycleKeys.sealing)),
    reload: () => daemon.reload({ config, stanzas, roster: null }),
  };
}
