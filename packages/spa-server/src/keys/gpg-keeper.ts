import { type Keeper, parseSessionKey } from 'spa-core';
import { ConfigError, decryptSessionKey, type GnupgHome } from 'spa-host';

/** gpg processes at a time, of all keys together. A card does one thing after the other anyway. */
const AT_ONCE = 2;
/** Session keys that wait for one of them; more are given up. */
const MAX_WAITING = 32;
/** A card takes a second. Somebody who has to be asked for a passphrase is not there. */
const LIMIT_MS = 5_000;

/** Lets a few things be done at a time. */
export interface FewAtOnce {
  /** The result of `work`; null if too much waits already. */
  do<Result>(work: () => Promise<Result>): Promise<Result | null>;
}

/** What all keepers of a daemon share. */
export function createFewAtOnce(): FewAtOnce {
  let running = 0;
  const waiting: (() => void)[] = [];
  const start = (): Promise<void> | null => {
    if (running < AT_ONCE) {
      running += 1;
      return Promise.resolve();
    }
    return waiting.length < MAX_WAITING ? new Promise((resolve) => waiting.push(resolve)) : null;
  };
  const end = (): void => {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  };
  return {
    do: async (work) => {
      const started = start();
      if (started === null) return null;
      await started;
      try {
        return await work();
      } finally {
        end();
      }
    },
  };
}

/**
 * gpg as the keeper of the secret keys of a home: of those in its gpg-agent, or on a card. `passphrase` null: the agent needs none,
 * or knows it. A gpg that can no longer be run gives null, too.
 */
export function gpgKeeper(home: GnupgHome, passphrase: string | null, { do: doSoon }: FewAtOnce): Keeper {
  const ask = (packet: Buffer): Promise<string | null> =>
    decryptSessionKey(home, packet, { passphrase, limitMs: LIMIT_MS }).catch((error: unknown) => {
      if (error instanceof ConfigError) return null;
      throw error;
    });
  return async (packet) => {
    const text = await doSoon(() => ask(packet));
    return text === null ? null : parseSessionKey(text);
  };
}
