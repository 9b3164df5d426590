import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';

/** One line on the terminal that says what a run is waiting for. */
export interface Progress {
  /** What is being waited for: the whole line but for the seconds, which are added and counted on. */
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
  const show = (): void => {
    if (text === '') return;
    isShown = true;
    const seconds = Math.floor((performance.now() - startedAt) / 1000);
    write(`${WIPE}${NO_WRAP}${text}${seconds === 0 ? '' : ` (${seconds} s)`}${WRAP}`);
  };
  let ticking: NodeJS.Timeout | null = null;
  const patience = setTimeout(() => {
    show();
    ticking = setInterval(show, 1000).unref();
  }, PATIENCE_MS).unref();
  return {
    update: (line) => {
      text = line.replaceAll(/\p{C}/gu, '?');
      if (ticking !== null) show();
    },
    stop: () => {
      clearTimeout(patience);
      if (ticking !== null) clearInterval(ticking);
      ticking = null;
      if (isShown) write(WIPE);
      isShown = false;
    },
  };
}

/** To the first column, and nothing to the right of it. */
const WIPE = '\r\x1b[K';
/** The terminal itself cuts what is wider than it is: a line that wrapped could not be wiped. */
const NO_WRAP = '\x1b[?7l';
const WRAP = '\x1b[?7h';

/** Not through `process.stderr`, as for `say()`: ssh inherits the descriptor. */
function write(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // The terminal is gone or busy: progress is worth no failure.
  }
}
