import { FirewallError } from './firewall.ts';
import type { InTurn } from './in-turn.ts';

/** What makes a burst. */
export interface BurstOptions<Item, Result> {
  readonly inTurn: InTurn;
  /** How much of one change an item takes up, and how much there is. */
  readonly weight: (item: Item) => number;
  readonly limit: () => number;
  /** Carries out all items as one change; resolves to a result for each, in their order. */
  readonly change: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** Carries out one whose burst was refused. */
  readonly changeAlone: (item: Item) => Promise<Result>;
}

/**
 * Items that come while a change is under way share the next one. If that is refused, each is tried alone, so that
 * only the one at fault fails; if its outcome is unknown, all fail.
 */
export function createBursts<Item, Result>(
  options: BurstOptions<Item, Result>,
): (item: Item) => Promise<Result> {
  const { inTurn, weight, limit } = options;
  let waiting: Waiting<Item, Result>[] = [];

  const takeBurst = (): readonly Waiting<Item, Result>[] => {
    let room = limit();
    const end = waiting.findIndex(({ item }) => {
      room -= weight(item);
      return room < 0;
    });
    // One that is larger than a change may be goes alone.
    const burst = waiting.slice(0, end < 0 ? waiting.length : Math.max(1, end));
    waiting = waiting.slice(burst.length);
    return burst;
  };

  async function carryOut(): Promise<void> {
    const burst = takeBurst();
    if (waiting.length > 0) void inTurn(carryOut);
    try {
      const results = await options.change(burst.map(({ item }) => item));
      for (const [index, { resolve }] of burst.entries()) resolve(results[index] as Result);
    } catch (error) {
      if (burst.length > 1 && isRefusal(error)) await eachAlone(burst);
      else for (const { reject } of burst) reject(error);
    }
  }

  async function eachAlone(burst: readonly Waiting<Item, Result>[]): Promise<void> {
    for (const { item, resolve, reject } of burst) await options.changeAlone(item).then(resolve, reject);
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (waiting.length === 1) void inTurn(carryOut);
    });
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

function isRefusal(error: unknown): boolean {
  return error instanceof FirewallError && error.status !== null && !error.notPermitted;
}
