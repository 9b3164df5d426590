import { closeSync, openSync, writeSync } from 'node:fs';
import { isatty, WriteStream } from 'node:tty';
import { printable } from './program.ts';

/** One line on the terminal that says what a run is waiting for. */
export interface Progress {
  /**
   * What is being waited for: the whole line but for the seconds, which are added and counted on. Empty: nothing is shown
   * until there is something again, because somebody else may be writing on the terminal.
   */
  readonly update: (text: string) => void;
  /** Wipes the line: the cursor stands where it stood before. Nothing is shown after that; a second call does nothing. */
  readonly stop: () => void;
}

/**
 * Progress on stderr, for a person: only on a terminal, and only once the run has taken long enough to make them wonder.
 * Elsewhere (a pipe, a file, `TERM=dumb`) it says nothing.
 *
 * Whoever has something else to say on stderr stops it first. Its timers do not keep the process alive.
 */
export function startProgress(): Progress {
  return isatty(2) && process.env.TERM !== 'dumb' ? startLine() : SILENCE;
}

const SILENCE: Progress = { update: () => {}, stop: () => {} };
const PATIENCE_MS = 300;

function startLine(): Progress {
  const startedAt = performance.now();
  let text = '';
  let isShown = false;
  const wipe = (): void => {
    if (isShown) write(WIPE);
    isShown = false;
  };
  const show = (): void => {
    const seconds = Math.floor((performance.now() - startedAt) / 1000);
    write(`${WIPE}${cut(seconds === 0 ? text : `${text} (${seconds} s)`, terminalColumns())}`);
    isShown = true;
  };
  const refresh = (): void => (text === '' ? wipe() : show());
  let ticking: NodeJS.Timeout | null = null;
  const patience = setTimeout(() => {
    refresh();
    ticking = setInterval(refresh, 1000).unref();
  }, PATIENCE_MS).unref();
  return {
    update: (line) => {
      text = printable(line);
      if (ticking !== null) refresh();
    },
    stop: () => {
      clearTimeout(patience);
      if (ticking !== null) clearInterval(ticking);
      ticking = null;
      wipe();
    },
  };
}

/** To the first column, and nothing to the right of it. */
const WIPE = '\r\x1b[K';
/** A line that wrapped could not be wiped. The last column stays free: some terminals wrap there already. */
function cut(text: string, columns: number): string {
  return text.length < columns ? text : `${text.slice(0, Math.max(0, columns - 2))}…`;
}

/** Asked for anew each time, because windows change. 80 if nobody knows. */
function terminalColumns(): number {
  let descriptor: number | null = null;
  try {
    descriptor = openSync('/dev/tty', 'r+');
    const terminal = new WriteStream(descriptor);
    descriptor = null;
    const { columns } = terminal;
    terminal.destroy();
    return columns || DEFAULT_COLUMNS;
  } catch {
    if (descriptor !== null) closeSync(descriptor);
    return DEFAULT_COLUMNS;
  }
}

const DEFAULT_COLUMNS = 80;

/** Not through `process.stderr`, as for `say()`: ssh inherits the descriptor. */
function write(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // The terminal is gone or busy: progress is worth no failure.
  }
}
