/** @throws Error that says what was to hold, what was wanted and what was seen, unless the two are equal. */
export function expect<T>(claim: string, seen: T, wanted: T): void {
  if (seen !== wanted) throw new Error(`${claim}: expected "${wanted}", saw "${seen}"`);
}

/** @throws Error that says what was to hold and what was seen, unless `pattern` is in `text`. */
export function expectMatch(claim: string, text: string, pattern: RegExp): void {
  if (!pattern.test(text)) throw new Error(`${claim}: expected ${pattern}, saw "${text.trim()}"`);
}
