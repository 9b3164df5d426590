import { readdirSync, readlinkSync } from 'node:fs';

/** A network namespace as the kernel names it: `net:[4026532281]`. The name of an ended one may be given to a new one. */
export function networkOf(pid: number): string {
  return readlinkSync(`/proc/${pid}/ns/net`);
}

/** The processes that live in these network namespaces, as far as we may see. */
export function inhabitants(networks: readonly string[]): readonly number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && isIn(networks, pid));
}

/** A process that ends meanwhile, or that is not ours to look at, is not in them. */
function isIn(networks: readonly string[], pid: number): boolean {
  try {
    return networks.includes(networkOf(pid));
  } catch {
    return false;
  }
}
