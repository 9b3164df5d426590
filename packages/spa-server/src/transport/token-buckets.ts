/** How much each holder of a bucket may take: `burst` at once, `perSecond` from then on. */
export interface Budget {
  readonly burst: number;
  readonly perSecond: number;
}

/** A budget for each of many, most of whom are never seen again. */
export interface TokenBuckets {
  /** Takes one token of `name`; false if there is none. */
  take(name: string): boolean;
  /** Gives one token back. */
  give(name: string): void;
}

interface Bucket {
  tokens: number;
  filledAt: number;
}

/**
 * Buckets for at most `limit` names at a time: the one that was used the longest ago is forgotten first, and full if it comes
 * again. `now` in milliseconds.
 */
export function createTokenBuckets(budget: Budget, limit: number, now: () => number): TokenBuckets {
  const buckets = new Map<string, Bucket>();

  const filled = (name: string): Bucket => {
    const time = now();
    const bucket = buckets.get(name) ?? { tokens: budget.burst, filledAt: time };
    const grown = (Math.max(0, time - bucket.filledAt) / 1000) * budget.perSecond;
    bucket.tokens = Math.min(budget.burst, bucket.tokens + grown);
    bucket.filledAt = time;
    // At the end of the order: used last.
    buckets.delete(name);
    buckets.set(name, bucket);
    return bucket;
  };

  return {
    take: (name) => {
      const bucket = filled(name);
      if (buckets.size > limit) forgetOldest(buckets);
      if (bucket.tokens < 1) return false;
      bucket.tokens -= 1;
      return true;
    },
    give: (name) => {
      const bucket = buckets.get(name);
      if (bucket !== undefined) bucket.tokens = Math.min(budget.burst, bucket.tokens + 1);
    },
  };
}

function forgetOldest(buckets: Map<string, Bucket>): void {
  for (const name of buckets.keys()) {
    buckets.delete(name);
    return;
  }
}
