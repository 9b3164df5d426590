import { ConfigError, type ConfigLine, type ConfigPlace, probablyMeant, readAll } from 'spa-host';

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
  /** There, if blanks stand behind the value in the file. */
  readonly endsBlank?: true;
}

/** The statement that a line of a file makes. @throws ConfigError for `NAME = value`. */
export function statementOf(line: ConfigLine): Statement {
  const { file, keyword, value, endsBlank } = line;
  if (/^=(\s|$)/.test(value)) {
    throw new ConfigError(
      { file, line: line.line },
      'there is an "=" on this line; write NAME value without it',
    );
  }
  const place = { file, line: line.line, keyword };
  return { keyword, value, place, ...(endsBlank ? { endsBlank } : {}) };
}

/**
 * Reads statements by a table; of a keyword said twice the last counts.
 * @throws ConfigError for an unknown keyword (with the nearest known one) and for a value that its row refuses.
 */
export function readSettings<Table extends KeywordTable>(
  table: Table,
  statements: readonly Statement[],
): Settings<Table> {
  const settings = readAll(statements.map((statement) => () => readStatement(table, statement)));
  return Object.fromEntries(settings) as Settings<Table>;
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

/** The keywords of a table whose value does not matter. */
export function ignoredKeywords(table: KeywordTable): ReadonlySet<string> {
  return new Set(Object.keys(table).filter((keyword) => table[keyword] === ignored));
}

/** A row for a setting whose absence changes what its author meant. `instead` says what to write. */
export function refused(instead: string): ReadValue<null> {
  return (_, place) => {
    throw new ConfigError(place, instead);
  };
}

/**
 * One line for each statement that says again what an earlier one said: the last one counts, as in fwknopd. `nameOf` tells
 * which keywords say the same.
 */
export function warnOfRepetition(
  statements: readonly Statement[],
  nameOf: (keyword: string) => string = (keyword) => keyword,
): readonly string[] {
  const said = new Map<string, ConfigPlace>();
  const warnings: string[] = [];
  for (const { keyword, place } of statements) {
    const first = said.get(nameOf(keyword));
    said.set(nameOf(keyword), place);
    if (first === undefined) continue;
    const where = first.file === place.file ? `line ${first.line}` : `${first.file}:${first.line}`;
    const what = first.keyword === keyword ? '' : ` (as ${first.keyword})`;
    warnings.push(`${place.file}:${place.line}: ${keyword} is in ${where} too${what}; the last one counts`);
  }
  return warnings;
}

function readStatement(
  table: KeywordTable,
  { keyword, value, place }: Statement,
): readonly [keyword: string, stated: Stated<unknown>] {
  const read = Object.hasOwn(table, keyword) ? table[keyword] : undefined;
  if (read === undefined) throw unknownKeyword(table, keyword, place);
  return [keyword, { value: read(value, place), place }];
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
