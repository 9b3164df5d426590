import { closeSync, fstatSync, openSync, readFileSync, readSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  HEADER_BYTES,
  type Meta,
  NodeKind,
  overflowPagesOf,
  PageKind,
  type PageNode,
  pageKindOf,
  pageNumberOf,
  pageTransactionOf,
  readMembers,
  readMeta,
  readNodes,
  readTree,
  TREE_BYTES,
  type Tree,
  TreeKind,
} from './lmdb-pages.ts';
import { ReplayError } from './replay-store.ts';

// LMDB maps its file into memory and trusts it: one that is damaged takes the process along (SIGSEGV, SIGBUS) and nobody
// reads why, or a message in it is not found any more and could be accepted twice. So every page that is in use is read
// before LMDB does: that it is what the page above says, and used once; that keys are in order; that the messages of each
// second give its checksum.

const SMALLEST_PAGE_BYTES = 512;
const LARGEST_PAGE_BYTES = 65_536;
const FIRST_PAGE = 2;
const ID_BYTES = 16;
const TIME_BYTES = 6;
const PAGE_NUMBER_BYTES = 8;

/** Of version 0.1: one entry for each message. */
const OLD_DATABASES: ReadonlySet<string> = new Set(['messages', 'meta']);

const DATA_FILE = 'data.mdb';
/** What a damaged data file is called when it was set aside. */
export const DAMAGED_FILE = 'data.mdb.damaged';

/**
 * What is wrong with the data file in `folder`, for the operator; null if nothing is, or there is none yet.
 * @throws ReplayError if it is another program's, or the system's error if it cannot be read.
 */
export function findDamage(folder: string): string | null {
  const file = openIfThere(join(folder, DATA_FILE));
  if (file === null) return null;
  try {
    if (fstatSync(file).size > 0) checkFile(file);
    return null;
  } catch (error) {
    if (error instanceof Foreign) {
      throw new ReplayError(
        `replay store ${folder}: data.mdb is of another program; write another REPLAY_STORE`,
      );
    }
    // Of a file that another process writes to, pages of two transactions may have been read.
    if (error instanceof Damage) return isInUse(folder) ? null : `${DATA_FILE} ${error.message}`;
    throw error;
  } finally {
    closeSync(file);
  }
}

/** Gives a damaged data file another name; the last one with that name is gone. @throws ReplayError */
export function setAside(folder: string): void {
  try {
    renameSync(join(folder, DATA_FILE), join(folder, DAMAGED_FILE));
  } catch (error) {
    throw new ReplayError(`replay store ${folder}: ${(error as Error).message}`);
  }
}

/** When a data file that was set aside was last written to, in seconds since 1970; null if there is none. */
export function lastWriteOfDamaged(folder: string): number | null {
  const stats = statSync(join(folder, DAMAGED_FILE), { throwIfNoEntry: false });
  return stats === undefined ? null : Math.ceil(stats.mtimeMs / 1000);
}

/** LMDB holds a lock on its lock file as long as it is open. */
function isInUse(folder: string): boolean {
  const stats = statSync(join(folder, 'lock.mdb'), { throwIfNoEntry: false });
  if (stats === undefined) return false;
  return readFileSync('/proc/locks', 'latin1').includes(`:${stats.ino} `);
}

class Damage extends Error {
  override readonly name = 'Damage';
}

class Foreign extends Error {
  override readonly name = 'Foreign';
}

/** A file that is being read, and the pages that were in use so far. */
interface Reading {
  readonly file: number;
  readonly meta: Meta;
  readonly used: Uint8Array;
  /** One for each level of the trees, used again for the next page there. */
  readonly pages: Buffer[];
}

function checkFile(file: number): void {
  const meta = newestMeta(file);
  if (fstatSync(file).size < (meta.lastPage + 1) * meta.pageBytes) throw new Damage('was cut off');
  const reading: Reading = { file, meta, used: new Uint8Array(meta.lastPage + 1), pages: [] };
  checkDatabases(reading);
  checkFreePages(reading);
}

/** The newer one counts; each transaction writes the other. */
function newestMeta(file: number): Meta {
  const first = readMeta(readAt(file, 0, Buffer.alloc(SMALLEST_PAGE_BYTES)));
  if (first === null || !isPageSize(first.pageBytes)) throw new Damage('is no database');
  const second = readMeta(readAt(file, first.pageBytes, Buffer.alloc(SMALLEST_PAGE_BYTES)));
  if (second === null || second.pageBytes !== first.pageBytes) throw new Damage('is no database');
  const [older, newer] = first.transaction < second.transaction ? [first, second] : [second, first];
  if (newer.transaction > 0n && newer.transaction - older.transaction !== 1n) {
    throw new Damage('has lost its last transaction');
  }
  return newer;
}

function isPageSize(bytes: number): boolean {
  return bytes >= SMALLEST_PAGE_BYTES && bytes <= LARGEST_PAGE_BYTES && (bytes & (bytes - 1)) === 0;
}

function checkDatabases(reading: Reading): void {
  const found = new Map<string, string>();
  const sums = new Map<string, string>();
  const shapes: Readonly<Record<string, Shape>> = {
    numbers: { ...LEAVES, entry: checkNumber },
    seconds: {
      ...LEAVES,
      kind: TreeKind.sets,
      entry: (node, level) => {
        mustHave(node.key.length === TIME_BYTES);
        const { sum, members } = addUp(reading, node, level);
        found.set(node.key.toString('hex'), sum.toString('hex'));
        return members;
      },
    },
    sums: {
      ...LEAVES,
      entry: ({ key, kind, data }) => {
        mustHave(kind === NodeKind.octets && data.length === ID_BYTES);
        sums.set(key.toString('hex'), data.toString('hex'));
        return 1;
      },
    },
  };
  checkTree(reading, reading.meta.mainTree, { ...LEAVES, entry: checkDatabase }, 0);
  if (found.size !== sums.size || [...found].some(([second, sum]) => sums.get(second) !== sum)) {
    throw new Damage('has lost messages');
  }

  function checkDatabase({ key, kind, data }: PageNode, level: number): number {
    const shape = shapes[nameOf(key)];
    if (OLD_DATABASES.has(nameOf(key))) throw new Damage('was written by an older version');
    if (shape === undefined) throw new Foreign();
    mustHave(kind === NodeKind.database && data.length === TREE_BYTES);
    checkTree(reading, readTree(data), shape, level + 1);
    return 1;
  }
}

/** Some are written with an octet of zero at the end. */
function nameOf(key: Buffer): string {
  return key.toString('latin1').split('\0', 1).join();
}

/** A second's messages, and the exclusive or of them all. */
interface Sum {
  readonly sum: Buffer;
  readonly members: number;
}

function addUp(reading: Reading, { kind, data }: PageNode, level: number): Sum {
  const sum = Buffer.alloc(ID_BYTES);
  if (kind === NodeKind.octets) return { sum, members: addTo(sum, data) };
  if (kind === NodeKind.smallSet) return { sum, members: addTo(sum, membersOf(data, PageKind.smallSet)) };
  mustHave(kind === NodeKind.set && data.length === TREE_BYTES);
  const tree = readTree(data);
  mustHave(tree.entries > 0);
  checkTree(reading, tree, { ...SETS, members: (octets) => addTo(sum, octets) }, level + 1);
  return { sum, members: tree.entries };
}

/** How many were added. */
function addTo(sum: Buffer, members: Buffer): number {
  mustHave(members.length > 0 && members.length % ID_BYTES === 0);
  const words = asWords(members);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < words.length; i += 4) {
    a ^= words[i] ?? 0;
    b ^= words[i + 1] ?? 0;
    c ^= words[i + 2] ?? 0;
    d ^= words[i + 3] ?? 0;
  }
  for (const [i, word] of [a, b, c, d].entries()) sum.writeInt32LE(sum.readInt32LE(4 * i) ^ word, 4 * i);
  return members.length / ID_BYTES;
}

/** The same memory where that is possible: millions of messages are added up. */
function asWords(octets: Buffer): Int32Array {
  const { buffer, byteOffset, length } = octets.byteOffset % 4 === 0 ? octets : Buffer.from(octets);
  return new Int32Array(buffer, byteOffset, length / 4);
}

/** Number and complement, as lmdb.ts writes them. */
function checkNumber({ kind, data }: PageNode): number {
  const half = data.length / 2;
  mustHave(kind === NodeKind.octets && half === TIME_BYTES);
  mustHave(data.subarray(0, half).every((octet, i) => (octet ^ (data[half + i] ?? 0)) === 0xff));
  return 1;
}

/** What a tree's lowest pages are, and what is done with what they hold. */
interface Shape {
  readonly kind: number;
  readonly memberBytes: number;
  readonly lowest: number;
  readonly fewestChildren: number;
  compare(one: Buffer, other: Buffer): number;
  /** How many entries it counts for. */
  entry(node: PageNode, level: number): number;
  members(octets: Buffer): number;
}

const LEAVES: Shape = {
  kind: TreeKind.octets,
  memberBytes: 0,
  lowest: PageKind.leaf,
  fewestChildren: 2,
  compare: Buffer.compare,
  entry: () => 1,
  members: () => 0,
};
const SETS: Shape = { ...LEAVES, kind: TreeKind.set, memberBytes: ID_BYTES, lowest: PageKind.set };

/** Reads all pages of a tree in the order of their keys. */
function checkTree(reading: Reading, tree: Tree, shape: Shape, level: number): void {
  let atLeast: Buffer | null = null;
  let moreThan: Buffer | null = null;
  let branches = 0;
  let leaves = 0;
  let entries = 0;
  mustHave(tree.kind === shape.kind && tree.memberBytes === shape.memberBytes);
  mustHave((tree.root === null) === (tree.depth === 0));
  if (tree.root !== null) checkPage(tree.root, tree.depth, level);
  mustHave(tree.branches === branches && tree.leaves === leaves && tree.entries === entries);

  function checkPage(number: number, height: number, level: number): void {
    const page = readPage(reading, number, level);
    if (height > 1) checkBranch(page, height, level);
    else if (shape.lowest === PageKind.set) checkMembers(membersOf(page, PageKind.set));
    else checkLeaf(page, level);
  }

  function checkBranch(page: Buffer, height: number, level: number): void {
    mustHave(pageKindOf(page) === PageKind.branch);
    branches += 1;
    const nodes = nodesOf(page);
    mustHave(nodes.length >= shape.fewestChildren);
    for (const [index, { key, child }] of nodes.entries()) {
      if (index > 0) mustFollow(key);
      if (index > 0) atLeast = Buffer.from(key);
      checkPage(child, height - 1, level + 1);
    }
  }

  function checkLeaf(page: Buffer, level: number): void {
    mustHave(pageKindOf(page) === PageKind.leaf);
    leaves += 1;
    for (const node of nodesOf(page)) {
      mustFollow(node.key);
      moreThan = Buffer.from(node.key);
      entries += shape.entry(node, level);
    }
  }

  function checkMembers(members: Buffer): void {
    leaves += 1;
    mustFollow(members.subarray(0, ID_BYTES));
    moreThan = Buffer.from(members.subarray(-ID_BYTES));
    entries += shape.members(members);
  }

  function mustFollow(key: Buffer): void {
    mustHave(key.length > 0);
    mustHave(moreThan === null || shape.compare(key, moreThan) > 0);
    mustHave(atLeast === null || shape.compare(key, atLeast) >= 0);
  }
}

function nodesOf(page: Buffer): readonly PageNode[] {
  const nodes = readNodes(page);
  if (nodes === null) throw new Damage('is damaged');
  return nodes;
}

function membersOf(page: Buffer, kind: number): Buffer {
  mustHave(page.length > HEADER_BYTES && pageKindOf(page) === kind);
  const members = readMembers(page, ID_BYTES);
  if (members === null) throw new Damage('is damaged');
  return members;
}

/** LMDB writes to the pages of its list of free ones: none of them may be in use. */
function checkFreePages(reading: Reading): void {
  const shape: Shape = {
    ...LEAVES,
    kind: TreeKind.numbers,
    memberBytes: reading.meta.pageBytes,
    fewestChildren: 1,
    compare: (one, other) => {
      mustHave(one.length === PAGE_NUMBER_BYTES && other.length === PAGE_NUMBER_BYTES);
      return Number(one.readBigUInt64LE(0) - other.readBigUInt64LE(0));
    },
    entry: (node, level) => {
      mustHave(node.key.length === PAGE_NUMBER_BYTES);
      markFree(reading, listOf(reading, node, level));
      return 1;
    },
  };
  checkTree(reading, reading.meta.freeTree, shape, 0);
}

/** How many entries follow; an entry is a page, or how many follow one another, negative, and then the first. */
function markFree(reading: Reading, list: Buffer): void {
  mustHave(list.length >= PAGE_NUMBER_BYTES && list.length % PAGE_NUMBER_BYTES === 0);
  const entry = (index: number): number => Number(list.readBigInt64LE(index * PAGE_NUMBER_BYTES));
  const count = entry(0);
  mustHave(count >= 0 && (count + 1) * PAGE_NUMBER_BYTES <= list.length);
  for (let i = 1; i <= count; i++) {
    const size = entry(i) < 0 ? -entry(i) : 1;
    if (entry(i) < 0) i += 1;
    mustHave(i <= count);
    if (entry(i) !== 0) use(reading, entry(i), size);
  }
}

function listOf(reading: Reading, { kind, data }: PageNode, level: number): Buffer {
  if (kind === NodeKind.octets) return data;
  mustHave(kind === NodeKind.overflow);
  const [first, pages] = [Number(data.readBigUInt64LE(0)), Number(data.readBigUInt64LE(16))];
  const page = readPage(reading, first, level + 1);
  mustHave(pageKindOf(page) === PageKind.overflow && overflowPagesOf(page) === pages && pages > 0);
  if (pages > 1) use(reading, first + 1, pages - 1);
  const { file, meta } = reading;
  return readAt(file, first * meta.pageBytes, Buffer.alloc(pages * meta.pageBytes)).subarray(HEADER_BYTES);
}

function readPage(reading: Reading, number: number, level: number): Buffer {
  use(reading, number, 1);
  const { file, meta, pages } = reading;
  const buffer = pages[level] ?? Buffer.from(new ArrayBuffer(meta.pageBytes));
  pages[level] = buffer;
  const page = readAt(file, number * meta.pageBytes, buffer);
  // LMDB takes a page of a transaction to come for one that it may write to.
  mustHave(pageNumberOf(page) === number && pageTransactionOf(page) <= meta.transaction);
  return page;
}

/** Each page is used once. */
function use({ used, meta }: Reading, first: number, count: number): void {
  mustHave(first >= FIRST_PAGE && first + count - 1 <= meta.lastPage);
  for (let number = first; number < first + count; number++) {
    mustHave(used[number] === 0);
    used[number] = 1;
  }
}

function readAt(file: number, position: number, target: Buffer): Buffer {
  const length = readSync(file, target, 0, target.length, position);
  return target.subarray(0, length);
}

function mustHave(condition: boolean): void {
  if (!condition) throw new Damage('is damaged');
}

function openIfThere(path: string): number | null {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
