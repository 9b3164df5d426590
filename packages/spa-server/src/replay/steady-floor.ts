import type { ReplayStore } from './replay-store.ts';

/** A clock that is ahead for no longer than this makes the store forget nothing. */
export const STEADY_SECONDS = 600;

/**
 * The same store, whose floor follows the clock only where the clock has been for ten minutes.
 *
 * Messages before the floor are never accepted again. If it followed a clock that is ahead for a moment, nobody could come
 * in until the right time had reached it. A clock that stays ahead is believed; until then messages are kept for longer.
 */
export function withSteadyFloor(
  store: ReplayStore,
  { steadySeconds, maxAgeSeconds }: SteadyFloorOptions,
): ReplayStore {
  const begun = steadySeconds();
  /** What was asked for in the last ten minutes. At first: the floor of a new store is not behind the clock yet. */
  let asked: readonly Asked[] = [{ at: begun, ahead: store.floorSeconds - maxAgeSeconds - begun }];
  return {
    get floorSeconds() {
      return store.floorSeconds;
    },
    get latestSeconds() {
      return store.latestSeconds;
    },
    claim: (message) => store.claim(message),
    raiseFloor: (floorSeconds) => {
      const at = steadySeconds();
      asked = [...asked.filter((one) => at - one.at < STEADY_SECONDS), { at, ahead: floorSeconds - at }];
      return store.raiseFloor(Math.floor(at + Math.min(...asked.map(({ ahead }) => ahead))));
    },
    close: () => store.close(),
  };
}

/** What {@link withSteadyFloor} is told. */
export interface SteadyFloorOptions {
  /** A clock that nobody can set. */
  steadySeconds(): number;
  /** How far behind the clock floors are asked for. */
  readonly maxAgeSeconds: number;
}

/** A floor that was asked for, as what it was ahead of the steady clock. */
interface Asked {
  readonly at: number;
  readonly ahead: number;
}
