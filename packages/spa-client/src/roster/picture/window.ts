import { html, type Markup } from './markup.ts';

/** A table in a frame of its own that scrolls, so that the page does not: sideways, and up and down if it has many rows. */
export function windowOf(label: string, rows: number, table: Markup): Markup {
  const look = rows > MANY ? 'window large wide' : 'window';
  return html`<div class="${look}" role="region" aria-label="${label}" tabindex="0">
${table}
</div>`;
}

const MANY = 80;
