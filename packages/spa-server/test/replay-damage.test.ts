import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import t, { type Test } from 'tap';
import { replayFromConfig } from '../src/replay/from-config.ts';
import { openReplayStore } from '../src/replay/lmdb.ts';
import { findDamage } from '../src/replay/lmdb-data-file.ts';
import type { ClaimedMessage, DurableReplayStore, ReplayStore } from '../src/replay/replay-store.ts';
import { idOf } from './replay-contract.ts';

const MEMORY = '/dev/shm';
const hasMemory = statfsSync(MEMORY).type === 0x01021994;
const MAX_AGE_SECONDS = 120;
const LARGEST_PAGE_BYTES = 65_536;

t.test('whichever bit of a store changes, it is seen, or nothing is forgotten', async (t) => {
  const folder = folderIn(t);
  const known = await fillStore(folder);
  const whole = readFileSync(join(folder, 'data.mdb'));
  // The rest is room.
  const used = whole.findLastIndex((octet) => octet !== 0) + 1;
  const file = whole.subarray(0, Math.ceil(used / LARGEST_PAGE_BYTES) * LARGEST_PAGE_BYTES);
  t.equal(findDamage(folder), null);
  const fast = folderIn(t, hasMemory ? MEMORY : tmpdir());
  const next = createRandom(20_260_726);
  let seen = 0;
  for (let i = 0; i < 40; i++) {
    const changed = Buffer.from(file);
    const at = next(used);
    changed.writeUInt8(changed.readUInt8(at) ^ (1 << next(8)), at);
    const copy = mkdtempSync(join(fast, 'copy-'));
    writeFileSync(join(copy, 'data.mdb'), changed);
    if (findDamage(copy) !== null) seen += 1;
    else await mustKnow(t, copy, known, `octet ${at}`);
  }
  t.ok(seen > 3, `${seen} were seen`);
});

t.test('after whatever use, killed at whatever moment, a store is not taken for a damaged one', async (t) => {
  const folder = folderIn(t);
  const copy = folderIn(t);
  const next = createRandom(1);
  let store = await openReplayStore(folder, 999);
  let second = 1000;
  for (let round = 0; round < 60; round++) {
    const messages = Array.from({ length: 1 + next(400) }, (_, i) =>
      messageOf(`${round} ${i}`, second + next(60)),
    );
    await Promise.all(messages.map((message) => store.claim(message)));
    if (next(3) === 0) {
      second += next(60);
      await store.raiseFloor(second);
    }
    if (next(10) === 0) {
      await store.close();
      store = await openReplayStore(folder, 999);
    }
    copyFileSync(join(folder, 'data.mdb'), join(copy, 'data.mdb'));
    t.equal(findDamage(copy), null, `round ${round}`);
  }
  await store.close();
});

t.test('a file of another program is left alone', { skip: !hasMemory }, async (t) => {
  const host = createHost(t);
  await writeDatabase(host.durable, 'addresses');
  const before = readFileSync(join(host.durable, 'data.mdb'));
  await t.rejects(host.open(), { name: 'ReplayError', message: /another program/ });
  t.ok(before.equals(readFileSync(join(host.durable, 'data.mdb'))));
});

t.test('a store of an older version is set aside', { skip: !hasMemory }, async (t) => {
  const host = createHost(t);
  await writeDatabase(host.durable, 'messages');
  const store = await host.open();
  t.teardown(() => store.close());
  t.match(host.warnings, [/older version/]);
});

t.test(
  'a damaged store is set aside, and refuses what it may have known',
  { skip: !hasMemory },
  async (t) => {
    const host = createHost(t);
    const before = await host.open();
    await claim(before, 'now', host.clock + 1);
    await claim(before, 'ahead', host.clock + 100);
    await before.close();
    rmSync(host.volatile, { recursive: true });
    const written = Math.ceil(statSync(join(host.durable, 'data.mdb')).mtimeMs / 1000);
    damage(host.durable);

    const after = await host.open();
    t.teardown(() => after.close());
    t.match(host.warnings, [
      /replay store .*: data\.mdb .*; it is now data\.mdb\.damaged, and a new one begins/,
    ]);
    t.ok(statSync(join(host.durable, 'data.mdb.damaged')).isFile());
    t.ok(after.floorSeconds > written + MAX_AGE_SECONDS);
    t.ok(after.floorSeconds <= written + MAX_AGE_SECONDS + 1, 'nobody waits for longer than that');
    t.equal(await claim(after, 'now', host.clock + 1), 'before-floor');
    t.equal(await claim(after, 'ahead', host.clock + 100), 'before-floor');
  },
);

t.test(
  'a daemon that dies while it sets a store aside is as careful the next time',
  { skip: !hasMemory },
  async (t) => {
    const host = createHost(t);
    const before = await host.open();
    await claim(before, 'ahead', host.clock + 100);
    await before.close();
    rmSync(host.volatile, { recursive: true });
    copyFileSync(join(host.durable, 'data.mdb'), join(host.durable, 'data.mdb.damaged'));
    rmSync(join(host.durable, 'data.mdb'));
    const after = await host.open();
    t.teardown(() => after.close());
    t.equal(await claim(after, 'ahead', host.clock + 100), 'before-floor');
  },
);

t.test(
  'if the store in the run folder is damaged, the mark says what is refused',
  { skip: !hasMemory },
  async (t) => {
    const host = createHost(t);
    const before = await host.open();
    await claim(before, 'now', host.clock + 1);
    await claim(before, 'ahead', host.clock + 100);
    await before.close();
    damage(host.volatile);
    const after = await host.open();
    t.teardown(() => after.close());
    t.equal(host.warnings.length, 1);
    t.equal(await claim(after, 'now', host.clock + 1), 'before-floor');
    t.equal(await claim(after, 'ahead', host.clock + 100), 'replayed');
    t.equal(await claim(after, 'new', host.clock + 36), 'claimed');
  },
);

/** Messages of all kinds of seconds: with one, with some, and with pages full of them; some were forgotten. */
async function fillStore(folder: string): Promise<readonly ClaimedMessage[]> {
  const store = await openReplayStore(folder, 999);
  const old = Array.from({ length: 600 }, (_, i) => messageOf(`old ${i}`, 1000 + (i % 7)));
  await Promise.all(old.map((message) => store.claim(message)));
  await store.raiseFloor(1100);
  const messages = Array.from({ length: 2000 }, (_, i) =>
    messageOf(`new ${i}`, 1100 + (i % 5 === 0 ? i : i % 4)),
  );
  for (let i = 0; i < messages.length; i += 100) {
    await Promise.all(messages.slice(i, i + 100).map((message) => store.claim(message)));
  }
  await store.close();
  return messages;
}

async function mustKnow(
  t: Test,
  folder: string,
  known: readonly ClaimedMessage[],
  what: string,
): Promise<void> {
  const store: DurableReplayStore = await openReplayStore(folder, 999);
  const claims = await Promise.all(known.map((message) => store.claim(message)));
  await store.close();
  if (claims.includes('claimed')) t.fail(`${what} made it forget`);
}

async function writeDatabase(folder: string, name: string): Promise<void> {
  const root = open({ path: folder, noSubdir: false });
  await root.openDB({ name }).put('key', 'value');
  await root.close();
}

interface ConfiguredHost {
  readonly clock: number;
  readonly durable: string;
  readonly volatile: string;
  readonly warnings: readonly string[];
  open(): Promise<ReplayStore>;
}

function createHost(t: Test): ConfiguredHost {
  const runFolder = folderIn(t, MEMORY);
  const durable = join(folderIn(t), 'replay');
  const clock = Math.floor(Date.now() / 1000);
  const warnings: string[] = [];
  return {
    clock,
    durable,
    volatile: join(runFolder, 'replay'),
    warnings,
    open: () =>
      replayFromConfig(
        { runFolder, replayStore: durable, maxPacketAgeSeconds: MAX_AGE_SECONDS },
        () => clock,
        (line) => warnings.push(line),
      ),
  };
}

function damage(folder: string): void {
  const path = join(folder, 'data.mdb');
  writeFileSync(path, readFileSync(path).fill(0xff, 8192));
}

function claim(store: ReplayStore, name: string, timestampSeconds: number): Promise<string> {
  return store.claim(messageOf(name, timestampSeconds));
}

function messageOf(name: string, timestampSeconds: number): ClaimedMessage {
  return { id: idOf(name), timestampSeconds };
}

function folderIn(t: Test, parent: string = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'replay-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Whole numbers below a limit, the same ones each time. */
function createRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}
