import { fstatSync } from 'node:fs';

/** Where the daemon tells what happens. A line is plain text; control characters in it never come out. */
export interface Log {
  debug(line: string): void;
  info(line: string): void;
  warning(line: string): void;
  error(line: string): void;
}

/** Priorities of syslog (RFC 5424 section 6.2.1). */
const PRIORITIES = { debug: 7, info: 6, warning: 4, error: 3 } as const;

type Level = keyof typeof PRIORITIES;

/** What {@link createLog} shows, and how. */
export interface LogOptions {
  /** Debug lines too. */
  readonly verbose: boolean;
  /** Each line starts with its priority as sd-daemon(3) and logger(1) read it: `<4>`. */
  readonly priorityPrefix: boolean;
}

/** A log that writes each line with `write`, the end of the line included. */
export function createLog(write: (text: string) => void, options: LogOptions): Log {
  const at = (level: Level) => (line: string) => {
    if (level === 'debug' && !options.verbose) return;
    const prefix = options.priorityPrefix ? `<${PRIORITIES[level]}>` : '';
    write(`${prefix}${printable(line)}\n`);
  };
  return { debug: at('debug'), info: at('info'), warning: at('warning'), error: at('error') };
}

/** A log that tells both. */
export function teeLog(first: Log, second: Log): Log {
  const at = (level: Level) => (line: string) => {
    first[level](line);
    second[level](line);
  };
  return { debug: at('debug'), info: at('info'), warning: at('warning'), error: at('error') };
}

/** A log on standard error. Under systemd its lines have priorities. */
export function createStderrLog({ verbose }: { readonly verbose: boolean }): Log {
  return createLog((text) => process.stderr.write(text), { verbose, priorityPrefix: isJournal(2) });
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
