import type { Claim, ClaimedMessage, DurableReplayStore, ReplayStore } from './replay-store.ts';

// Why no message is accepted twice. Every claim is in the volatile store; one stamped after the mark, which lies on the
// disk, is in the durable store too, and first.
// - The process dies: the volatile store knows all. What was claimed in the durable store only was not accepted yet.
// - The host reboots, or the volatile store is lost otherwise: the new one has a floor after the mark. What was stamped
//   until the mark is refused by it, the rest is known to the durable store, which is always asked. No clock is trusted.
// - The durable store is lost: its floor is the next second, and both floors count. So too if both are lost.

/** So far is the mark put ahead, at the start and each time old messages are forgotten: no claim waits for the disk. */
export const MARK_AHEAD_SECONDS = 35;

/** What two stores are made of. */
export interface TwoStoresParts {
  readonly durable: DurableReplayStore;
  /** Opens the one that a reboot may empty; if it is empty, its floor is the second after `nowSeconds`. */
  openVolatile(nowSeconds: number): Promise<ReplayStore>;
  /** Seconds since 1970. */
  now(): number;
}

/**
 * One store of two: claims that no reboot could undo are not flushed to the disk.
 *
 * After a crash of the host, messages are refused that are stamped in the first 35 seconds after the last mark.
 * @throws ReplayError and then `durable` is closed.
 */
export async function openTwoStores({ durable, openVolatile, now }: TwoStoresParts): Promise<ReplayStore> {
  const markBefore = durable.markSeconds;
  const volatile = await openDependent();
  /** The latest stamp that only the volatile store may know. The mark does not tell it if the durable store was lost. */
  let latest = Math.max(markBefore, volatile.latestSeconds);

  async function openDependent(): Promise<ReplayStore> {
    try {
      const store = await openVolatile(Math.max(now(), durable.markSeconds));
      const nowSeconds = Math.max(now(), store.floorSeconds);
      await durable.setMark(Math.max(durable.markSeconds, nowSeconds + MARK_AHEAD_SECONDS));
      return store;
    } catch (error) {
      await durable.close();
      throw error;
    }
  }

  async function claimDurably(message: ClaimedMessage): Promise<Claim> {
    if (message.timestampSeconds > durable.markSeconds) return durable.claim(message);
    latest = Math.max(latest, message.timestampSeconds);
    return (await durable.look(message)) ?? 'claimed';
  }

  return {
    get floorSeconds() {
      return Math.max(durable.floorSeconds, volatile.floorSeconds);
    },
    get latestSeconds() {
      return Math.max(durable.latestSeconds, volatile.latestSeconds);
    },
    claim: async (message) => {
      const claim = await claimDurably(message);
      return claim === 'claimed' ? volatile.claim(message) : claim;
    },
    raiseFloor: async (floorSeconds) => {
      // It goes back with a clock that was ahead, but not behind what only the volatile store knows.
      await durable.setMark(Math.max(latest, now() + MARK_AHEAD_SECONDS));
      await Promise.all([volatile.raiseFloor(floorSeconds), durable.raiseFloor(floorSeconds)]);
    },
    close: async () => {
      try {
        await durable.setMark(Math.min(durable.markSeconds, latest));
      } finally {
        await Promise.all([volatile.close(), durable.close()]);
      }
    },
  };
}
