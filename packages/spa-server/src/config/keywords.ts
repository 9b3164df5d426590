import { ConfigError, type ConfigLine, type ConfigPlace, probablyMeant } from 'spa-host';

/** Reads the value of one keyword. @throws ConfigError at `place`, which says what to write instead. */
export type ReadValue<T> = (value: string, place: ConfigPlace) => T;

/** The keywords of one kind of file. A keyword is known if and only if it has a row. */
export type KeywordTable = Readonly<Record<string, ReadValue<unknown>>>;

/** A value and where it was said. */
export interface Stated<T> {
  readonly value: T;
  readonly place: ConfigPlace;
}

/** What was said, by keyword: a keyword without a row is no property, so that it does not compile. */
export type Settings<Table extends KeywordTable> = {
  readonly [Keyword in keyof Table]?: Stated<ReturnType<Table[Keyword]>>;
};

/** A keyword with its value still as text. */
export interface Statement extends Stated<string> {
  readonly keyword: string;
}

/** The statement that a line of a file makes. @throws ConfigError for `NAME = value`. */
export function statementOf(line: ConfigLine): Statement {
  const { file, keyword, value } = line;
  if (/^=(\s|$)/.test(value)) {
    throw new ConfigError(
      { file, line: line.line },
      'there is an "=" on this line; write NAME value without it',
    );
  }
  return { keyword, value, place: { file, line: line.line, keyword } };
}

/**
 * Reads statements by a table; of a keyword said twice the last counts.
 * @throws ConfigError for an unknown keyword (with the nearest known one) and for a value that its row refuses.
 */
export function readSettings<Table extends KeywordTable>(
  table: Table,
  statements: readonly Statement[],
): Settings<Table> {
  const settings: Record<string, Stated<unknown>> = {};
  for (const { keyword, value, place } of statements) {
    const read = Object.hasOwn(table, keyword) ? table[keyword] : undefined;
    if (read === undefined) throw unknownKeyword(table, keyword, place);
    settings[keyword] = { value: read(value, place), place };
  }
  return settings as Settings<Table>;
}

/** A table with its keywords' other names, for whoever lists them. */
export function withAliases<Table extends KeywordTable>(
  table: Table,
  aliases: Readonly<Record<string, keyof Table & string>>,
): KeywordTable {
  const rows = Object.entries(aliases).map(([alias, keyword]) => [alias, table[keyword]] as const);
  return { ...table, ...Object.fromEntries(rows) } as KeywordTable;
}

/** A row for a setting that tunes what does not exist here: any value is accepted and none matters. */
export const ignored: ReadValue<null> = () => null;

/** A row for a setting whose absence changes what its author meant. `instead` says what to write. */
export function refused(instead: string): ReadValue<null> {
  return (_, place) => {
    throw new ConfigError(place, instead);
  };
}

/** The second statement of a keyword, with the first; null if none is repeated. */
export function findRepeated(
  statements: readonly Statement[],
): { readonly first: Statement; readonly second: Statement } | null {
  const seen = new Map<string, Statement>();
  for (const second of statements) {
    const first = seen.get(second.keyword);
    if (first !== undefined) return { first, second };
    seen.set(second.keyword, second);
  }
  return null;
}

/** A word that resembles no keyword is not repeated: a key or pass phrase may have slipped onto a line of its own. */
function unknownKeyword(table: KeywordTable, keyword: string, place: ConfigPlace): ConfigError {
  const where = { file: place.file, ...(place.line === undefined ? {} : { line: place.line }) };
  const meant = probablyMeant(keyword, Object.keys(table));
  if (meant === null) {
    return new ConfigError(where, 'this line starts with no known keyword; correct it or remove it');
  }
  return new ConfigError(where, `"${keyword}" is no keyword; did you mean ${meant}?`);
}
