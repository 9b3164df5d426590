import { spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { openReplayStore } from '../src/replay/lmdb.ts';
import type { ClaimedMessage, ReplayStore } from '../src/replay/replay-store.ts';
import { openTwoStores } from '../src/replay/two-stores.ts';
import { idOf } from './replay-contract.ts';

// `replay-full-process.js TASK FOLDER...`: stores on a file system that is full, the first folder, in a mount namespace of
// its own. What happened is one line of JSON.

const TASKS: Readonly<Record<string, (folder: string, other: string) => Promise<object>>> = {
  claims: fillWithClaims,
  mark: keepMark,
};

const [task = '', folder = '', other = ''] = process.argv.slice(2);
const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=10m', 'tmpfs', folder], {
  encoding: 'utf8',
});
if (status !== 0) throw new Error(stderr);
process.stdout.write(`${JSON.stringify(await TASKS[task]?.(folder, other))}\n`);

/** Messages are claimed until there is no room, and then there is. */
async function fillWithClaims(folder: string): Promise<object> {
  const ballast = join(folder, 'ballast');
  fill(ballast, 5 * 1024 * 1024);
  const store = await openReplayStore(join(folder, 'replay'), 999);
  const claimed: ClaimedMessage[] = [];
  const errors = new Set<string>();
  const refused = await claimSome(store, 2000, claimed, errors);
  const repeated = await Promise.all(claimed.map((message) => store.claim(message).catch(() => 'refused')));
  rmSync(ballast);
  const refusedAfterwards = await claimSome(store, 20, claimed, errors);
  const again = await Promise.all(claimed.map((message) => store.claim(message)));
  await store.close();
  const acceptedTwice = [...repeated, ...again].filter((claim) => claim === 'claimed').length;
  return { refused, errors: [...errors], acceptedTwice, refusedAfterwards };
}

/** How many of so many bursts of 200 were refused. Each message has a second of its own: so they take the most room. */
async function claimSome(
  store: ReplayStore,
  bursts: number,
  claimed: ClaimedMessage[],
  errors: Set<string>,
): Promise<number> {
  let refused = 0;
  for (let i = 0; i < bursts; i++) {
    const first = claimed.length + 1_000_000 * refused;
    const burst = Array.from({ length: 200 }, (_, j) => ({
      id: idOf(`${first + j}`),
      timestampSeconds: 1000 + first + j,
    }));
    if (refused > 20) break;
    try {
      await Promise.all(burst.map((message) => store.claim(message)));
      claimed.push(...burst);
    } catch (error) {
      refused += 1;
      errors.add(`${(error as Error).name}: ${(error as Error).message}`);
    }
  }
  return refused;
}

/** The disk becomes full while the other store, in `other`, has room. */
async function keepMark(disk: string, other: string): Promise<object> {
  let clock = 1000;
  const open = async (): Promise<ReplayStore> =>
    openTwoStores({
      durable: await openReplayStore(join(disk, 'replay'), clock),
      openVolatile: (nowSeconds) => openReplayStore(join(other, 'replay'), nowSeconds),
      now: () => clock,
    });
  let claimed = 0;
  const live = async (): Promise<void> => {
    const store = await open();
    for (let i = 0; i < 20; i++) {
      clock += 30;
      await store.raiseFloor(clock - 120);
      const claim = await store.claim({ id: idOf(`${clock}`), timestampSeconds: clock + 1 });
      if (claim === 'claimed') claimed += 1;
    }
    await store.close();
  };
  await live();
  fill(join(disk, 'ballast'), Number.POSITIVE_INFINITY);
  await live();
  await live();
  return { claimed };
}

/** Writes so many octets, or as many as there is room for. */
function fill(path: string, octets: number): void {
  const file = openSync(path, 'w');
  try {
    for (let written = 0; written < octets; written += 4096) writeSync(file, Buffer.alloc(4096));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}
