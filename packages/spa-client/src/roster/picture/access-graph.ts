import type { Bastion, Operator } from 'spa-core';
import { type Door, type Fleet, groupedBy, isIn } from './fleet.ts';
import { html, type Markup, shortened, visible } from './markup.ts';
import { counted } from './times.ts';

/**
 * Who opens what as lines from people to places. Operators with the same access are one box, and so are the bastions of a
 * region that the same people open: a line says that each on the left opens each on the right. Where there are too many
 * different accesses for lines, it says so and leaves it to the matrix.
 */
export function accessGraph(fleet: Fleet): Markup {
  const people = peopleOf(fleet);
  const places = placesOf(fleet);
  if (people.length === 0 || places.length === 0) {
    return html`<p class="note">Nobody may open anything.</p>`;
  }
  const lines = people.flatMap((from) => places.flatMap((to) => lineOf(fleet, from, to)));
  if (people.length > MOST_BOXES || places.length > MOST_BOXES || lines.length > MOST_LINES) {
    return html`<p class="note">There are ${counted(people.length, 'different access', 'different accesses')} to ${counted(places.length, 'group')} of bastions: too many for lines, so the matrix shows them.</p>`;
  }
  return html`${drawing(people, sortedBy(places, lines), lines)}${leftOut(fleet)}`;
}

const MOST_BOXES = 40;
const MOST_LINES = 240;

/** Operators with the same access. */
interface People {
  readonly title: string;
  readonly members: readonly Operator[];
}

/** Bastions of one region that are open to the same operators. */
interface Place {
  readonly title: string;
  readonly members: readonly Bastion[];
}

interface Line {
  readonly from: People;
  readonly to: Place;
  readonly opening: string;
  /** Empty of the most common opening. */
  readonly label: string;
  /** How many of its ways in do not work. */
  readonly closed: number;
  readonly all: number;
}

function peopleOf(fleet: Fleet): readonly People[] {
  const access = (operator: Operator): string =>
    fleet.bastions.map((bastion) => fleet.doorOf(operator, bastion)?.opening.sign ?? '').join(',');
  const somebody = fleet.roster.operators.filter((operator) =>
    fleet.bastions.some((bastion) => fleet.doorOf(operator, bastion) !== null),
  );
  return [...groupedBy(somebody, access).values()].map((members) => ({
    title: [counted(members.length, 'operator'), ...sharedRoles(members), ...sharedRegions(members)].join(
      ' · ',
    ),
    members,
  }));
}

function sharedRoles([first, ...others]: readonly Operator[]): readonly string[] {
  return (first?.roles ?? []).filter((role) => others.every(({ roles }) => roles.includes(role)));
}

/** What tells people with the same roles apart. */
function sharedRegions([first, ...others]: readonly Operator[]): readonly string[] {
  const regions = first?.regions?.join(', ');
  return regions !== undefined && others.every((other) => other.regions?.join(', ') === regions)
    ? [regions]
    : [];
}

function placesOf(fleet: Fleet): readonly Place[] {
  const audience = (bastion: Bastion): string =>
    fleet.roster.operators.map((operator) => fleet.doorOf(operator, bastion)?.opening.sign ?? '').join(',');
  return fleet.regions.flatMap(({ name, bastions }) =>
    [...groupedBy(bastions, audience).values()].map((members) => ({
      title: `${name} · ${counted(members.length, 'bastion')}`,
      members,
    })),
  );
}

function lineOf(fleet: Fleet, from: People, to: Place): readonly Line[] {
  const doors = from.members.flatMap((operator) =>
    to.members.flatMap((bastion) => fleet.doorOf(operator, bastion) ?? []),
  );
  const [first] = doors;
  if (first === undefined) return [];
  const closed = doors.filter(({ lacks }: Door) => lacks.length > 0).length;
  const label = first.opening === fleet.openings[0] ? '' : first.opening.sign;
  return [{ from, to, opening: first.opening.text, label, closed, all: doors.length }];
}

/** Places in the order of regions stay where people look for them; it is enough. */
function sortedBy(places: readonly Place[], lines: readonly Line[]): readonly Place[] {
  const used = new Set(lines.map(({ to }) => to));
  return [...places.filter((place) => used.has(place)), ...places.filter((place) => !used.has(place))];
}

function leftOut(fleet: Fleet): Markup | null {
  const out = fleet.roster.operators.filter((operator) => !isIn(fleet, operator)).map(({ name }) => name);
  const idle = fleet.roster.operators
    .filter(
      (operator) =>
        isIn(fleet, operator) && fleet.bastions.every((bastion) => fleet.doorOf(operator, bastion) === null),
    )
    .map(({ name }) => name);
  const said = [
    ...(out.length === 0 ? [] : [`Out: ${listed(out)}.`]),
    ...(idle.length === 0 ? [] : [`In, but may open nothing: ${listed(idle)}.`]),
  ];
  return said.length === 0 ? null : html`<p class="note">${said.join(' ')}</p>`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 12).join(', ');
  return names.length <= 12 ? shown : `${shown} and ${names.length - 12} more`;
}

const WIDTH = 1040;
const BOX_WIDTH = 380;
const PADDING = 12;
const LINE_HEIGHT = 18;
const TITLE_HEIGHT = 22;
const GAP = 14;
const MOST_NAMES = 48;
const COLOURS = 6;

interface Box {
  readonly x: number;
  readonly y: number;
  readonly height: number;
  readonly columns: number;
  readonly names: readonly string[];
}

function drawing(people: readonly People[], places: readonly Place[], lines: readonly Line[]): Markup {
  const left = boxesOf(people, 0);
  const right = boxesOf(places, WIDTH - BOX_WIDTH);
  const height = Math.max(left.height, right.height);
  const shift = { left: (height - left.height) / 2, right: (height - right.height) / 2 };
  const ways = lines.reduce((sum, { all }) => sum + all, 0);
  const label = `${counted(ways, 'way')} in: ${counted(people.length, 'group')} of operators, ${counted(places.length, 'group')} of bastions`;
  return html`<figure class="graph">
<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${label}">
<g class="lines">${people.map((from, at) => {
    const mine = lines.filter((line) => line.from === from);
    return html`<g class="hue${at % COLOURS}">${mine.map((line, index) =>
      lineMarkup(line, {
        x1: BOX_WIDTH,
        y1: portOf(left.boxes[at], shift.left, index, mine.length),
        x2: WIDTH - BOX_WIDTH,
        y2: portOf(
          right.boxes[places.indexOf(line.to)],
          shift.right,
          ...rankOf(
            line,
            lines.filter((other) => other.to === line.to),
          ),
        ),
      }),
    )}</g>
`;
  })}</g>
${people.map(({ title }, at) => boxMarkup(left.boxes[at], shift.left, title, `hue${at % COLOURS}`))}
${places.map(({ title }, at) => boxMarkup(right.boxes[at], shift.right, title, 'place'))}
</svg>
<figcaption>Each line: everybody on its left opens every bastion on its right. Red and dashed: that does not work for all of them today.</figcaption>
</figure>`;
}

function rankOf(line: Line, among: readonly Line[]): [index: number, count: number] {
  return [among.indexOf(line), among.length];
}

function boxesOf(
  groups: readonly { readonly members: readonly { readonly name: string }[] }[],
  x: number,
): { readonly boxes: readonly Box[]; readonly height: number } {
  const boxes: Box[] = [];
  let y = 1;
  for (const { members } of groups) {
    const shown = members.length <= MOST_NAMES ? members : members.slice(0, MOST_NAMES - 1);
    const names = shown.map(({ name }) => shortened(name, 44));
    if (shown.length < members.length) names.push(`and ${members.length - shown.length} more`);
    const columns = columnsFor(names);
    const height = TITLE_HEIGHT + Math.ceil(names.length / columns) * LINE_HEIGHT + 2 * PADDING - 6;
    boxes.push({ x, y, height, columns, names });
    y += height + GAP;
  }
  return { boxes, height: y - GAP + 1 };
}

/** As many as the longest name leaves room for. */
function columnsFor(names: readonly string[]): number {
  const widest = Math.max(...names.map(widthOf)) + 14;
  return Math.max(1, Math.min(4, Math.floor((BOX_WIDTH - 2 * PADDING) / widest)));
}

/** About, in units of the drawing: characters outside of Latin are up to twice as wide. */
function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += (character.codePointAt(0) ?? 0) < 0x500 ? 7.6 : 14;
  return width;
}

function portOf(box: Box | undefined, shift: number, index: number, count: number): number {
  if (box === undefined) return 0;
  return round(shift + box.y + (box.height * (index + 1)) / (count + 1));
}

function lineMarkup(
  { from, to, opening, label, closed, all }: Line,
  { x1, y1, x2, y2 }: Readonly<Record<'x1' | 'y1' | 'x2' | 'y2', number>>,
): Markup {
  const middle = (x1 + x2) / 2;
  const state = closed === 0 ? 'all work' : `${closed} of ${all} do not work`;
  const title = `${from.title} → ${to.title}: ${opening}; ${state}`;
  const sign = `${label}${closed === 0 ? '' : '!'}`;
  const tag = html`<text class="tag" x="${x2 - 26}" y="${y2 + 4}">${sign}</text>`;
  return html`<g class="${closed === 0 ? 'line' : 'line broken'}"><title>${title}</title><path d="M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}"/>${sign === '' ? null : tag}</g>`;
}

function boxMarkup(box: Box | undefined, shift: number, title: string, look: string): Markup | null {
  if (box === undefined) return null;
  const { x, height, columns, names } = box;
  const y = round(box.y + shift);
  const step = (BOX_WIDTH - 2 * PADDING) / columns;
  const rows = Math.ceil(names.length / columns);
  return html`<g class="box ${look}"><rect x="${x + 0.5}" y="${y}" width="${BOX_WIDTH - 1}" height="${height}" rx="6"/><rect class="bar" x="${x + 0.5}" y="${y}" width="5" height="${height}" rx="2"/>
<text class="title" x="${x + PADDING + 4}" y="${y + PADDING + 9}"><title>${title}</title>${shortened(visible(title), 46)}</text>${names.map(
    (name, at) =>
      html`<text x="${round(x + PADDING + 4 + Math.floor(at / rows) * step)}" y="${y + PADDING + TITLE_HEIGHT + 8 + (at % rows) * LINE_HEIGHT}">${name}</text>`,
  )}</g>
`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
