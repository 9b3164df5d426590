import { isatty } from 'node:tty';

/** Colours and weights that text can have on a terminal. */
export type Colour = 'bold' | 'dim' | 'green' | 'red' | 'yellow';

/** Text in a colour, or as it is where there are no colours. */
export type Paint = (colour: Colour, text: string) => string;

/**
 * Paint for what is written to a file descriptor: colours on a terminal only. `NO_COLOR` (https://no-color.org) takes them
 * away, `FORCE_COLOR` (https://force-color.org; `0` and `false` mean no) decides before all else.
 */
export function paintFor(
  descriptor: number,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Paint {
  return hasColours(descriptor, env) ? inColour : plain;
}

function hasColours(descriptor: number, env: Readonly<Record<string, string | undefined>>): boolean {
  const { FORCE_COLOR: forced, NO_COLOR: refused, TERM: terminal } = env;
  if (forced !== undefined) return !['0', 'false'].includes(forced);
  if (refused !== undefined && refused !== '') return false;
  return terminal !== 'dumb' && isatty(descriptor);
}

/** SGR parameters (ECMA-48 section 8.3.117): what turns it on, and off. */
const CODES: Readonly<Record<Colour, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  green: [32, 39],
  red: [31, 39],
  yellow: [33, 39],
};

function inColour(colour: Colour, text: string): string {
  const [on, off] = CODES[colour];
  return `\u001b[${on}m${text}\u001b[${off}m`;
}

function plain(_colour: Colour, text: string): string {
  return text;
}
