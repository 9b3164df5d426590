import { sameStanza, stanzaNameOf } from './rc-file.ts';
import { type Keyword, ValueError } from './settings.ts';

/** What a line of a stanza says. */
export interface RcLine {
  readonly keyword: Keyword;
  readonly value: string;
}

/**
 * The text of an rc file in which stanza `name` says `lines` and nothing else. All other stanzas stay as they are, to the byte,
 * and so does what stands between them. A stanza that is not there goes to the end.
 * @throws ValueError if a value cannot stand in an rc file.
 */
export function replaceStanza(text: string, name: string, lines: readonly RcLine[]): string {
  const ending = text.includes('\r\n') ? '\r\n' : '\n';
  const settings = lines.map((line) => formatLine(line) + ending);
  const kept: string[] = [];
  let isWithin = false;
  let isReplaced = false;
  // What stands after the last setting belongs to what follows.
  let after: string[] = [];
  for (const row of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    const found = stanzaNameOf(row.trim());
    if (found === null) {
      if (!isWithin) kept.push(row);
      else if (isSetting(row)) after = [];
      else after.push(row);
      continue;
    }
    kept.push(...after);
    after = [];
    isWithin = sameStanza(found, name);
    if (!isWithin) kept.push(row);
    else if (!isReplaced) {
      kept.push(row.endsWith('\n') ? row : row + ending, ...settings);
      isReplaced = true;
    }
  }
  kept.push(...after);
  if (isReplaced) return kept.join('');
  return [...separated(kept.join(''), ending), `[${name}]${ending}`, ...settings].join('');
}

/** fwknop reads a value only to its first blank, `;` or `#`, so a key that has one is written in base64. */
function formatLine({ keyword, value }: RcLine): string {
  if (/^[^\s;#]+$/.test(value)) return `${keyword.padEnd(KEYWORD_WIDTH)} ${value}`;
  const inBase64 = BASE64_KEYWORDS[keyword];
  if (inBase64 === undefined || value === '')
    throw new ValueError(`"${value}" cannot stand in an rc file, where a value ends at a blank, ; or #`);
  return formatLine({ keyword: inBase64, value: Buffer.from(value, 'utf8').toString('base64') });
}

/** As fwknop writes them. */
const KEYWORD_WIDTH = 27;

const BASE64_KEYWORDS: Readonly<Partial<Record<Keyword, Keyword>>> = {
  KEY: 'KEY_BASE64',
  HMAC_KEY: 'HMAC_KEY_BASE64',
  GPG_SIGNING_PW: 'GPG_SIGNING_PW_BASE64',
};

function isSetting(row: string): boolean {
  return /^\s*[^\s#;]/.test(row);
}

/** The text with an empty line at its end, if it has any text. */
function separated(text: string, ending: string): readonly string[] {
  if (text.replace(/^\ufeff/, '') === '' || /(^|\n)\r?\n$/.test(text)) return [text];
  return [text, text.endsWith('\n') ? ending : ending + ending];
}
