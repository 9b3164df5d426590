import { statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ServerConfig } from '../config/server-config.ts';
import { openReplayStore } from './lmdb.ts';
import { DAMAGED_FILE, lastWriteOfDamaged, setAside } from './lmdb-data-file.ts';
import { type DurableReplayStore, ReplayError, type ReplayStore } from './replay-store.ts';
import { withSteadyFloor } from './steady-floor.ts';
import { MARK_AHEAD_SECONDS, openTwoStores } from './two-stores.ts';

const TMPFS_MAGIC = 0x01021994;

/**
 * Opens what the configuration names: with the run folder in memory two stores, otherwise one on the disk.
 *
 * A store that is damaged is set aside, with a line to `warn`: nobody could come and repair it while no door opens. A new
 * one refuses whatever the damaged one may have known.
 * @throws ReplayError
 */
export async function replayFromConfig(
  config: Pick<ServerConfig, 'runFolder' | 'replayStore' | 'maxPacketAgeSeconds'>,
  now: () => number,
  warn: (line: string) => void,
): Promise<ReplayStore> {
  const aheadSeconds = Math.max(config.maxPacketAgeSeconds, MARK_AHEAD_SECONDS);
  const durable = await openUndamaged(config.replayStore, now(), aheadSeconds, warn);
  const folder = volatileReplayFolder(config);
  const openBoth = (volatile: string): Promise<ReplayStore> =>
    openTwoStores({
      durable,
      // What it knew was stamped until the mark, which is at its place.
      openVolatile: (nowSeconds) => openUndamaged(volatile, nowSeconds, 0, warn),
      now,
    });
  return withSteadyFloor(folder === null ? durable : await openBoth(folder), {
    steadySeconds: () => performance.now() / 1000,
    maxAgeSeconds: config.maxPacketAgeSeconds,
  });
}

/** `aheadSeconds`: so far ahead of the clock was what the store may have known. */
async function openUndamaged(
  folder: string,
  nowSeconds: number,
  aheadSeconds: number,
  warn: (line: string) => void,
): Promise<DurableReplayStore> {
  const open = (): Promise<DurableReplayStore> => {
    // Also if the daemon died after it had set a store aside.
    const lastWrite = lastWriteOfDamaged(folder) ?? Number.NEGATIVE_INFINITY;
    return openReplayStore(folder, Math.max(nowSeconds, lastWrite + aheadSeconds));
  };
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof ReplayError) || error.damage === null) throw error;
    setAside(folder);
    warn(`replay store ${folder}: ${error.damage}; it is now ${DAMAGED_FILE}, and a new one begins`);
    return open();
  }
}

/** Where messages are remembered that a reboot may forget; null: nowhere, the run folder is on a disk. */
export function volatileReplayFolder({
  runFolder,
  replayStore,
}: Pick<ServerConfig, 'runFolder' | 'replayStore'>): string | null {
  return isInMemory(runFolder) && !isInMemory(replayStore) ? join(runFolder, 'replay') : null;
}

/** Of a folder that is not made yet, its parent counts. */
function isInMemory(path: string): boolean {
  try {
    return statfsSync(path).type === TMPFS_MAGIC;
  } catch {
    return path !== dirname(path) && isInMemory(dirname(path));
  }
}
