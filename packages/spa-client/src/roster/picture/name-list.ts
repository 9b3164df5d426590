import type { Party } from 'spa-core';
import { groupedBy, idOf } from './fleet.ts';
import { html, type Markup } from './markup.ts';
import { counted } from './times.ts';

/** The parties' names after a word such as `by`, each once; many are counted, and listed, up to `most`, for whoever asks. */
export function nameList(word: string, parties: readonly Party[], most: number = parties.length): Markup {
  const each = [...new Map(parties.map((party) => [idOf(party), party])).values()];
  const names = html`${each.slice(0, most).map(({ name }, at) => html`${at === 0 ? '' : ', '}<bdi>${name}</bdi>`)}`;
  if (each.length <= 6) return html`${word} ${names}`;
  return html`<details><summary>${word} ${countsOf(each)}</summary>${names}${each.length > most ? ' …' : ''}</details>`;
}

/** `30 operators and 20 bastions`. */
export function countsOf(parties: readonly Party[]): string {
  const kinds = groupedBy(parties, ({ kind }) => kind);
  return [...kinds].map(([kind, those]) => counted(those.length, kind, PLURALS[kind])).join(' and ');
}

const PLURALS: Readonly<Record<string, string>> = { authority: 'authorities' };
