import type { Daemon } from 'spa-lab';
import type { Narrator } from './narrator.ts';

/** Where the story plays: what has been built for it, and what takes that away again. */
export interface Stage {
  readonly narrator: Narrator;
  /** Set once the daemon runs: its log explains failures. */
  daemon: Daemon | null;
  /** A step begins. @throws Error if the demo was interrupted. */
  step(title: string): void;
  /** What is to be done at the end, whatever happens; the last one first. It may be done twice. */
  atEnd(undo: () => void | Promise<void>): void;
  /** Takes everything away at once, so that a step that waits fails, and no other begins. */
  interrupt(): Promise<void>;
  /** Does what {@link Stage.atEnd} was given; again, if called again: a step may have gone on meanwhile. */
  clear(): Promise<void>;
}

/** An empty stage. */
export function createStage(narrator: Narrator): Stage {
  const undoings: (() => void | Promise<void>)[] = [];
  let interrupted = false;
  let clearing = Promise.resolve();
  const clear = (): Promise<void> => {
    clearing = clearing.then(async () => {
      for (const undo of undoings.toReversed()) await undo();
    });
    return clearing;
  };
  return {
    narrator,
    daemon: null,
    step: (title) => {
      if (interrupted) throw new Error('interrupted');
      narrator.step(title);
    },
    atEnd: (undo) => undoings.push(undo),
    interrupt: () => {
      interrupted = true;
      return clear();
    },
    clear,
  };
}
