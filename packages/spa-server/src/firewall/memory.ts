import { checkGrant, doorKey } from './doors.ts';
import type { Door, Firewall, GatePolicy } from './firewall.ts';

/** What the twin's kernel keeps: firewalls that share it are one daemon after the other. */
export interface MemoryKernel {
  readonly doors: Map<string, Omit<Door, 'remainingSeconds'> & { readonly expiresAt: number }>;
  /** Null before the first install. */
  policy: GatePolicy | null;
}

/** A kernel without rules. */
export function createMemoryKernel(): MemoryKernel {
  return { doors: new Map(), policy: null };
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

  return {
    name: 'memory',
    install: async (policy, { flush }) => {
      kernel.policy = policy;
      if (flush) doors.clear();
      return [];
    },
    grant: async (wanted) => {
      const { id, address, ports, timeoutSeconds } = checkGrant(wanted);
      const expiresAt = now() + timeoutSeconds * 1000;
      for (const port of ports) {
        const key = doorKey(address, port);
        if ((doors.get(key)?.expiresAt ?? 0) >= expiresAt) continue;
        doors.set(key, { address, port, grantId: id, expiresAt });
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
