import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Keeps the process small while it starts, and while somebody floods it. V8 gives new objects more room when many of them
 * survive, as modules do that are loaded and packets that wait, up to 48 MB, and does not take it back; from now on it does
 * without. And it collects by itself: threads that help would have to get the processor first, which a flood keeps from them.
 */
export function keepSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--no-parallel-scavenge');
}

/** How often it is looked whether something is to be tidied up. */
const TIDY_EVERY_MS = 30_000;
/** So much may pile up. V8 lets it be seven times that, and more, before it looks through what has become old. */
const UNTIDY_BYTES = 1024 * 1024;
/** To look through more at once takes too long: V8 does that bit by bit, when it wants to. */
const MAX_BYTES = 48 * 1024 * 1024;

/** Gives back the memory of what packets left behind, every half minute if there is much of it; that takes 20 ms. */
export function keepTidy(): void {
  setInterval(createTidying(thisProcess()), TIDY_EVERY_MS).unref();
}

/** What can be tidied up. */
export interface Memory {
  /** What is in use, and what is garbage already. */
  usedBytes(): number;
  collect(): void;
}

/** Makes what has a look, and tidies up if that is worth it. */
export function createTidying({ usedBytes, collect }: Memory): () => void {
  let tidyBytes = 0;
  return () => {
    const bytes = usedBytes();
    tidyBytes = Math.min(tidyBytes, bytes);
    if (bytes > MAX_BYTES || bytes < tidyBytes + UNTIDY_BYTES) return;
    collect();
    tidyBytes = usedBytes();
  };
}

/** The memory of this process: the heap of V8, and the buffers that belong to what is in it. */
export function thisProcess(): Memory {
  // V8 gives it to new contexts while this flag is set.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  const usedBytes = (): number => {
    const { used_heap_size: heap, external_memory: buffers } = getHeapStatistics();
    return heap + buffers;
  };
  return { usedBytes, collect };
}
