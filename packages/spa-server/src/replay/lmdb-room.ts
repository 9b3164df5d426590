import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Meta, readMeta } from './lmdb-pages.ts';

// A write for which a file system has no room damages the memory of the process: lmdb 3.5 describes the failure in 100
// octets, which are not enough. So the data file is longer than what is used of it, and whoever writes asks for the pages
// first. That also lets a store that does not grow go on when its disk is full.

/** So much is added to the file at least: more than any transaction takes. */
const ADDED_PAGES = 1024;
const META_BYTES = 512;

/** The room in a data file. */
export interface Room {
  /**
   * To be called within a transaction, before it changes anything: there are so many pages for it.
   * @throws the system's error if there are not.
   */
  need(pages: number): void;
  close(): void;
}

/** Of the data file in `folder`, which LMDB has made. */
export function openRoom(folder: string): Room {
  const file = openSync(join(folder, 'data.mdb'), 'r+');
  /** Known to be left, whatever was asked for since was used. */
  let left = 0;

  /** @throws the system's error if there is no room for so many pages; for fewer than are added it is well. */
  function lengthen(pages: number): void {
    const { pageBytes, lastPage } = newestMeta(file);
    const used = lastPage + 1;
    const count = (): number => Math.floor(fstatSync(file).size / pageBytes) - used;
    left = count();
    if (left >= pages) return;
    const nothing = Buffer.alloc(16 * pageBytes);
    const end = (used + pages + ADDED_PAGES) * pageBytes;
    try {
      for (let at = (used + left) * pageBytes; at < end; )
        at += writeSync(file, nothing, 0, nothing.length, at);
    } catch (error) {
      if (count() < pages) throw error;
    }
    left = count();
  }

  return {
    need: (pages) => {
      if (left < pages) lengthen(pages);
      left -= pages;
    },
    close: () => closeSync(file),
  };
}

/** LMDB has just read both. */
function newestMeta(file: number): Meta {
  const first = readMetaAt(file, 0);
  const second = first === null ? null : readMetaAt(file, first.pageBytes);
  if (first === null || second === null) throw new Error('data.mdb is no database any more');
  return first.transaction > second.transaction ? first : second;
}

function readMetaAt(file: number, position: number): Meta | null {
  const page = Buffer.alloc(META_BYTES);
  readSync(file, page, 0, page.length, position);
  return readMeta(page);
}
