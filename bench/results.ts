/** What one daemon did in one mode. Times in microseconds, in the order in which they were measured. */
export interface Series {
  readonly mode: string;
  readonly daemon: string;
  readonly microseconds: readonly number[];
}

/** The lines of a table, the heading first. */
export type Table = readonly (readonly string[])[];

/** One line for each series; `peer` is the daemon to whose series of the same mode the others are compared. */
export function tabulate(series: readonly Series[], peer: string): Table {
  const heading = ['keys', 'daemon', 'n', 'p50 ms', 'p90 ms', 'max ms', 'first ms', 'p50 ×', 'p90 ×'];
  const lines = series.map(({ mode, daemon, microseconds }) => {
    const base = series.find((other) => other.mode === mode && other.daemon === peer);
    const times = (share: number): string => {
      if (base === undefined || daemon === peer) return '';
      return (percentile(base.microseconds, share) / percentile(microseconds, share)).toFixed(1);
    };
    return [
      ...[mode, daemon, String(microseconds.length)],
      ...[0.5, 0.9, 1].map((share) => formatMs(percentile(microseconds, share))),
      ...[formatMs(microseconds[0] ?? Number.NaN), times(0.5), times(0.9)],
    ];
  });
  return [heading, ...lines];
}

/** For a terminal: columns of even width, numbers to the right. */
export function formatText(table: Table): string {
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((line) => line[column]?.length ?? 0)),
  );
  const pad = (cell: string, column: number): string => {
    const width = widths[column] ?? 0;
    return column < TEXT_COLUMNS ? cell.padEnd(width) : cell.padStart(width);
  };
  return table.map((line) => `${line.map(pad).join('  ').trimEnd()}\n`).join('');
}

/** The same as Markdown. */
export function formatMarkdown(table: Table): string {
  const [heading = [], ...lines] = table;
  const rule = heading.map((_, column) => (column < TEXT_COLUMNS ? '---' : '--:'));
  return [heading, rule, ...lines].map((line) => `| ${line.join(' | ')} |\n`).join('');
}

/** The first columns are words. */
const TEXT_COLUMNS = 2;

/** The smallest value that `share` of all values do not exceed (nearest rank). */
function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

function formatMs(microseconds: number): string {
  const ms = microseconds / 1000;
  return ms.toFixed(ms < 100 ? 2 : 0);
}
