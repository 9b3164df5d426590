import { readdirSync, readFileSync } from 'node:fs';

/** What a process and all that it has started have used. */
export interface Usage {
  /** User and system time. */
  readonly cpuMs: number;
  /** Resident now, of the process alone. */
  readonly residentMb: number;
}

/** Linux tells processor time in these, whatever it counts in. */
const TICKS_PER_SECOND = 100;

/** Reads it; `pid` has to live. */
export function usageOf(pid: number): Usage {
  const all = readdirSync('/proc').map(Number).filter(Number.isInteger).flatMap(statusOf);
  const family = [pid];
  for (const member of family) {
    family.push(...all.filter(({ parent }) => parent === member).map((one) => one.pid));
  }
  const ticks = all.filter((one) => family.includes(one.pid)).reduce((sum, one) => sum + one.ticks, 0);
  const residentKb = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return { cpuMs: (ticks * 1000) / TICKS_PER_SECOND, residentMb: residentKb / 1024 };
}

/** User and system time of all children of this process that have ended, in milliseconds. */
export function endedChildrenCpuMs(): number {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(13, 15);
  return ((Number(user) + Number(system)) * 1000) / TICKS_PER_SECOND;
}

interface Status {
  readonly pid: number;
  readonly parent: number;
  /** Of itself and of its children that have ended. */
  readonly ticks: number;
}

/** None of a process that has just ended. */
function statusOf(pid: number): readonly Status[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return [{ pid, parent: Number(fields[1]), ticks }];
  } catch {
    return [];
  }
}
