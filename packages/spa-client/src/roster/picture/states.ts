import type { CertificationStanding, KeyState } from 'spa-core';

/** Every state of a key or a certification. */
export type State = KeyState['state'] | CertificationStanding['state'];

/** How bad it is: the class of its colour. */
export type Weight = 'ok' | 'soon' | 'wrong';

/** How a state is shown. The sign says without colour what the colour says. */
export interface StateLook {
  readonly sign: string;
  readonly word: string;
  readonly meaning: string;
  readonly weight: Weight;
}

/** The look of each state, the best first. */
export const STATES: Readonly<Record<State, StateLook>> = {
  ok: { sign: '✓', word: 'fine', meaning: 'there and valid', weight: 'ok' },
  expiring: { sign: 'S', word: 'ends soon', meaning: 'valid, to be renewed now', weight: 'soon' },
  key: { sign: 'K', word: 'key', meaning: 'one of both keys is not fit: see the keys', weight: 'wrong' },
  missing: { sign: 'M', word: 'missing', meaning: 'not there', weight: 'wrong' },
  weak: { sign: 'W', word: 'weak', meaning: 'made with what is broken today', weight: 'wrong' },
  expired: { sign: 'E', word: 'expired', meaning: 'past its end', weight: 'wrong' },
  revoked: { sign: 'R', word: 'revoked', meaning: 'taken back', weight: 'wrong' },
  mismatch: { sign: 'D', word: 'different key', meaning: 'the file holds another key', weight: 'wrong' },
  stripped: { sign: 'L', word: 'lacks a part', meaning: 'a part of the key is gone', weight: 'wrong' },
  unusable: { sign: 'N', word: 'not usable', meaning: 'gpg cannot use it', weight: 'wrong' },
};

/** What is valid and nobody asked for. */
export const UNWANTED: StateLook = {
  sign: '+',
  word: 'not asked for',
  meaning: 'valid, and not asked for (any more)',
  weight: 'soon',
};

const ORDER = Object.keys(STATES) as readonly State[];

/** How far a state is from fine: for sorting. */
export function badness(state: State): number {
  return ORDER.indexOf(state);
}

/** The state that is furthest from fine; null of none. */
export function worst(states: readonly State[]): State | null {
  return states.reduce<State | null>(
    (worse, state) => (worse === null || badness(state) > badness(worse) ? state : worse),
    null,
  );
}

/** True of what still does its work. */
export function works(state: State): boolean {
  return STATES[state].weight !== 'wrong';
}
