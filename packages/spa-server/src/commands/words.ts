/**
 * The words of a command, as fwknop splits them (section 5.5): at white space. There are no quotes, no shell, no globbing.
 */
export function splitWords(command: string): readonly string[] {
  return command.split(/\s+/).filter((word) => word !== '');
}

/** What the variables of a command cycle stand for, by name. */
export type Variables = Readonly<Record<VariableName, string | number>>;

/** fwknop's variables (section 5.6). */
export const VARIABLE_NAMES = [
  'CLIENT_TIMEOUT',
  'PKT_SRC',
  'TIMEOUT',
  'PROTO',
  'PORT',
  'SRC',
  'DST',
  'IP',
] as const;

/** One of {@link VARIABLE_NAMES}. */
export type VariableName = (typeof VARIABLE_NAMES)[number];

/**
 * `words` with values in the places of variables. As in fwknopd a name ends where it is known: `$SRCx` is `$SRC` and an x. A
 * value never makes a second word.
 */
export function fillIn(words: readonly string[], variables: Variables): readonly string[] {
  return words.map((word) => word.replaceAll(VARIABLE, (_, name: VariableName) => String(variables[name])));
}

/** The first `$` of `text` that begins no variable, with what follows it; null if all do. */
export function unknownVariable(text: string): string | null {
  return /\$\w*/.exec(text.replaceAll(VARIABLE, ''))?.[0] ?? null;
}

const VARIABLE = new RegExp(`\\$(${VARIABLE_NAMES.join('|')})`, 'g');
