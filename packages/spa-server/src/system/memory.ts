import { setFlagsFromString } from 'node:v8';

/**
 * Keeps the process small while it starts, and while somebody floods it. V8 gives new objects more room when many of them
 * survive, as modules do that are loaded and packets that wait, up to 48 MB, and does not take it back; from now on it does
 * without. And it collects by itself: threads that help would have to get the processor first, which a flood keeps from them.
 */
export function keepSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--no-parallel-scavenge');
}
