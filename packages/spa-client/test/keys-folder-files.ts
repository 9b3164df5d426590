import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files that all say which generation they are of; every other one has one file more, and one less. */
export function filesOf(generation: number): ReadonlyMap<string, string | null> {
  const text = String(generation);
  return new Map<string, string | null>([
    ...NAMES.map((name) => [name, text.padEnd(3000, ' ')] as const),
    ['odd/only', generation % 2 === 1 ? text : null],
    ['even', generation % 2 === 0 ? text : null],
  ]);
}

/** The generation of the files in `folder`, 0 of an empty one; NaN if they are mixed. */
export function generationOf(folder: string): number {
  // It may go between a look and a read.
  const read = (name: string): string | null => {
    try {
      return readFileSync(join(folder, name), 'utf8').trim();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  };
  const [first = null, ...others] = NAMES.map(read);
  const generation = Number(first ?? '0');
  const expected = (isThere: boolean): string | null => (isThere ? first : null);
  const isWhole =
    others.every((other) => other === first) &&
    read('odd/only') === expected(generation % 2 === 1) &&
    read('even') === expected(generation % 2 === 0);
  return isWhole ? generation : Number.NaN;
}

const NAMES = ['a', 'b', 'deep/er/c', 'deep/d', 'e', 'f'];
