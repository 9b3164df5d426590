import { mkdirSync } from 'node:fs';
import { open } from 'lmdb';
import { findDamage } from './lmdb-data-file.ts';
import { type Claim, type ClaimedMessage, type DurableReplayStore, ReplayError } from './replay-store.ts';

// One entry per message: 6 octets of its time, so that old ones lie together, and 32 of its identity. Beside them, in
// a database of its own, the floor and the mark. Every transaction is on the disk before it returns.

const TIME_BYTES = 6;
const PRUNE_BATCH = 10_000;
const NOTHING = Buffer.alloc(0);

/**
 * Opens the durable store in the folder `path`, made with mode 0700 if missing.
 *
 * Of an empty store the next second is the floor: whatever was stamped until now may have been accepted before.
 * @throws ReplayError
 */
export async function openReplayStore(path: string, nowSeconds: number): Promise<DurableReplayStore> {
  const root = attempt(path, () => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const damage = findDamage(path);
    if (damage !== null)
      throw new Error(`${damage}; remove the folder: what was sent before is then refused`);
    return open({ path, noSubdir: false, maxDbs: 2, encoding: 'binary', keyEncoding: 'binary' });
  });
  const messages = root.openDB<Buffer, Buffer>({
    name: 'messages',
    encoding: 'binary',
    keyEncoding: 'binary',
  });
  const meta = root.openDB<number, string>({ name: 'meta', encoding: 'msgpack' });
  let floor = attempt(path, () =>
    root.transactionSync(() => {
      const next = meta.get('floor') ?? nowSeconds + 1;
      meta.putSync('floor', next);
      return next;
    }),
  );

  /** Another process may have raised it. */
  function readFloor(): number {
    floor = Math.max(floor, meta.get('floor') ?? floor);
    return floor;
  }

  function look(message: ClaimedMessage): Exclude<Claim, 'claimed'> | null {
    if (message.timestampSeconds < readFloor()) return 'before-floor';
    return messages.doesExist(keyOfMessage(message)) ? 'replayed' : null;
  }

  function claim(message: ClaimedMessage): Claim {
    return root.transactionSync(() => {
      const known = look(message);
      if (known !== null) return known;
      messages.putSync(keyOfMessage(message), NOTHING);
      return 'claimed';
    });
  }

  function prune(): boolean {
    return root.transactionSync(() => {
      const old = [...messages.getKeys({ end: keyOf(floor, NOTHING), limit: PRUNE_BATCH })];
      for (const key of old) messages.removeSync(key);
      return old.length === PRUNE_BATCH;
    });
  }

  return {
    get floorSeconds() {
      return floor;
    },
    get markSeconds() {
      return attempt(path, () => meta.get('mark') ?? 0);
    },
    setMark: async (seconds) => {
      attempt(path, () => meta.putSync('mark', seconds));
    },
    look: async (message) => attempt(path, () => look(message)),
    claim: async (message) => attempt(path, () => claim(message)),
    raiseFloor: async (floorSeconds) => {
      if (floorSeconds <= floor) return;
      attempt(path, () =>
        root.transactionSync(() => {
          floor = Math.max(readFloor(), floorSeconds);
          meta.putSync('floor', floor);
        }),
      );
      while (attempt(path, prune)) await new Promise(setImmediate);
    },
    close: () => root.close(),
  };
}

function keyOfMessage({ timestampSeconds, id }: ClaimedMessage): Buffer {
  return keyOf(timestampSeconds, Buffer.from(id, 'hex'));
}

function keyOf(timestampSeconds: number, id: Buffer): Buffer {
  const time = Buffer.alloc(TIME_BYTES);
  time.writeUIntBE(timestampSeconds, 0, TIME_BYTES);
  return Buffer.concat([time, id]);
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new ReplayError(`replay store ${path}: ${(error as Error).message}`);
  }
}
