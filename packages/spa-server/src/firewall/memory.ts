import { checkChanges, checkGrant, doorKey } from './doors.ts';
import {
  type Door,
  type DoorChange,
  type Firewall,
  type FirewallCounter,
  FirewallError,
  type GatePolicy,
  NO_FORWARDS,
} from './firewall.ts';
import { forwardOf, isSameForward } from './forward.ts';

/** What the twin's kernel keeps: firewalls that share it are one daemon after the other. */
export interface MemoryKernel {
  readonly doors: Map<string, Omit<Door, 'remainingSeconds'> & { readonly expiresAt: number }>;
  /** Null before the first install, and after somebody else's flush: see {@link wipeMemoryKernel}. */
  policy: GatePolicy | null;
  /** What its pre-filter has dropped: a test says so. */
  counters: readonly FirewallCounter[];
}

/** A kernel without rules. */
export function createMemoryKernel(): MemoryKernel {
  return { doors: new Map(), policy: null, counters: [] };
}

/** What somebody else's flush of all rules leaves: nothing. */
export function wipeMemoryKernel(kernel: MemoryKernel): void {
  kernel.doors.clear();
  kernel.policy = null;
}

/** The twin of the real firewalls, for tests: the same contract, with doors that close by the clock `now` (ms since epoch). */
export function createMemoryFirewall(options: {
  readonly now: () => number;
  readonly kernel?: MemoryKernel;
}): Firewall {
  const { now, kernel = createMemoryKernel() } = options;
  const { doors } = kernel;

  const expire = (): void => {
    for (const [key, door] of doors) if (door.expiresAt <= now()) doors.delete(key);
  };

  /** What the last install of this firewall has put in place. */
  let installed: GatePolicy | null = null;

  const mustBeInstalled = (): void => {
    if (kernel.policy === null) throw new FirewallError('memory', 1, 'the rules are gone');
  };

  const change = (wanted: DoorChange): void => {
    const { address, port, grantId, timeoutSeconds } = wanted;
    const key = doorKey(wanted);
    if (timeoutSeconds === null) doors.delete(key);
    else {
      const expiresAt = now() + timeoutSeconds * 1000;
      doors.set(key, { address, port, grantId, expiresAt, ...forwardOf(wanted) });
    }
  };

  const isOpenLonger = (wanted: DoorChange): boolean => {
    const door = doors.get(doorKey(wanted));
    if (door === undefined || !isSameForward(door.forward, wanted.forward)) return false;
    return door.expiresAt >= now() + (wanted.timeoutSeconds ?? 0) * 1000;
  };

  const isPossible = ({ forward }: Pick<DoorChange, 'forward'>): boolean =>
    forward === undefined || kernel.policy?.forwards === true;

  return {
    name: 'none, no door opens',
    install: async (policy, { flush, doors: wanted }) => {
      const changes = checkChanges(wanted);
      kernel.policy = policy;
      installed = policy;
      if (flush) doors.clear();
      for (const [key, door] of doors) if (!isPossible(door)) doors.delete(key);
      for (const one of changes) if (isPossible(one) && !isOpenLonger(one)) change(one);
      return [];
    },
    adjust: async (changes) => {
      const checked = checkChanges(changes);
      mustBeInstalled();
      for (const one of checked) if (isPossible(one)) change(one);
    },
    isIntact: async () => installed !== null && kernel.policy === installed,
    mark: () => null,
    counters: async () => kernel.counters,
    grant: async (wanted) => {
      const checked = checkGrant(wanted);
      const { id, address, ports, timeoutSeconds } = checked;
      mustBeInstalled();
      if (!isPossible(checked)) throw new FirewallError('memory', null, NO_FORWARDS);
      const expiresAt = now() + timeoutSeconds * 1000;
      for (const port of ports) {
        const wantedDoor = { address, port, grantId: id, timeoutSeconds, ...forwardOf(checked) };
        if (!isOpenLonger(wantedDoor)) change(wantedDoor);
      }
      return { expiresAt };
    },
    list: async () => {
      expire();
      return [...doors.values()].map(({ expiresAt, ...door }) => {
        return { ...door, remainingSeconds: Math.floor((expiresAt - now()) / 1000) };
      });
    },
    flush: async () => doors.clear(),
    close: async ({ flush }) => {
      if (flush) doors.clear();
    },
  };
}
