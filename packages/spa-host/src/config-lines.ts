import { ConfigError } from './config-error.ts';

/** One `NAME value` of a configuration file of fwknop's style. `line` counts from 1; `value` has no outer blanks. */
export interface ConfigLine {
  readonly file: string;
  readonly line: number;
  readonly keyword: string;
  readonly value: string;
  /** There, if blanks stand behind the value. */
  readonly endsBlank?: true;
}

/**
 * The `NAME value` and `NAME: value` lines of a file's text, comments (`#`, `;` as first character) and blank lines
 * left out. A value runs to the end of the line or to the first `;`.
 * @throws ConfigError for a line that is none of these.
 */
export function parseConfigLines(file: string, text: string): readonly ConfigLine[] {
  const lines: ConfigLine[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const content = raw.trim();
    if (content === '' || content.startsWith('#') || content.startsWith(';')) continue;
    const line = parseConfigLine(file, index + 1, content);
    const endsBlank = /[ \t]$/.test(raw.replace(/[;\r].*$/, ''));
    lines.push(endsBlank ? { ...line, endsBlank } : line);
  }
  return lines;
}

/**
 * One `NAME value` or `NAME: value`.
 * @throws ConfigError if `content` is none. It does not repeat the content: that may be a mistyped key.
 */
export function parseConfigLine(file: string, line: number, content: string): ConfigLine {
  const match = /^([^\s:=]+):?\s+(.*)$/.exec(content.replace(/;.*$/, ''));
  const keyword = match?.[1];
  const value = match?.[2]?.trim();
  if (keyword === undefined || value === undefined || value === '') {
    throw new ConfigError(
      { file, line },
      'this line is no setting; write NAME value, with a blank between them',
    );
  }
  return { file, line, keyword, value };
}
