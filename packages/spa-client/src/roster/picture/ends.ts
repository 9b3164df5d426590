import type { Party } from 'spa-core';
import { type Fleet, groupedBy } from './fleet.ts';
import { html, type Markup } from './markup.ts';
import { nameList } from './name-list.ts';
import type { Weight } from './states.ts';
import { counted, dayElement, dayOf, daysUntil, distanceTo, numeral } from './times.ts';
import { windowOf } from './window.ts';

/** What ends and when: a year of months at a glance, then all that ends soon, day by day. */
export function ends(fleet: Fleet): Markup {
  const all = endsOf(fleet);
  return html`${calendar(all, fleet)}
${soonTable(all, fleet)}`;
}

type Kind = 'key' | 'certification' | 'operator';

interface End {
  readonly kind: Kind;
  readonly party: Party;
  /** Null: never. */
  readonly atSeconds: number | null;
}

const KINDS: Readonly<Record<Kind, { readonly title: string; readonly noun: string; readonly of: string }>> =
  {
    key: { title: 'Keys', noun: 'key', of: 'of' },
    certification: { title: 'Certifications', noun: 'certification', of: 'of' },
    operator: { title: "Operators' own ends", noun: 'access', of: 'of' },
  };

function endsOf(fleet: Fleet): readonly End[] {
  const { plan, roster } = fleet;
  const all: End[] = plan.keys.map(({ party, expiresAtSeconds }) => ({
    kind: 'key',
    party,
    atSeconds: expiresAtSeconds,
  }));
  for (const { subject, found } of plan.certifications) {
    if (found === null) continue;
    all.push({ kind: 'certification', party: subject.party, atSeconds: found.expiresAtSeconds });
  }
  for (const operator of roster.operators) {
    const { revoked, notAfterSeconds } = operator;
    if (revoked === null) all.push({ kind: 'operator', party: operator, atSeconds: notAfterSeconds });
  }
  return all;
}

const MONTHS = 13;

function calendar(all: readonly End[], { plan: { nowSeconds } }: Fleet): Markup {
  const months = monthsFrom(nowSeconds);
  const columns = [html`ended`, ...months.map(({ title }) => title), html`later`, html`never`];
  const columnOf = (atSeconds: number | null): number => {
    if (atSeconds === null) return columns.length - 1;
    if (atSeconds <= nowSeconds) return 0;
    const month = months.findIndex(({ endSeconds }) => atSeconds < endSeconds);
    return month < 0 ? columns.length - 2 : month + 1;
  };
  const row = (kind: Kind): Markup => {
    const counts = columns.map(() => 0);
    let sum = 0;
    for (const end of all) {
      if (end.kind !== kind) continue;
      const column = columnOf(end.atSeconds);
      counts[column] = (counts[column] ?? 0) + 1;
      sum += 1;
    }
    return html`<tr><th scope="row">${KINDS[kind].title}</th>${counts.map((count, at) => {
      const look = count === 0 ? 'none' : `${weightOfColumn(at)} heat${heat(count, sum)}`;
      return html`<td class="${look}">${count === 0 ? '' : numeral(count)}</td>`;
    })}</tr>
`;
  };
  return html`<div class="window" role="region" aria-label="What ends in which month" tabindex="0">
<table class="calendar">
<caption>How many end in which month</caption>
<thead><tr><th scope="col">What</th>${columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
<tbody>
${(Object.keys(KINDS) as Kind[]).map(row)}</tbody>
</table>
</div>`;
}

interface Month {
  readonly title: Markup;
  readonly endSeconds: number;
}

function monthsFrom(nowSeconds: number): readonly Month[] {
  const now = new Date(nowSeconds * 1000);
  return Array.from({ length: MONTHS }, (_, at) => {
    const start = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + at));
    const end = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + at + 1);
    const title = html`${NAMES[start.getUTCMonth()] ?? ''}<br>${start.getUTCFullYear()}`;
    return { title, endSeconds: end / 1000 };
  });
}

const NAMES = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** What ended is wrong, this month and the next are soon. */
function weightOfColumn(at: number): Weight {
  if (at === 0) return 'wrong';
  return at <= 2 ? 'soon' : 'ok';
}

/** 1 to 3: a part of all. */
function heat(count: number, all: number): number {
  return Math.min(3, 1 + Math.floor((3 * count) / (all + 1)));
}

const SOON_DAYS = 90;

function soonTable(all: readonly End[], { plan: { nowSeconds }, roster }: Fleet): Markup {
  const days = Math.max(SOON_DAYS, roster.certifications.renewDays);
  const soon = all
    .filter(({ atSeconds }) => atSeconds !== null && daysUntil(atSeconds, nowSeconds) < days)
    .map(({ kind, party, atSeconds }) => ({ kind, party, atSeconds: atSeconds ?? nowSeconds }));
  if (soon.length === 0) return html`<p class="note">Nothing ends within ${days} days.</p>`;
  const rows = [...groupedBy(soon, ({ kind, atSeconds }) => `${dayOf(atSeconds)} ${kind}`).values()]
    .flatMap((those) => (those[0] === undefined ? [] : [{ first: those[0], those }]))
    .sort(({ first: one }, { first: other }) => one.atSeconds - other.atSeconds);
  return windowOf(
    'What ends soon',
    rows.length,
    html`<table class="list filtered">
<caption>What ends within ${days} days, the soonest first</caption>
<thead><tr><th scope="col">Ends</th><th scope="col">Left</th><th scope="col">What</th></tr></thead>
<tbody>
${rows.map(({ first, those }) => {
  const weight = weightOf(first.atSeconds, nowSeconds, roster.certifications.renewDays);
  const { noun, of } = KINDS[first.kind];
  const what = first.kind === 'operator' ? noun : counted(those.length, noun);
  return html`<tr><th scope="row">${dayElement(first.atSeconds)}</th><td><span class="left ${weight}">${distanceTo(first.atSeconds, nowSeconds)}</span></td><td class="names">${what} ${nameList(
    of,
    those.map(({ party }) => party),
  )}</td></tr>
`;
})}</tbody>
</table>`,
  );
}

function weightOf(atSeconds: number, nowSeconds: number, renewDays: number): Weight {
  if (atSeconds <= nowSeconds) return 'wrong';
  return daysUntil(atSeconds, nowSeconds) < renewDays ? 'soon' : 'ok';
}
