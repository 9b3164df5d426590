import { readGuardedFile } from 'spa-host';
import { parseRcFile, type RcFile, readRcFile } from '../rc-file.ts';
import { type Region, readRegion } from '../region.ts';
import { complaint, type Finding, ok } from './finding.ts';

/**
 * The rc file; `rcFile` null if it cannot be used. One that others can read is used all the same: one run says all; but not
 * one that they can change: it says which programs run.
 */
export function checkRcFile(path: string): { readonly finding: Finding; readonly rcFile: RcFile | null } {
  try {
    const rcFile = readRcFile(path);
    return { finding: ok('rc-file', `${path}: nobody else can change it or read a secret`), rcFile };
  } catch (error) {
    const finding = complaint('rc-file', error, 'write it as sshbh --help shows');
    if (finding === null) throw error;
    return { finding, rcFile: exposedRcFile(path) };
  }
}

/** The region; null if it, or a stanza of its `FALLBACK`, is not there or is wrong. */
export function checkRegion(
  rcFile: RcFile,
  name: string,
): { readonly finding: Finding; readonly region: Region | null } {
  try {
    const region = readRegion(rcFile, name);
    const bastions = region.bastions.map(({ host, sshPort }) => `${host} tcp/${sshPort}`).join(', then ');
    return { finding: ok('region', `${region.name}: ${bastions}`), region };
  } catch (error) {
    const finding = complaint('region', error, 'sshbh list shows the regions');
    if (finding === null) throw error;
    return { finding, region: null };
  }
}

function exposedRcFile(path: string): RcFile | null {
  try {
    const { data, exposure, forgery } = readGuardedFile(path);
    return exposure === null || forgery !== null ? null : parseRcFile(path, data.toString('utf8'));
  } catch {
    // What is wrong with it was said.
    return null;
  }
}
