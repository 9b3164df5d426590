import { html, type Markup } from './markup.ts';

/** What a sign means. */
export interface LegendEntry {
  readonly sign: string;
  readonly look: string;
  readonly text: string;
}

/** The signs of a picture, explained. */
export function legend(entries: readonly LegendEntry[]): Markup {
  return html`<ul class="legend" aria-label="Legend">${entries.map(
    ({ sign, look, text }) => html`<li><span class="sign ${look}">${sign}</span> ${text}</li>`,
  )}</ul>`;
}
