/** `names`, those first that are the most like `wanted` (by the number of letters to change, case ignored). */
export function nearest<Name extends string>(wanted: string, names: readonly Name[]): readonly Name[] {
  const lower = wanted.toLowerCase();
  return names
    .map((name) => ({ name, distance: editDistance(lower, name.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
    .map(({ name }) => name);
}

/**
 * The one of `names` that was probably meant by `wanted`; null if none is near: at most three letters, and no more than
 * a third of them, to change.
 */
export function probablyMeant<Name extends string>(wanted: string, names: readonly Name[]): Name | null {
  const asked = wanted.slice(0, MAX_LENGTH);
  const [name] = nearest(asked, names);
  if (name === undefined) return null;
  const typos = editDistance(asked.toLowerCase(), name.toLowerCase());
  return typos <= Math.min(MAX_TYPOS, Math.floor(asked.length / 3)) ? name : null;
}

/** Longer than any name: what a file holds may be of any length. */
const MAX_LENGTH = 40;
const MAX_TYPOS = 3;

/** Levenshtein's distance: how many letters to insert, delete or change. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
