import { readFileSync, statSync } from 'node:fs';
import { inhabitants, networkOf } from 'spa-lab';

/** The sessions with nft in the network namespace of process `inside`. */
export function sessions(inside: number): readonly number[] {
  return inhabitants([networkOf(inside)]).filter((pid) => commandOf(pid) === 'nft');
}

/** The name of a process's program; null if it has ended. */
function commandOf(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return null;
  }
}

/** Milliseconds since that process was started; 0 if it has ended. */
export function ageOf(pid: number): number {
  try {
    return Date.now() - statSync(`/proc/${pid}`).ctimeMs;
  } catch {
    return 0;
  }
}
