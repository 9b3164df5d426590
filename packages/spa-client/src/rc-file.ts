import { ConfigError, type ConfigLine, nearest, parseConfigLine, readGuardedFile } from 'spa-host';
import {
  isSecretKeyword,
  keywords,
  parseKeyword,
  readSetting,
  type Settings,
  ValueError,
} from './settings.ts';

/** One `[name]` of an rc file, its lines not yet read: a line of another stanza never stands in the way. */
export interface RcStanza {
  readonly name: string;
  readonly lines: readonly ConfigLine[];
}

/** An rc file: fwknop's `.fwknoprc`. */
export interface RcFile {
  readonly file: string;
  /** As it was read, with a byte order mark if it has one. */
  readonly text: string;
  readonly stanzas: readonly RcStanza[];
}

/** Name of the stanza that applies to every run. */
export const DEFAULT_STANZA = 'default';

/**
 * Reads an rc file.
 * @throws ConfigError if it cannot be read, is malformed, holds a secret that others can read, or can be changed by others: it says
 *   which programs run.
 */
export function readRcFile(file: string): RcFile {
  const { data, exposure, forgery } = readGuardedFile(file);
  const rcFile = parseRcFile(file, decodeUtf8(file, data));
  const secret = rcFile.stanzas
    .flatMap((stanza) => stanza.lines)
    .find((line) => isSecretKeyword(line.keyword));
  if (exposure !== null && secret !== undefined) throw new ConfigError(secret, exposure);
  if (forgery !== null) throw new ConfigError({ file }, forgery);
  return rcFile;
}

/**
 * The stanzas of an rc file's text, in order; a name that comes twice is one stanza, as for fwknop.
 * @throws ConfigError for a line that is neither a stanza's name nor a setting, or a setting before the first name.
 */
export function parseRcFile(file: string, text: string): RcFile {
  const stanzas: { name: string; lines: ConfigLine[] }[] = [];
  const linesOf = new Map<string, ConfigLine[]>();
  let current: ConfigLine[] | null = null;
  for (const [index, raw] of text
    .replace(/^\ufeff/, '')
    .split('\n')
    .entries()) {
    const content = raw.trim();
    if (content === '' || content.startsWith('#') || content.startsWith(';')) continue;
    if (content.startsWith('[')) {
      const name = parseStanzaName(file, index + 1, content);
      current = linesOf.get(name.toLowerCase()) ?? [];
      if (!linesOf.has(name.toLowerCase())) stanzas.push({ name, lines: current });
      linesOf.set(name.toLowerCase(), current);
    } else {
      const line = parseSetting(file, index + 1, content);
      if (current === null) {
        throw new ConfigError(line, 'stands before the first stanza; write [default] above it');
      }
      current.push(line);
    }
  }
  return { file, text, stanzas };
}

/**
 * What `[default]` says, overridden by what the named stanza says (null: no stanza).
 * @throws ConfigError for a keyword or value that is wrong, or if there is no such stanza: the nearest names first.
 */
export function stanzaSettings(rcFile: RcFile, name: string | null): Settings {
  const names = [DEFAULT_STANZA, ...(name === null ? [] : [mustFindStanza(rcFile, name).name])];
  const lines = names.flatMap((wanted) => findStanza(rcFile, wanted)?.lines ?? []);
  return Object.assign({}, ...lines.map(readLine));
}

function mustFindStanza(rcFile: RcFile, name: string): RcStanza {
  const stanza = findStanza(rcFile, name);
  if (stanza !== undefined) return stanza;
  const names = nearest(
    name,
    rcFile.stanzas.map((candidate) => candidate.name),
  );
  const known = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`;
  throw new ConfigError({ file: rcFile.file }, `there is no stanza [${name}]; ${known}`);
}

/** The name in a stanza's first line, without outer blanks; null if the line is none. */
export function stanzaNameOf(line: string): string | null {
  return /^\ufeff?\[\s*([^\][]*?)\s*\]\s*([#;].*)?$/.exec(line)?.[1] || null;
}

/** True if fwknop takes both for the name of one stanza. */
export function sameStanza(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

function findStanza(rcFile: RcFile, name: string): RcStanza | undefined {
  return rcFile.stanzas.find((stanza) => sameStanza(stanza.name, name));
}

function parseStanzaName(file: string, line: number, content: string): string {
  const name = stanzaNameOf(content);
  if (name !== null) return name;
  throw new ConfigError({ file, line }, 'this is no name of a stanza; write [NAME]');
}

function parseSetting(file: string, line: number, content: string): ConfigLine {
  const setting = parseConfigLine(file, line, content);
  return { ...setting, value: setting.value.replace(/[\s;#].*$/s, '') };
}

function readLine(line: ConfigLine): Settings {
  const keyword = parseKeyword(line.keyword);
  if (keyword === null) {
    const suggestion = nearest(line.keyword.toUpperCase(), keywords())[0];
    throw new ConfigError(line, `there is no such keyword; the nearest is ${suggestion}`);
  }
  try {
    return readSetting(keyword, line.value);
  } catch (error) {
    if (error instanceof ValueError) throw new ConfigError(line, error.message);
    throw error;
  }
}

function decodeUtf8(file: string, data: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    throw new ConfigError({ file }, 'is no UTF-8 text');
  }
}
