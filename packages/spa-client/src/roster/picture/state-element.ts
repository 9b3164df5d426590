import { html, type Markup } from './markup.ts';
import type { StateLook } from './states.ts';

/** A state as sign, colour and word. */
export function stateElement({ sign, word, meaning, weight }: StateLook): Markup {
  return html`<span class="state" title="${meaning}"><span class="sign ${weight}" aria-hidden="true">${sign}</span> ${word}</span>`;
}
