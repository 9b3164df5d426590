import { join } from 'node:path';
import type { VerifiedSignatures } from 'spa-core';
import { ConfigError, readPrivateFile, writePrivateFile } from 'spa-host';
import { makePrivateDirectory } from '../private-directory.ts';
import { DIGEST_BYTES, type DigestSet, digestSet } from './digest-set.ts';

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
  const used = digestSet();
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

const HEADER = 'spa-keys verified signatures 2\n';
/** Of more than that those are forgotten that this run had no use for. */
const MAX_DIGESTS = 500_000;

function read(file: string): DigestSet {
  try {
    const content = readPrivateFile(file);
    const octets = content.subarray(HEADER.length);
    const isOurs = content.toString('latin1', 0, HEADER.length) === HEADER;
    return isOurs && octets.length % DIGEST_BYTES === 0 ? digestSet(octets) : digestSet();
  } catch (error) {
    if (error instanceof ConfigError) return digestSet();
    throw error;
  }
}

function write(secretsFolder: string, folder: string, file: string, digests: DigestSet): void {
  try {
    makePrivateDirectory(secretsFolder);
    makePrivateDirectory(folder);
    writePrivateFile(file, Buffer.concat([Buffer.from(HEADER), digests.octets()]));
  } catch (error) {
    if (!(error instanceof ConfigError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
  }
}
