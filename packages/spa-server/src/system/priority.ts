import { setPriority } from 'node:os';

/** Of nice(1): before everything that a bastion does for those who are in already. */
const NICENESS = -10;

/**
 * Puts the process before others that want the processor: while it waits for its turn, a flood fills the receive buffer, and
 * an operator's packet is lost. Whoever may not do that goes on as he is.
 */
export function comeFirst(): void {
  try {
    setPriority(NICENESS);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SYSTEM_ERROR') throw error;
  }
}
