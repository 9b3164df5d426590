import { mkdirSync } from 'node:fs';
import { type Database, open, type RootDatabase } from 'lmdb';
import { createBatches } from './batches.ts';
import { findDamage } from './lmdb-data-file.ts';
import { openRoom, type Room } from './lmdb-room.ts';
import { type Claim, type ClaimedMessage, type DurableReplayStore, ReplayError } from './replay-store.ts';

// Messages lie by their second: of each an ordered set of identities, 16 octets each, without any overhead, which LMDB
// drops as a whole pages at a time. 128 bits of SHA-256 are enough: who finds two messages with the same ones has made
// the second of his own messages a replay. Beside the seconds lie their checksums, and in a third database the floor
// and the mark: a data file that forgot or changed something is recognised (lmdb-data-file.ts). Every transaction is on
// the disk before it returns.

const TIME_BYTES = 6;
const ID_BYTES = 16;
/** Where it is known to have room, LMDB need not map the file anew. It costs addresses, not memory. */
const MAP_BYTES = 512 * 1024 * 1024;
/** How long, and how many seconds, messages may be forgotten in one step: packets wait for its end. */
const PRUNE_MS = 2;
const PRUNE_SECONDS = 16;
/** How many pages a transaction changes at most, with all that LMDB writes beside: each claim may go to another second. */
const PAGES = { numbers: 64, claim: 4, prune: 512 } as const;
const FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT']);

/**
 * Opens the durable store in the folder `path`, made with mode 0700 if missing.
 *
 * Of an empty store the next second is the floor: whatever was stamped until now may have been accepted before.
 * @throws ReplayError
 */
export async function openReplayStore(path: string, nowSeconds: number): Promise<DurableReplayStore> {
  const { root, room, seconds, sums, numbers } = attempt(path, () => openDatabases(path));
  let floor = change(PAGES.numbers, () => {
    const next = readNumber('floor') ?? nowSeconds + 1;
    writeNumber('floor', next);
    return next;
  });

  /** One transaction, which changes so many pages at most. */
  function change<T>(pages: number, work: () => T): T {
    return attempt(path, () =>
      root.transactionSync(() => {
        room.need(pages);
        return work();
      }),
    );
  }

  function readNumber(name: NumberName): number | null {
    const octets = numbers.get(name);
    return octets === undefined ? null : octets.readUIntBE(0, TIME_BYTES);
  }

  function writeNumber(name: NumberName, value: number): void {
    numbers.putSync(name, encodeNumber(value));
  }

  /** Another process may have raised it. */
  function readFloor(): number {
    floor = Math.max(floor, readNumber('floor') ?? floor);
    return floor;
  }

  function claimAll(messages: readonly ClaimedMessage[]): readonly Claim[] {
    return change(PAGES.numbers + PAGES.claim * messages.length, () => {
      const additions = new Map<number, Buffer>();
      const lowest = readFloor();
      const claims = messages.map(({ timestampSeconds, id }): Claim => {
        if (timestampSeconds < lowest) return 'before-floor';
        const octets = idOctets(id);
        if (!seconds.putSync(encodeTime(timestampSeconds), octets, { noDupData: true })) return 'replayed';
        mix(additions, timestampSeconds, octets);
        return 'claimed';
      });
      for (const [second, addition] of additions) {
        const key = encodeTime(second);
        sums.putSync(key, xor(addition, sums.get(key)));
      }
      return claims;
    });
  }

  /** Forgets some of what is before the floor; false if nothing is left of it. */
  function prune(): boolean {
    return change(PAGES.prune, () => {
      const until = performance.now() + PRUNE_MS;
      const old = [...seconds.getKeys({ end: encodeTime(floor), limit: PRUNE_SECONDS })];
      const pruned = old.findIndex((key) => {
        seconds.removeSync(key);
        sums.removeSync(key);
        return performance.now() >= until;
      });
      return pruned !== -1 || old.length === PRUNE_SECONDS;
    });
  }

  const claims = createBatches(claimAll);

  return {
    get floorSeconds() {
      return floor;
    },
    get latestSeconds() {
      return attempt(path, () => {
        const [last] = seconds.getKeys({ reverse: true, limit: 1 });
        return last === undefined ? 0 : last.readUIntBE(0, TIME_BYTES);
      });
    },
    get markSeconds() {
      return attempt(path, () => readNumber('mark') ?? 0);
    },
    setMark: async (mark) => {
      change(PAGES.numbers, () => writeNumber('mark', mark));
    },
    look: async ({ timestampSeconds, id }) =>
      attempt(path, () => {
        if (timestampSeconds < readFloor()) return 'before-floor';
        return seconds.doesExist(encodeTime(timestampSeconds), idOctets(id)) ? 'replayed' : null;
      }),
    claim: (message) => claims.add(message),
    raiseFloor: async (floorSeconds) => {
      if (floorSeconds <= floor) return;
      floor = change(PAGES.numbers, () => {
        const next = Math.max(readFloor(), floorSeconds);
        writeNumber('floor', next);
        return next;
      });
      while (prune()) await new Promise(setImmediate);
    },
    close: async () => {
      claims.finish();
      await root.close();
      room.close();
    },
  };
}

type NumberName = 'floor' | 'mark';

interface Databases {
  readonly root: RootDatabase;
  readonly room: Room;
  /** A second's messages: the set of their identities. */
  readonly seconds: SetsOfIds & Database<Buffer, Buffer>;
  /** A second's checksum: the exclusive or of its identities. */
  readonly sums: Database<Buffer, Buffer>;
  readonly numbers: Database<Buffer, NumberName>;
}

function openDatabases(path: string): Databases {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const damage = findDamage(path);
  if (damage !== null) {
    const remedy = 'remove the folder: what was sent before is then refused';
    throw new ReplayError(`replay store ${path}: ${damage}; ${remedy}`, damage);
  }
  const root = open({
    path,
    noSubdir: false,
    maxDbs: 3,
    mapSize: MAP_BYTES,
    overlappingSync: false,
    encoding: 'binary',
    keyEncoding: 'binary',
  });
  const room = openRoom(path);
  root.transactionSync(() => room.need(PAGES.numbers));
  const octets = { encoding: 'binary', keyEncoding: 'binary' } as const;
  return {
    root,
    room,
    seconds: root.openDB(SETS_OF_IDS) as SetsOfIds & Database<Buffer, Buffer>,
    sums: root.openDB({ ...octets, name: 'sums' }),
    numbers: root.openDB({ name: 'numbers', encoding: 'binary', keyEncoding: 'ordered-binary' }),
  };
}

/** What lmdb's types leave out: with these options it tells whether the value is new. */
interface SetsOfIds {
  putSync(key: Buffer, id: Buffer, options: { readonly noDupData: true }): boolean;
}

const SETS_OF_IDS = {
  name: 'seconds',
  keyEncoding: 'binary',
  dupSort: true,
  dupFixed: true,
  // With `encoding: 'binary'` lmdb cannot look for one of the values of a key.
  encoder: {
    encode: (octets: Buffer): Buffer => octets,
    decode: (octets: Buffer): Buffer => octets,
    writeKey: (octets: Buffer, target: Buffer, position: number): number => {
      target.set(octets, position);
      return position + octets.length;
    },
    readKey: (source: Buffer, start: number, end: number): Buffer => source.subarray(start, end),
  },
} as const;

function idOctets(id: string): Buffer {
  return Buffer.from(id.slice(0, 2 * ID_BYTES), 'hex');
}

function encodeTime(seconds: number): Buffer {
  const time = Buffer.allocUnsafe(TIME_BYTES);
  time.writeUIntBE(seconds, 0, TIME_BYTES);
  return time;
}

/** The number and its complement: one that was changed by accident is recognised. */
function encodeNumber(value: number): Buffer {
  const octets = Buffer.alloc(2 * TIME_BYTES);
  octets.writeUIntBE(value, 0, TIME_BYTES);
  for (let i = 0; i < TIME_BYTES; i++) octets[TIME_BYTES + i] = ~(octets[i] ?? 0);
  return octets;
}

function mix(sums: Map<number, Buffer>, second: number, octets: Buffer): void {
  sums.set(second, xor(octets, sums.get(second)));
}

function xor(octets: Buffer, others: Buffer | undefined): Buffer {
  return others === undefined ? octets : Buffer.from(octets.map((octet, i) => octet ^ (others[i] ?? 0)));
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof ReplayError) throw error;
    throw new ReplayError(`replay store ${path}: ${describe(error as Error)}`);
  }
}

function describe({ message, code }: Error & { readonly code?: unknown }): string {
  if (FULL.has(code)) return 'its file system is full; make room, and it goes on';
  // LMDB's own errors have numbers.
  return typeof code === 'string' ? `${message}; mend that, or move the folder away` : message;
}
