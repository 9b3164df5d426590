import { join } from 'node:path';
import type { VerifiedSignatures } from 'spa-core';
import { ConfigError, readPrivateFile, writePrivateFile } from 'spa-host';
import { makePrivateDirectory } from '../private-directory.ts';

/** Signatures that were verified here before, in a file. */
export interface VerifiedMemory extends VerifiedSignatures {
  /** Keeps what was added. That it cannot be kept costs the next run time, and nothing else. */
  readonly save: () => void;
}

/**
 * The memory in the folder of the secrets, because whoever can write it can make a false signature count. What others have access
 * to, or no run of ours wrote, is not believed: the memory is empty then.
 */
export function openVerifiedMemory(secretsFolder: string): VerifiedMemory {
  const folder = join(secretsFolder, 'cache');
  const file = join(folder, 'verified-signatures');
  const known = read(file);
  const used = new Set<string>();
  const isLarge = known.size > MAX_DIGESTS;
  let isNew = false;
  return {
    has: (digest) => {
      const isKnown = known.has(digest);
      if (isKnown && isLarge) used.add(digest);
      return isKnown;
    },
    add: (digest) => {
      isNew = true;
      if (isLarge) used.add(digest);
      known.add(digest);
    },
    save: () => {
      if (isNew) write(secretsFolder, folder, file, isLarge ? used : known);
    },
  };
}

const HEADER = 'spa-keys verified signatures 1';
/** Of more than that those are forgotten that this run had no use for. */
const MAX_DIGESTS = 500_000;
const DIGEST_LENGTH = 43;

function read(file: string): Set<string> {
  try {
    const [header, ...digests] = readPrivateFile(file).toString('latin1').split('\n');
    const end = digests.pop();
    const isWhole =
      header === HEADER && end === '' && digests.every(({ length }) => length === DIGEST_LENGTH);
    return new Set(isWhole ? digests : []);
  } catch (error) {
    if (error instanceof ConfigError) return new Set();
    throw error;
  }
}

function write(secretsFolder: string, folder: string, file: string, digests: ReadonlySet<string>): void {
  try {
    makePrivateDirectory(secretsFolder);
    makePrivateDirectory(folder);
    writePrivateFile(file, `${[HEADER, ...digests].join('\n')}\n`);
  } catch (error) {
    if (!(error instanceof ConfigError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
  }
}
