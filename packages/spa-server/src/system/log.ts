import { fstatSync } from 'node:fs';
import { LEVELS, type Level, type LogEvent } from '../log/event.ts';
import { jsonOf, levelOf } from '../log/json.ts';
import { linesOf, type RuleChains } from '../log/text.ts';

/** Where the daemon tells what happens. */
export interface Log {
  event(event: LogEvent): void;
  /** The four: a note, in words. Control characters in it never come out. */
  debug(line: string): void;
  info(line: string): void;
  warning(line: string): void;
  error(line: string): void;
}

/** A log that is open as long as the daemon lives; its configuration may change meanwhile. */
export interface DaemonLog extends Log {
  changeFormat(format: LogFormat): void;
}

/** `LOG_FORMAT`: lines as fwknopd writes them, or one JSON object for each event. */
export type LogFormat = 'text' | 'json';

/** Priorities of syslog (RFC 5424 section 6.2.1). */
const PRIORITIES: Readonly<Record<Level, number>> = { debug: 7, info: 6, warning: 4, error: 3 };

/** What {@link createLog} shows, and how. */
export interface LogOptions {
  /** What matters less is not shown. */
  readonly least: Level;
  /** Each line starts with its priority as sd-daemon(3) and logger(1) read it: `<4>`. */
  readonly priorityPrefix: boolean;
  readonly format: LogFormat;
  /** Left out: fwknopd's default names. Null: no door opens (`--test`). */
  readonly chains?: RuleChains | null;
}

/** A log that writes the lines of each event with one call of `write`, the end of the last line included. */
export function createLog(write: (text: string) => void, options: LogOptions): DaemonLog {
  let { format } = options;
  const least = LEVELS.indexOf(options.least);
  const isShown = (level: Level): boolean => LEVELS.indexOf(level) >= least;
  const lineOf = (level: Level, text: string): string =>
    `${options.priorityPrefix ? `<${PRIORITIES[level]}>` : ''}${text}\n`;
  const tell = (event: LogEvent): void => {
    // There is one for each packet of a flood, which nobody sees.
    if (event.event === 'note' && !isShown(event.level)) return;
    if (format === 'json') {
      const level = levelOf(event);
      if (isShown(level)) write(lineOf(level, jsonOf(event, new Date())));
      return;
    }
    const lines = linesOf(event, options.chains).filter(({ level }) => isShown(level));
    if (lines.length > 0) write(lines.map(({ level, text }) => lineOf(level, printable(text))).join(''));
  };
  return logOf(tell, (next) => {
    format = next;
  });
}

/** A log that tells both. */
export function teeLog(first: DaemonLog, second: Log): DaemonLog {
  return logOf((event) => {
    first.event(event);
    second.event(event);
  }, first.changeFormat);
}

/** A log of which only `tell` has to be known. */
export function logOf(
  tell: (event: LogEvent) => void,
  changeFormat: DaemonLog['changeFormat'] = () => {},
): DaemonLog {
  const note = (level: Level) => (text: string) => tell({ event: 'note', level, text });
  return {
    event: tell,
    debug: note('debug'),
    info: note('info'),
    warning: note('warning'),
    error: note('error'),
    changeFormat,
  };
}

/** A log on standard error. Under systemd its lines have priorities. */
export function createStderrLog(options: Omit<LogOptions, 'priorityPrefix'>): DaemonLog {
  return createLog((text) => process.stderr.write(text), { ...options, priorityPrefix: isJournal(2) });
}

/** `line` with a `?` for all that a terminal or a log viewer would obey: control, format and line-break characters. */
export function printable(line: string): string {
  return line.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}

/** systemd.exec(5): `JOURNAL_STREAM` names the file behind the stream, because children inherit the variable. */
function isJournal(descriptor: number): boolean {
  const named = process.env.JOURNAL_STREAM;
  if (named === undefined) return false;
  const { dev, ino } = fstatSync(descriptor);
  return named === `${dev}:${ino}`;
}
