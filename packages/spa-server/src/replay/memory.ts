import type { DurableReplayStore } from './replay-store.ts';

/** The twin of the real store, for tests and for `--test`: it forgets all when it is closed. */
export function createMemoryReplayStore(options: { readonly floorSeconds: number }): DurableReplayStore {
  const messages = new Map<string, number>();
  let floor = options.floorSeconds;
  let mark = 0;
  const look: DurableReplayStore['look'] = async ({ id, timestampSeconds }) => {
    if (timestampSeconds < floor) return 'before-floor';
    return messages.has(id) ? 'replayed' : null;
  };
  return {
    get floorSeconds() {
      return floor;
    },
    get latestSeconds() {
      return [...messages.values()].reduce((latest, stamped) => Math.max(latest, stamped), 0);
    },
    get markSeconds() {
      return mark;
    },
    setMark: async (seconds) => {
      mark = seconds;
    },
    look,
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
