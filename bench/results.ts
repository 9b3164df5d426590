/** What a part of the bench found. */
export interface Section {
  readonly title: string;
  readonly tables: readonly Table[];
  /** What of it has a target. */
  readonly findings?: readonly Finding[];
  /** How the figures were made. */
  readonly method: string;
}

/** A figure that was to be reached, beside the stock daemon's of the same run. */
export interface Finding {
  readonly measure: string;
  /** Empty: it has none. */
  readonly peer: string;
  readonly ours: string;
  /** How many times as good ours is; empty if that is not to be said. */
  readonly times: string;
  readonly wanted: string;
  readonly isReached: boolean;
}

/** Figures under a heading. */
export interface Table {
  readonly heading: readonly string[];
  /** How many columns, from the left, are words. */
  readonly words: number;
  readonly lines: readonly (readonly string[])[];
}

/** For a terminal: columns of even width, numbers to the right. */
export function formatText({ heading, words, lines }: Table): string {
  const all = [heading, ...lines];
  const widths = heading.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0)));
  const pad = (cell: string, column: number): string => {
    const width = widths[column] ?? 0;
    return column < words ? cell.padEnd(width) : cell.padStart(width);
  };
  return all.map((line) => `${line.map(pad).join('  ').trimEnd()}\n`).join('');
}

/** A section, and the file that it goes into. */
export interface Placement {
  readonly section: Section;
  /** Said under its title. */
  readonly remarks: readonly string[];
  /** The order in which sections stand. */
  readonly titles: readonly string[];
  /** The section before all others: what they found that has a target. */
  readonly targets: Pick<Section, 'title' | 'method'>;
}

/** `file`, the text of the results file, with a section in the place of the one with its title. */
export function withSection(file: string, { section, remarks, titles, targets }: Placement): string {
  const texts = titles.flatMap((title) => {
    if (title === section.title) return [formatSection(section, remarks)];
    const old = file.split(/^(?=## )/m).find((text) => text.startsWith(`## ${title}\n`));
    return old === undefined ? [] : [old.trimEnd()];
  });
  const found = texts.flatMap((text) => FINDINGS.exec(text)?.groups?.rows ?? []).join('');
  const table = formatMarkdown(tabulateFindings([])) + found;
  const first = [`## ${targets.title}`, table, targets.method].map((text) => text.trim()).join('\n\n');
  return `${['# Results of the bench', first, ...texts].join('\n\n')}\n`;
}

/** In a section the table of what has a target. */
const FINDINGS = /^\| measure \|.*\n\| ---.*\n(?<rows>(?:\|.*\n)+)/m;

/** The smallest value that `share` of all values do not exceed (nearest rank); NaN if there is none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** Microseconds as milliseconds, to three digits or so. */
export function formatMs(microseconds: number): string {
  const ms = microseconds / 1000;
  return ms.toFixed(ms < 100 ? 2 : 0);
}

/** How many times `peer`'s share is ours; empty if there is nothing to compare. */
export function formatTimes(peer: readonly number[], ours: readonly number[], share: number): string {
  const times = percentile(peer, share) / percentile(ours, share);
  return Number.isFinite(times) ? times.toFixed(times < 10 ? 2 : 1) : '';
}

/** All findings under one heading. */
export function tabulateFindings(findings: readonly Finding[]): Table {
  const heading = ['measure', 'fwknopd', 'spa-server', '×', 'to reach', 'reached'];
  const lines = findings.map(({ measure, peer, ours, times, wanted, isReached }) => {
    return [measure, peer === '' ? '–' : peer, ours, times, wanted, isReached ? 'yes' : 'no'];
  });
  return { heading, words: 1, lines };
}

function formatSection(
  { title, findings = [], tables, method }: Section,
  remarks: readonly string[],
): string {
  const list = remarks.map((line) => `- ${line}`).join('\n');
  const all = findings.length === 0 ? tables : [tabulateFindings(findings), ...tables];
  return [`## ${title}`, list, ...all.map(formatMarkdown), method].map((text) => text.trim()).join('\n\n');
}

function formatMarkdown({ heading, words, lines }: Table): string {
  const rule = heading.map((_, column) => (column < words ? '---' : '--:'));
  return [heading, rule, ...lines].map((line) => `| ${line.join(' | ')} |\n`).join('');
}
