import { ConfigError, type ConfigPlace, parseConfigLines } from 'spa-host';
import type { ConfigFiles } from './config-files.ts';
import { ACCESS_DIFFERENCES, differencesOf } from './differences.ts';
import { type KeywordTable, readSettings, type Statement, statementOf } from './keywords.ts';
import type { ParsedConfig } from './server-config.ts';
import { readPath } from './values.ts';

/** The statements of a stanza, its `SOURCE` first. */
export type Block = readonly [Statement, ...(readonly Statement[])];

/**
 * The stanzas of files and of those that they include, in fwknopd's order: an included file has stanzas of its own, which
 * come after the one that includes it. `%include_keys` puts a file's keys into the stanza instead.
 *
 * `table` is asked what is wrong with a line that stands above the first `SOURCE`.
 * @throws ConfigError for a file that cannot be read, that includes itself, or that is more than three deep.
 */
export function readBlocks(
  paths: readonly string[],
  files: ConfigFiles,
  table: KeywordTable,
): ParsedConfig<readonly Block[]> {
  const warnings: string[] = [];
  const includes: Statement[] = [];
  const value = paths.flatMap((path) => blocksOf([path], null, { files, table, warnings, includes }));
  return { value, warnings, differences: differencesOf(ACCESS_DIFFERENCES, NONE, includes) };
}

interface Reading {
  readonly files: ConfigFiles;
  readonly table: KeywordTable;
  readonly warnings: string[];
  /** The statements that named other files. */
  readonly includes: Statement[];
}

const NONE: ReadonlySet<string> = new Set();

/** fwknopd's limit: a file, what it includes, and what that includes. */
const MAX_DEPTH = 3;

/** What `%include_keys` takes of a file. */
const KEYS = /^(KEY|HMAC_KEY)(_BASE64)?$|^GPG_/;

/** `paths` are the file to read and, before it, those that include it; `from` is the line that names it. */
function blocksOf(paths: readonly string[], from: ConfigPlace | null, reading: Reading): readonly Block[] {
  const blocks: Block[] = [];
  let current: [Statement, ...Statement[]] | null = null;
  let included: Block[] = [];
  for (const statement of statementsOf(paths.at(-1) ?? '', from, reading)) {
    const { keyword } = statement;
    if (keyword.startsWith('%include')) reading.includes.push(statement);
    if (keyword === '%include' || keyword === '%include_folder') {
      const files = filesNamed(statement, reading);
      included.push(...files.flatMap((file) => include([...paths, file], statement.place, reading)));
    } else if (keyword === 'SOURCE') {
      if (current !== null) blocks.push(current);
      blocks.push(...included);
      [current, included] = [[statement], []];
    } else if (current === null) {
      throw startsWithoutSource(statement, reading.table);
    } else if (keyword === '%include_keys') {
      current.push(...keysOf(statement, reading));
    } else {
      current.push(statement);
    }
  }
  return [...blocks, ...(current === null ? [] : [current]), ...included];
}

function statementsOf(path: string, from: ConfigPlace | null, { files }: Reading): readonly Statement[] {
  const text = from === null ? files.read(path) : blaming(from, () => files.read(path));
  return parseConfigLines(path, text).map(statementOf);
}

/** What is wrong with a file as a whole is told of the line that names it. */
function blaming<T>(place: ConfigPlace, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(place, error.message);
    throw error;
  }
}

function filesNamed({ keyword, value, place }: Statement, { files }: Reading): readonly string[] {
  const path = readPath(value, place);
  return keyword === '%include' ? [path] : blaming(place, () => files.list(path));
}

function include(paths: readonly string[], from: ConfigPlace, reading: Reading): readonly Block[] {
  const file = paths.at(-1) ?? '';
  if (paths.indexOf(file) < paths.length - 1) {
    throw new ConfigError(from, `${file} would include itself; remove the line`);
  }
  if (paths.length > MAX_DEPTH) {
    throw new ConfigError(
      from,
      `files are ${MAX_DEPTH} deep at most, as in fwknopd; name ${file} in ${paths[0]}`,
    );
  }
  return blocksOf(paths, from, reading);
}

function keysOf({ value, place: from }: Statement, reading: Reading): readonly Statement[] {
  return statementsOf(readPath(value, from), from, reading).filter(({ keyword, place }) => {
    const isKey = KEYS.test(keyword);
    if (!isKey)
      reading.warnings.push(
        `${place.file}:${place.line}: %include_keys reads no such line; put it elsewhere`,
      );
    return isKey;
  });
}

/** A keyword that is misspelt is told as such. */
function startsWithoutSource(statement: Statement, table: KeywordTable): ConfigError {
  readSettings(table, [statement]);
  return new ConfigError(statement.place, 'this belongs to no stanza; write a line SOURCE ANY above it');
}
