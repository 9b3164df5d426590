/** How many share one step at most: what must not hold up other work for long. */
const MAX_BATCH = 256;

/** Collects single requests and has them done together. */
export interface Batches<Item, Result> {
  /** Resolves or rejects as the step does that did this item. */
  add(item: Item): Promise<Result>;
  /** Does at once what still waits. */
  finish(): void;
}

/**
 * What is asked for in one turn of the event loop is done in one step, in the order of arrival. `work` gives one result for
 * each item; if it throws, all items of that step are rejected with its error.
 */
export function createBatches<Item, Result>(
  work: (items: readonly Item[]) => readonly Result[],
): Batches<Item, Result> {
  let waiting: Waiting<Item, Result>[] = [];

  function doSome(): void {
    const batch = waiting.slice(0, MAX_BATCH);
    waiting = waiting.slice(MAX_BATCH);
    if (waiting.length > 0) setImmediate(doSome);
    if (batch.length > 0) settle(batch, work);
  }

  return {
    add: (item) =>
      new Promise((resolve, reject) => {
        waiting.push({ item, resolve, reject });
        if (waiting.length === 1) setImmediate(doSome);
      }),
    finish: () => {
      while (waiting.length > 0) doSome();
    },
  };
}

interface Waiting<Item, Result> {
  readonly item: Item;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

function settle<Item, Result>(
  batch: readonly Waiting<Item, Result>[],
  work: (items: readonly Item[]) => readonly Result[],
): void {
  try {
    const results = work(batch.map(({ item }) => item));
    for (const [index, { resolve }] of batch.entries()) resolve(results[index] as Result);
  } catch (error) {
    for (const { reject } of batch) reject(error);
  }
}
