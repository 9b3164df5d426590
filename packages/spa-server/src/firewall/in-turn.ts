/** Runs tasks one after the other, in the order of the calls. A task that fails does not hold up the next. */
export type InTurn = <T>(task: () => Promise<T>) => Promise<T>;

/** A new queue of tasks; see {@link InTurn}. */
export function createTurns(): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const result = last.then(task);
    last = result.catch(() => {});
    return result;
  };
}
