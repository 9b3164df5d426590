// LMDB's pages, as lmdb 3.5 writes them (data version 2): a header of 24 octets, then the offsets of the nodes, counted
// from the end of the header; the nodes from the end of the page on. Numbers are little-endian.

/** Where things lie in a page, and in the description of a tree, which begins at `tree`. */
const AT = {
  pageNumber: 0,
  pageTransaction: 8,
  pad: 16,
  flags: 18,
  lower: 20,
  upper: 22,
  overflowPages: 20,
  offsets: 24,
  magic: 24,
  version: 28,
  freeTree: 48,
  mainTree: 96,
  lastPage: 144,
  transaction: 152,
} as const;
/** What is at the start of each page. */
export const HEADER_BYTES = 24;
const NODE_BYTES = 8;
const META_BYTES = 168;
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const NO_PAGE = 0xffff_ffff_ffff_ffffn;

/** How many octets the description of a tree has. */
export const TREE_BYTES = 48;

/** The kinds of pages that trees are made of, and of the small set that lies within a node. */
export const PageKind = { branch: 0x01, leaf: 0x02, overflow: 0x04, set: 0x22, smallSet: 0x62 } as const;
/** What a leaf's node holds beside plain octets. */
export const NodeKind = { octets: 0, overflow: 1, database: 2, smallSet: 4, set: 6 } as const;

/** What LMDB knows of the keys and values of a tree. */
export const TreeKind = { octets: 0, numbers: 0x08, set: 0x10, sets: 0x14 } as const;

/** A tree of pages. */
export interface Tree {
  /** {@link TreeKind} */
  readonly kind: number;
  /** Octets of each member, if it is a set. */
  readonly memberBytes: number;
  readonly depth: number;
  readonly branches: number;
  readonly leaves: number;
  /** Of a database of sets, the members of all of them. */
  readonly entries: number;
  /** null: the tree is empty. */
  readonly root: number | null;
}

/** The start of a snapshot. */
export interface Meta {
  readonly pageBytes: number;
  readonly freeTree: Tree;
  readonly mainTree: Tree;
  readonly lastPage: number;
  readonly transaction: bigint;
}

/** One entry of a leaf, or one child of a branch. */
export interface PageNode {
  readonly kind: number;
  readonly key: Buffer;
  readonly data: Buffer;
  /** In a branch. */
  readonly child: number;
}

/** The meta page that `page` is, or null. */
export function readMeta(page: Buffer): Meta | null {
  if (page.length < META_BYTES) return null;
  if (page.readUInt32LE(AT.magic) !== MAGIC || page.readUInt32LE(AT.version) !== VERSION) return null;
  return {
    pageBytes: page.readUInt32LE(AT.freeTree),
    freeTree: readTree(page.subarray(AT.freeTree)),
    mainTree: readTree(page.subarray(AT.mainTree)),
    lastPage: Number(page.readBigUInt64LE(AT.lastPage)),
    transaction: page.readBigUInt64LE(AT.transaction),
  };
}

/** The tree that these {@link TREE_BYTES} describe. */
export function readTree(octets: Buffer): Tree {
  const root = octets.readBigUInt64LE(40);
  return {
    kind: octets.readUInt16LE(4),
    memberBytes: octets.readUInt32LE(0),
    depth: octets.readUInt16LE(6),
    branches: Number(octets.readBigUInt64LE(8)),
    leaves: Number(octets.readBigUInt64LE(16)),
    entries: Number(octets.readBigUInt64LE(32)),
    root: root === NO_PAGE ? null : Number(root),
  };
}

/** Where the page says that it lies. */
export function pageNumberOf(page: Buffer): number {
  return Number(page.readBigUInt64LE(AT.pageNumber));
}

/** The transaction that wrote it. */
export function pageTransactionOf(page: Buffer): bigint {
  return page.readBigUInt64LE(AT.pageTransaction);
}

/** One of {@link PageKind}, if the page is in order. */
export function pageKindOf(page: Buffer): number {
  return page.readUInt16LE(AT.flags);
}

/** How many pages the value takes that begins on this one. */
export function overflowPagesOf(page: Buffer): number {
  return page.readUInt32LE(AT.overflowPages);
}

/** Of a branch or a leaf; null if one of them lies outside of the page. */
export function readNodes(page: Buffer): readonly PageNode[] | null {
  const lower = page.readUInt16LE(AT.lower);
  const upper = page.readUInt16LE(AT.upper);
  const isBranch = pageKindOf(page) === PageKind.branch;
  if (lower % 2 !== 0 || lower > upper || upper > page.length - HEADER_BYTES) return null;
  const nodes: PageNode[] = [];
  for (let i = 0; i < lower / 2; i++) {
    const offset = page.readUInt16LE(AT.offsets + 2 * i);
    if (offset < upper) return null;
    const node = readNode(page.subarray(HEADER_BYTES + offset), isBranch);
    if (node === null) return null;
    nodes.push(node);
  }
  return nodes;
}

function readNode(octets: Buffer, isBranch: boolean): PageNode | null {
  if (octets.length < NODE_BYTES) return null;
  const size = octets.readUInt32LE(0);
  const flags = octets.readUInt16LE(4);
  const dataAt = NODE_BYTES + octets.readUInt16LE(6);
  const end = isBranch ? dataAt : dataAt + (flags === NodeKind.overflow ? 24 : size);
  if (end > octets.length) return null;
  return {
    kind: flags,
    key: octets.subarray(NODE_BYTES, dataAt),
    data: octets.subarray(dataAt, end),
    child: isBranch ? flags * 2 ** 32 + size : 0,
  };
}

/** The members, one after the other, of a page that is (part of) a set of members of this size; null if it is not. */
export function readMembers(page: Buffer, memberBytes: number): Buffer | null {
  const count = page.readUInt16LE(AT.lower) / 2;
  const octets = count * memberBytes;
  if (page.readUInt16LE(AT.pad) !== memberBytes || !Number.isInteger(count) || count === 0) return null;
  return HEADER_BYTES + octets <= page.length ? page.subarray(HEADER_BYTES, HEADER_BYTES + octets) : null;
}
