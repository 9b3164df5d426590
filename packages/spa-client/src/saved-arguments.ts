import { ConfigError, readGuardedFile, writePrivateFile } from 'spa-host';

/** A command line that was saved: fwknop's `~/.fwknop.run`, or ours. */
export interface SavedArguments {
  /** Without the name of the program. */
  readonly words: readonly string[];
  /** How others can read the file; null if they cannot. */
  readonly exposure: string | null;
}

/**
 * Reads the file's first line.
 * @throws ConfigError if there is none, or others can change it: it says which programs run.
 */
export function readSavedArguments(file: string): SavedArguments {
  const { data, exposure, forgery } = readGuardedFile(file);
  if (forgery !== null) throw new ConfigError({ file }, forgery);
  const [line = ''] = data.subarray(0, LINE_MAX_BYTES).toString('utf8').split('\n', 1);
  const [program, ...words] = splitWords(line);
  if (program === undefined || data.length > LINE_MAX_BYTES)
    throw new ConfigError({ file }, 'no command line is saved here; a run with -E FILE saves one');
  return { words, exposure };
}

/** Saves the words for the file's owner only. @throws ConfigError */
export function writeSavedArguments(file: string, words: readonly string[]): void {
  writePrivateFile(file, `${formatWords(['spa-client', ...words])}\n`);
}

/** The words as a shell reads them; without quotes, where none is needed, as fwknop does. */
export function formatWords(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w@%+=:,./[\]-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

const LINE_MAX_BYTES = 65_536;

/** The inverse of {@link formatWords}. fwknop knows no quotes: a line that is not well quoted is split at its blanks. */
function splitWords(line: string): readonly string[] {
  const isQuoted = /^(?:\s|[^\s'\\]|'[^']*'|\\')*$/.test(line);
  if (!isQuoted) return line.match(/\S+/g) ?? [];
  const words = line.match(/(?:[^\s'\\]|'[^']*'|\\')+/g) ?? [];
  return words.map((word) => word.replaceAll(/'([^']*)'|\\(')/g, '$1$2'));
}
