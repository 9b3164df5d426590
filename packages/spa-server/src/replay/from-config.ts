import { statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ServerConfig } from '../config/server-config.ts';
import { openReplayStore } from './lmdb.ts';
import type { ReplayStore } from './replay-store.ts';
import { openTwoStores } from './two-stores.ts';

const TMPFS_MAGIC = 0x01021994;

/**
 * Opens what the configuration names: with the run folder in memory two stores, otherwise one on the disk.
 * @throws ReplayError
 */
export async function replayFromConfig(config: ServerConfig, now: () => number): Promise<ReplayStore> {
  const durable = await openReplayStore(config.replayStore, now());
  const folder = volatileReplayFolder(config);
  if (folder === null) return durable;
  return openTwoStores({
    durable,
    openVolatile: (nowSeconds) => openReplayStore(folder, nowSeconds),
    now,
  });
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
