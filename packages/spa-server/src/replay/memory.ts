import type { ReplayStore } from './replay-store.ts';

/** The twin of the real store, for tests and for `--test`: it forgets all when it is closed. */
export function createMemoryReplayStore(options: { readonly floorSeconds: number }): ReplayStore {
  const messages = new Map<string, number>();
  let floor = options.floorSeconds;
  return {
    get floorSeconds() {
      return floor;
    },
    claim: async ({ id, timestampSeconds }) => {
      if (timestampSeconds < floor) return 'before-floor';
      if (messages.has(id)) return 'replayed';
      messages.set(id, timestampSeconds);
      return 'claimed';
    },
    raiseFloor: async (floorSeconds) => {
      floor = Math.max(floor, floorSeconds);
      for (const [id, stamped] of messages) if (stamped < floor) messages.delete(id);
    },
    close: async () => messages.clear(),
  };
}
