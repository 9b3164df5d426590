import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';

// LMDB maps its file into memory and trusts it: in one that is damaged it takes the process along (SIGSEGV, SIGBUS), and
// nobody reads why. Its format, as lmdb 3.5 writes it: two meta pages, the header of each page 24 octets long.

const MAGIC = 0xbeefc0de;
const VERSION = 2;
const PAGE_BYTES = 4096;
const AT = { magic: 24, version: 28, pageSize: 48, lastPage: 144, transaction: 152, end: 160 } as const;

/** What is wrong with the data file in `folder`, for the operator; null if nothing is, or there is none yet. */
export function findDamage(folder: string): string | null {
  const file = openIfThere(join(folder, 'data.mdb'));
  if (file === null) return null;
  try {
    const { size } = fstatSync(file);
    return size === 0 ? null : describeDamage(size, [readMeta(file, 0), readMeta(file, PAGE_BYTES)]);
  } finally {
    closeSync(file);
  }
}

interface Meta {
  readonly isMeta: boolean;
  readonly pageSize: number;
  readonly lastPage: number;
  readonly transaction: bigint;
}

/** The newer meta page counts; the file reaches to the last page that it names. */
function describeDamage(size: number, metas: readonly [Meta, Meta]): string | null {
  const [first, second] = metas;
  if (!first.isMeta || !second.isMeta || first.pageSize !== PAGE_BYTES) return 'data.mdb is no database';
  const newer = second.transaction > first.transaction ? second : first;
  return size < (newer.lastPage + 1) * newer.pageSize ? 'data.mdb was cut off' : null;
}

function readMeta(file: number, position: number): Meta {
  const page = Buffer.alloc(AT.end);
  readSync(file, page, 0, page.length, position);
  return {
    isMeta: page.readUInt32LE(AT.magic) === MAGIC && page.readUInt32LE(AT.version) === VERSION,
    pageSize: page.readUInt32LE(AT.pageSize),
    lastPage: Number(page.readBigUInt64LE(AT.lastPage)),
    transaction: page.readBigUInt64LE(AT.transaction),
  };
}

function openIfThere(path: string): number | null {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
