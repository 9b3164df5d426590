import { ipFamily, parseIpAddress } from 'spa-core';
import { runCommand, runVerboseCommand } from './command.ts';
import { doorKey } from './doors.ts';
import type { DoorChange } from './firewall.ts';
import type { KnownDoor } from './known-doors.ts';

/** How to reach ipset, and which set. */
export interface DoorSetOptions {
  /** ipset's path, with what has to stand before it. */
  readonly command: readonly string[];
  /** At most 27 characters: a second set is made beside it for a moment. */
  readonly name: string;
  readonly family: 4 | 6;
  readonly timeLimitMs: number;
  /** Milliseconds of a clock that nobody sets. */
  readonly uptime: () => number;
}

/** A set of ipset with a timeout for each door. A change costs one process, whatever its size. */
export interface DoorSet {
  readonly name: string;
  /** Makes it if it is not there. @throws FirewallError if this host has no ipset. */
  ensure(): Promise<void>;
  /** Brings doors to what their changes say; the timeouts are whole seconds, rounded down. @throws FirewallError */
  put(changes: readonly DoorChange[]): Promise<void>;
  /** Makes these its only doors, in one change. It is there before and after. @throws FirewallError */
  replace(doors: readonly DoorChange[]): Promise<void>;
  /** Its doors. @throws FirewallError if it is not there. */
  list(): Promise<readonly KnownDoor[]>;
  /** Takes it away if no rule uses it; it need not be there. */
  destroy(): Promise<void>;
}

/** Memory is taken as it fills: 13 MB for 100,000 doors. */
const MAX_DOORS = 1_048_576;

/** The set that `options` name. Nothing happens before the first call. */
export function createDoorSet({ command, name, family, timeLimitMs, uptime }: DoorSetOptions): DoorSet {
  const definition = `hash:ip,port family ${family === 4 ? 'inet' : 'inet6'} timeout 30 maxelem ${MAX_DOORS} comment`;
  const restore = async (lines: readonly string[]): Promise<void> => {
    await runCommand([...command, '-exist', 'restore'], { input: `${lines.join('\n')}\n`, timeLimitMs });
  };
  const spare = `${name}_new`;
  return {
    name,
    ensure: () => restore([`create ${name} ${definition}`]),
    put: (changes) => restore(changes.map((change) => formatChange(name, change))),
    replace: (doors) =>
      restore([
        `create ${spare} ${definition}`,
        `flush ${spare}`,
        ...doors.map((door) => formatChange(spare, door)),
        `swap ${spare} ${name}`,
        `destroy ${spare}`,
      ]),
    list: async () => {
      const saved = await runVerboseCommand([...command, 'save', name], { timeLimitMs: 4 * timeLimitMs });
      return parseSet(saved, uptime(), family);
    },
    destroy: async () => {
      await runCommand([...command, '-quiet', 'destroy', name], { timeLimitMs }).catch(() => {});
    },
  };
}

/** A door with less than a second left is none. */
function formatChange(name: string, { address, port, timeoutSeconds, grantId }: DoorChange): string {
  const door = `${name} ${address},${port.protocol}:${port.port}`;
  const seconds = Math.floor(timeoutSeconds ?? 0);
  if (seconds < 1) return `del ${door}`;
  return `add ${door} timeout ${seconds}${grantId === null ? '' : ` comment "${grantId}"`}`;
}

function parseSet(saved: string, now: number, family: 4 | 6): readonly KnownDoor[] {
  const line = /^add \S+ ([\da-f.:]+),(tcp|udp):(\d{1,5}) timeout (\d+)(?: comment "(\w*)")?/gm;
  const doors = new Map<string, KnownDoor>();
  for (const [, text = '', name, port, seconds, grantId = null] of saved.matchAll(line)) {
    const address = parseIpAddress(text);
    if (address === null || ipFamily(address) !== family) continue;
    const protocol = name === 'udp' ? 'udp' : 'tcp';
    const door = {
      address,
      port: { protocol, port: Number(port) },
      until: now + Number(seconds) * 1000,
      grantId,
    } as const;
    doors.set(doorKey(door), door);
  }
  return [...doors.values()];
}
