import type { Bastion, Operator } from 'spa-core';
import { type Fleet, isIn } from './fleet.ts';
import { html, type Markup, shortened, visible } from './markup.ts';
import { counted, dayOf } from './times.ts';

/** A cell's sign, its class and what is told of it; null: the cell is empty. */
export interface Cell {
  readonly sign: string;
  readonly look: string;
  /** Null: no more to tell than what the row, the column and the legend say. */
  readonly title: (() => string) | null;
}

/**
 * Operators down, bastions across, region by region: 30 × 20 at a glance, 300 × 200 in a window whose names stay in sight.
 * An operator who is out keeps his row, which says so.
 */
export function matrix(
  fleet: Fleet,
  caption: string,
  cellOf: (operator: Operator, bastion: Bastion) => Cell | null,
): Markup {
  const { regions, bastions, roster } = fleet;
  const isLast = new Set(regions.map((region) => region.bastions.at(-1)));
  const starts = new Set(bastions.filter((_, at) => at > 0 && isLast.has(bastions[at - 1])));
  let told = 0;
  const row = (operator: Operator): Markup => {
    let cells = '';
    // By hand, and without end tags, which HTML does not ask for: there may be 60,000.
    for (const bastion of bastions) {
      const cell = cellOf(operator, bastion);
      if (cell !== null && cell.title !== null) told += 1;
      cells += cellMarkup(cell, starts.has(bastion), told <= MOST_TOLD);
    }
    return html`<tr${ATTRIBUTES[isIn(fleet, operator) ? 'in' : 'out']}>${operatorHead(operator)}${{ markup: cells }}</tr>
`;
  };
  const isLarge = roster.operators.length * bastions.length > LARGE;
  const table = html`<div class="${isLarge ? 'window large wide' : 'window'}" role="region" aria-label="${caption}" tabindex="0">
<table class="matrix filtered">
<caption>${caption}</caption>
<colgroup><col width="${headWidth(roster.operators)}"></colgroup>${regions.map(
    ({ bastions: its }) => html`<colgroup>${its.map(() => html`<col width="26">`)}</colgroup>`,
  )}
<thead>
<tr><th scope="col" rowspan="2" class="corner">Operator</th>${regions.map(
    ({ name, bastions: its }) =>
      html`<th scope="colgroup" colspan="${its.length}" class="region" title="${name}"><bdi>${shortened(name, Math.max(3, its.length * 3))}</bdi></th>`,
  )}</tr>
<tr>${bastions.map(
    ({ name, host }) =>
      html`<th scope="col" class="place" title="${`${name}: ${host}`}"><bdi>${shortened(name, LONGEST_NAME)}</bdi></th>`,
  )}</tr>
</thead>
<tbody>
${roster.operators.map(row)}</tbody>
</table>
</div>`;
  if (!isLarge) return table;
  // 60,000 cells take a browser seconds: whoever wants them opens them, and all else is there at once.
  return html`<details class="matrices"><summary>${caption}: the matrix of ${counted(roster.operators.length, 'operator')} and ${counted(bastions.length, 'bastion')}</summary>
${table}
</details>`;
}

const LONGEST_NAME = 28;
const LARGE = 2_000;
/** Where more than that many cells have something to tell, the rest leave it to their signs: it would be many megabytes. */
const MOST_TOLD = 12_000;

/** In pixels: for the longest name, and for what may stand behind it. */
function headWidth(operators: readonly Operator[]): number {
  const longest = Math.max(8, ...operators.map(({ name }) => Math.min(LONGEST_NAME, visible(name).length)));
  return 40 + Math.ceil(longest * 8.2) + (operators.some(({ revoked }) => revoked !== null) ? 50 : 0);
}

const ATTRIBUTES: Readonly<Record<'in' | 'out', Markup>> = { in: html``, out: html` class="out"` };

function operatorHead({ name, fullName, roles, revoked, notAfterSeconds }: Operator): Markup {
  const title = [
    fullName ?? name,
    ...(roles.length === 0 ? [] : [`roles: ${roles.join(', ')}`]),
    ...(revoked === null ? [] : [`revoked on ${dayOf(revoked.atSeconds)}: ${revoked.reason}`]),
    ...(notAfterSeconds === null ? [] : [`not after ${dayOf(notAfterSeconds)}`]),
  ].join('; ');
  const note = revoked === null ? null : html` <small>revoked</small>`;
  return html`<th scope="row" title="${title}"><bdi>${shortened(name, LONGEST_NAME)}</bdi>${note}</th>`;
}

function cellMarkup(cell: Cell | null, startsRegion: boolean, isTold: boolean): string {
  const edge = startsRegion ? ' g' : '';
  if (cell === null) return startsRegion ? '<td class=g>' : '<td>';
  const title = cell.title === null || !isTold ? '' : html` title="${cell.title()}"`.markup;
  return `<td class="${cell.look}${edge}"${title}>${html`${cell.sign}`.markup}`;
}
