/** A piece of a page in which all that came from outside is escaped. Only {@link html} makes it. */
export interface Markup {
  readonly markup: string;
}

/** What a template takes: text is escaped, markup is not, lists are joined, null is nothing. */
export type Piece = string | number | Markup | null | readonly Piece[];

/**
 * Markup from a template: html`<td title="${title}">${name}</td>`. A value stands in text or in a value in double quotes,
 * nowhere else: there nothing that it holds ends the text or the value.
 */
export function html(template: TemplateStringsArray, ...pieces: readonly Piece[]): Markup {
  let markup = template[0] ?? '';
  pieces.forEach((piece, index) => {
    markup += textOf(piece) + (template[index + 1] ?? '');
  });
  return { markup };
}

/**
 * Text for people with what they could not see made visible: controls, and what turns the direction of the text around it,
 * as in `⟦U+202E⟧`.
 */
export function visible(text: string): string {
  return text.replace(UNSEEN, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `⟦U+${code.toString(16).toUpperCase().padStart(4, '0')}⟧`;
  });
}

/** Not more than `length` characters of a text: a longer one ends in `…`. */
export function shortened(text: string, length: number): string {
  const characters = [...visible(text)];
  return characters.length <= length ? characters.join('') : `${characters.slice(0, length - 1).join('')}…`;
}

/** Controls, formats such as overrides of direction, halves of surrogate pairs, separators of lines. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Quick for the many that need nothing. */
const SPECIAL = /[&<>"'\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

function textOf(piece: Piece): string {
  if (typeof piece === 'string') return escaped(piece);
  if (typeof piece === 'number') return String(piece);
  if (piece === null) return '';
  if ('markup' in piece) return piece.markup;
  let all = '';
  for (const part of piece) all += textOf(part);
  return all;
}

function escaped(text: string): string {
  if (!SPECIAL.test(text)) return text;
  return visible(text).replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '');
}
