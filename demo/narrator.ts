/** Tells the story on a stream: titles of steps, what was seen and how long it took, what a file or program says. */
export interface Narrator {
  /** What the story is about. */
  title(text: string): void;
  /** A new step: what follows belongs to it. */
  step(title: string): void;
  /** Something that was checked and holds. Its time is that since the last thing told. */
  fact(text: string): void;
  /** Words of others, as they are: a command, a file, the line of a log. */
  quote(text: string): void;
  /** The end, good or bad. */
  end(mood: 'good' | 'bad', text: string): void;
  /** The step that is under way; null before the first. */
  current(): string | null;
}

/** Lines fit into a terminal of 80 columns. */
const FACT_WIDTH = 66;
const QUOTE_WIDTH = 74;

/** Codes of ECMA-48; none of them in a pipe. */
const STYLES = { strong: 1, faint: 2, good: 32, bad: 31 } as const;

/** A narrator with colours if `stream` is a terminal and NO_COLOR is not set. `now` is in milliseconds. */
export function createNarrator(stream: NodeJS.WriteStream, now: () => number): Narrator {
  const hasColours = stream.isTTY === true && !process.env.NO_COLOR;
  const style = (name: keyof typeof STYLES, text: string): string =>
    hasColours ? `\u001b[${STYLES[name]}m${text}\u001b[0m` : text;
  const line = (text: string): void => {
    stream.write(`${text}\n`);
  };
  let steps = 0;
  let current: string | null = null;
  let last = now();
  return {
    title: (text) => line(style('strong', text)),
    step: (text) => {
      steps += 1;
      current = `${steps}. ${text}`;
      line(`\n${style('strong', current)}`);
      last = now();
    },
    fact: (text) => {
      const seconds = ((now() - last) / 1000).toFixed(2).padStart(5);
      last = now();
      line(`   ${style('good', 'ok')} ${text.padEnd(FACT_WIDTH)} ${style('faint', `${seconds} s`)}`);
    },
    quote: (text) => {
      for (const each of text.trimEnd().split('\n').flatMap(wrap)) line(style('faint', `      ${each}`));
    },
    end: (mood, text) => line(`\n${style(mood, text)}`),
    current: () => current,
  };
}

/** A line in pieces of at most {@link QUOTE_WIDTH}, unless a word is longer. */
function wrap(line: string): readonly string[] {
  const pieces = new RegExp(`\\S.{0,${QUOTE_WIDTH - 2}}(?=\\s|$)|\\S+`, 'g');
  return line.match(pieces) ?? [];
}
