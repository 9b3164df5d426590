import { parseArgs } from 'node:util';

/**
 * One command-line option. With `argument` (its name in the help) it takes a value, with `many` too any number of them;
 * `count` says it may be repeated; `addition`, that another program whose command line this is too has no such option: a beginning
 * that is unique there means the same here.
 */
export interface Option {
  readonly long: string;
  readonly short?: string;
  readonly argument?: string;
  readonly many?: true;
  readonly count?: true;
  readonly addition?: true;
  readonly help: string;
}

/** The values that were given, by long name: text, all texts (`many`), how often (`count`), or true. */
export type OptionValues<Table extends readonly Option[]> = {
  readonly [Row in Table[number] as Row['long']]?: Row extends { readonly argument: string }
    ? Row extends { readonly many: true }
      ? readonly string[]
      : string
    : Row extends { readonly count: true }
      ? number
      : true;
};

/** A command line that was parsed. */
export interface CommandLine<Table extends readonly Option[]> {
  readonly values: OptionValues<Table>;
  readonly positionals: readonly string[];
}

/** The command line is wrong; the message is one line that says what to write instead. Exit code 64. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * Reads `argv` (without node and script) by a table of options, as getopt_long does: `-fv`, `-p62201`, `--long=value`,
 * a unique beginning of a long name. Of an option given twice the last value wins.
 * @throws UsageError for an unknown or ambiguous option, a missing value, a value where none belongs.
 */
export function parseCommandLine<const Table extends readonly Option[]>(
  table: Table,
  argv: readonly string[],
): CommandLine<Table> {
  const { tokens } = parseArgs({
    args: argv.map((argument) => completeLongName(table, argument)),
    options: Object.fromEntries(table.map(parseArgsRow)),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const values: Record<string, OptionValue> = {};
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const row = table.find((candidate) => candidate.long === token.name);
    if (row === undefined) throw new UsageError(`unknown option ${token.rawName}; --help lists them`);
    values[row.long] = optionValue(row, token.rawName, token.value, values[row.long]);
  }
  return { values: values as OptionValues<Table>, positionals };
}

/** The table as lines of help, one option a line, aligned. */
export function formatOptions(table: readonly Option[]): string {
  const left = table.map((row) => {
    const short = row.short === undefined ? '    ' : `-${row.short}, `;
    return `  ${short}--${row.long}${row.argument === undefined ? '' : ` ${row.argument}`}`;
  });
  const width = Math.max(...left.map((text) => text.length)) + 2;
  return table.map((row, index) => `${left[index]?.padEnd(width)}${row.help}`).join('\n');
}

function parseArgsRow(row: Option): [string, { type: 'string' | 'boolean'; short?: string }] {
  const type = row.argument === undefined ? 'boolean' : 'string';
  return [row.long, row.short === undefined ? { type } : { type, short: row.short }];
}

function completeLongName(table: readonly Option[], argument: string): string {
  const match = /^--([^=]+)(=.*)?$/s.exec(argument);
  const name = match?.[1];
  if (name === undefined || table.some((row) => row.long === name)) return argument;
  const all = table.filter((row) => row.long.startsWith(name));
  const common = all.filter((row) => row.addition !== true);
  const [candidate, ...others] = common.length > 0 ? common : all;
  if (others.length > 0)
    throw new UsageError(`option --${name} is ambiguous: --${all.map((row) => row.long).join(', --')}`);
  return candidate === undefined ? argument : `--${candidate.long}${match?.[2] ?? ''}`;
}

type OptionValue = string | readonly string[] | number | true;

function optionValue(
  row: Option,
  rawName: string,
  value: string | undefined,
  before: OptionValue | undefined,
): OptionValue {
  if (row.argument !== undefined) {
    if (value === undefined)
      throw new UsageError(`option ${rawName} needs a value: ${rawName} ${row.argument}`);
    if (row.many !== true) return value;
    return [...(Array.isArray(before) ? before : []), value];
  }
  if (value !== undefined) throw new UsageError(`option ${rawName} takes no value`);
  if (row.count !== true) return true;
  return (typeof before === 'number' ? before : 0) + 1;
}
