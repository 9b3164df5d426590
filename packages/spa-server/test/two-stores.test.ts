import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { volatileReplayFolder } from '../src/replay/from-config.ts';
import { openReplayStore } from '../src/replay/lmdb.ts';
import { createMemoryReplayStore } from '../src/replay/memory.ts';
import type { Claim, DurableReplayStore, ReplayStore } from '../src/replay/replay-store.ts';
import { openTwoStores } from '../src/replay/two-stores.ts';
import { idOf, testReplayStore } from './replay-contract.ts';

const MEMORY = '/dev/shm';
const hasMemory = statfsSync(MEMORY).type === 0x01021994;

t.test('in memory', async (t) => {
  testReplayStore(t, async (_, nowSeconds) => createHost(nowSeconds).open());
});

t.test('in files', { skip: !hasMemory }, async (t) => {
  testReplayStore(t, async (t, nowSeconds) =>
    openTwoStores({
      durable: await openReplayStore(folderIn(t, tmpdir()), nowSeconds),
      openVolatile: (nowSeconds) => openReplayStore(folderIn(t, MEMORY), nowSeconds),
      now: () => nowSeconds,
    }),
  );
});

// Stamps from the past to far ahead; the clock may be wrong after what happens.
const STAMPS = [1001, 1010, 1034, 1035, 1036, 1037, 1100, 1119];
const CLOCKS = [500, 999, 1000, 1010, 1036, 1100];

t.test('what was accepted is refused whatever happens to process, host and clock', async (t) => {
  for (const stamp of STAMPS) {
    for (const clock of CLOCKS) {
      for (const happens of ['kill', 'reboot', 'clean reboot', 'two reboots'] as const) {
        const host = createHost(1000);
        const before = await host.open();
        t.equal(await claim(before, 'a', stamp), 'claimed');
        if (happens === 'clean reboot') await host.stop(before);
        if (happens !== 'kill') host.loseMemory();
        host.clock = clock;
        let after = await host.open();
        if (happens === 'two reboots') {
          host.loseMemory();
          after = await host.open();
        }
        t.not(await claim(after, 'a', stamp), 'claimed', `${stamp}, ${happens}, clock ${clock}`);
        host.clock = 1119;
        await after.raiseFloor(999);
        t.not(await claim(after, 'a', stamp), 'claimed', `${stamp}, ${happens}, clock ${clock}, later`);
      }
    }
  }
});

t.test('a message stamped ahead is refused when the clock has reached it', async (t) => {
  const host = createHost(1000);
  const store = await host.open();
  t.equal(await claim(store, 'a', 1100), 'claimed');
  host.clock = 1100;
  await store.raiseFloor(980);
  t.equal(await claim(store, 'a', 1100), 'replayed');
});

t.test('a message stamped now is not written to the disk, and one stamped far ahead is', async (t) => {
  const host = createHost(1000);
  const store = await host.open();
  await claim(store, 'now', 1001);
  t.equal(host.flushes, 0);
  await claim(store, 'ahead', 1100);
  t.equal(host.flushes, 1);
  host.clock = 1030;
  await store.raiseFloor(910);
  await claim(store, 'later', 1060);
  t.equal(host.flushes, 1, 'the mark goes with the clock');
});

t.test('if the mark is late, the disk is asked', async (t) => {
  const host = createHost(1000);
  const store = await host.open();
  host.clock = 1050;
  t.equal(await claim(store, 'a', 1050), 'claimed');
  t.equal(host.flushes, 1);
});

t.test('nobody waits after a clean reboot; after a crash, until the mark', async (t) => {
  const host = createHost(1000);
  const first = await host.open();
  await claim(first, 'a', 1002);
  await host.stop(first);
  host.loseMemory();
  host.clock = 1005;
  const second = await host.open();
  t.equal(second.floorSeconds, 1006);
  host.loseMemory();
  host.clock = 1010;
  t.equal((await host.open()).floorSeconds, 1042);
});

t.test('what is lost with the store on the disk is refused', async (t) => {
  const host = createHost(1000);
  await claim(await host.open(), 'a', 1050);
  host.loseDisk();
  host.loseMemory();
  host.clock = 1060;
  t.equal(await claim(await host.open(), 'a', 1050), 'before-floor');
});

t.test(
  'files in memory and on the disk: what a reboot could undo is on the disk',
  { skip: !hasMemory },
  async (t) => {
    const disk = folderIn(t, tmpdir());
    const memory = folderIn(t, MEMORY);
    let clock = 1000;
    const open = async (): Promise<ReplayStore> =>
      openTwoStores({
        durable: await openReplayStore(disk, clock),
        openVolatile: (nowSeconds) => openReplayStore(memory, nowSeconds),
        now: () => clock,
      });
    const before = await open();
    t.equal(await claim(before, 'now', 1001), 'claimed');
    t.equal(await claim(before, 'ahead', 1100), 'claimed');
    await before.close();
    const restarted = await open();
    t.equal(await claim(restarted, 'now', 1001), 'replayed');
    t.equal(await claim(restarted, 'ahead', 1100), 'replayed');
    await restarted.close();
    rmSync(memory, { recursive: true });
    clock = 1050;
    const rebooted = await open();
    t.teardown(() => rebooted.close());
    t.equal(rebooted.floorSeconds, 1051);
    t.equal(await claim(rebooted, 'now', 1001), 'before-floor');
    t.equal(await claim(rebooted, 'ahead', 1100), 'replayed');
    t.equal(await claim(rebooted, 'new', 1100), 'claimed');
  },
);

t.test(
  'two stores only if the run folder is in memory and the other is not',
  { skip: !hasMemory },
  async (t) => {
    const disk = folderIn(t, tmpdir());
    const onDisk = statfsSync(disk).type !== 0x01021994;
    const runFolder = join(MEMORY, 'not', 'there');
    t.equal(volatileReplayFolder({ runFolder: disk, replayStore: disk }), null);
    t.equal(volatileReplayFolder({ runFolder, replayStore: join(MEMORY, 'x') }), null);
    t.equal(
      volatileReplayFolder({ runFolder, replayStore: disk }),
      onDisk ? join(runFolder, 'replay') : null,
    );
  },
);

interface Host {
  clock: number;
  /** Claims that waited for the disk. */
  readonly flushes: number;
  open(): Promise<ReplayStore>;
  stop(store: ReplayStore): Promise<void>;
  loseMemory(): void;
  loseDisk(): void;
}

/** A host whose stores outlive the daemon: it dies without closing them. */
function createHost(nowSeconds: number): Host {
  let flushes = 0;
  let disk: DurableReplayStore | null = null;
  let memory: ReplayStore | null = null;
  return {
    clock: nowSeconds,
    get flushes() {
      return flushes;
    },
    async open() {
      disk ??= createMemoryReplayStore({ floorSeconds: this.clock + 1 });
      const kept = disk;
      const durable: DurableReplayStore = {
        get floorSeconds() {
          return kept.floorSeconds;
        },
        get latestSeconds() {
          return kept.latestSeconds;
        },
        get markSeconds() {
          return kept.markSeconds;
        },
        setMark: kept.setMark,
        look: kept.look,
        claim: async (message) => {
          flushes += 1;
          return kept.claim(message);
        },
        raiseFloor: kept.raiseFloor,
        close: async () => {},
      };
      const openVolatile = async (nowSeconds: number): Promise<ReplayStore> => {
        memory ??= createMemoryReplayStore({ floorSeconds: nowSeconds + 1 });
        return memory;
      };
      return openTwoStores({ durable, openVolatile, now: () => this.clock });
    },
    stop: (store) => store.close(),
    loseMemory: () => {
      memory = null;
    },
    loseDisk: () => {
      disk = null;
    },
  };
}

function claim(store: ReplayStore, name: string, timestampSeconds: number): Promise<Claim> {
  return store.claim({ id: idOf(name), timestampSeconds });
}

function folderIn(t: Test, parent: string): string {
  const folder = mkdtempSync(join(parent, 'replay-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
