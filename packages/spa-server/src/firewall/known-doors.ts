import { doorKey } from './doors.ts';
import type { DoorName } from './firewall.ts';

/** A door with its end on a clock that nobody sets. */
export interface KnownDoor extends DoorName {
  /** Milliseconds of the monotonic clock. */
  readonly until: number;
  readonly grantId: string | null;
}

/** The doors that a kernel was told to keep open, so that it need not be asked at each grant. */
export interface KnownDoors {
  get(key: string): KnownDoor | undefined;
  set(door: KnownDoor): void;
  delete(key: string): void;
  clear(): void;
  /** Forgets all doors but these, which are by their keys. */
  replace(all: ReadonlyMap<string, KnownDoor>): void;
  /** Those that are open at the time `now` (ms, monotonic). */
  open(now: number): readonly KnownDoor[];
}

/** None yet. Ended doors are forgotten bit by bit: at most twice as many are remembered as are open. */
export function createKnownDoors(uptime: () => number): KnownDoors {
  let doors = new Map<string, KnownDoor>();
  /** How many there were after those of the past had been forgotten, which is worth a pass only once it has doubled. */
  let pruned = 1_000;
  return {
    get: (key) => doors.get(key),
    set: (door) => {
      doors.set(doorKey(door), door);
      if (doors.size < 2 * pruned) return;
      const now = uptime();
      for (const [key, { until }] of doors) if (until < now) doors.delete(key);
      pruned = Math.max(doors.size, 1_000);
    },
    delete: (key) => doors.delete(key),
    clear: () => doors.clear(),
    replace: (all) => {
      doors = new Map(all);
      pruned = Math.max(doors.size, 1_000);
    },
    open: (now) => [...doors.values()].filter(({ until }) => until > now),
  };
}
