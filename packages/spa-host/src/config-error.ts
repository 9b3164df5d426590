/** Where in a file of configuration something was said. `line` counts from 1. */
export interface ConfigPlace {
  readonly file: string;
  readonly line?: number;
  readonly keyword?: string;
}

/**
 * What the operator wrote is wrong. The message is one line that says where and what to write instead:
 * `/etc/fwknop/access.conf:12: OPEN_PORTS: "tcp/20-30" is no port; write one protocol/port at a time, as in tcp/22`.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** What else is wrong, in the order of the files; set by {@link readAll}. */
  others: readonly ConfigError[] = [];

  constructor(place: ConfigPlace, problem: string) {
    const line = place.line === undefined ? '' : `:${place.line}`;
    const keyword = place.keyword === undefined ? '' : ` ${place.keyword}:`;
    super(`${place.file}${line}:${keyword} ${problem}`);
  }
}

/**
 * The results of all `reads`, in order. The others are done also if one fails, so that an operator sees all at once what is
 * wrong.
 * @throws ConfigError the first one, which knows the others.
 */
export function readAll<T>(reads: readonly (() => T)[]): readonly T[] {
  const values: T[] = [];
  const errors: ConfigError[] = [];
  for (const read of reads) {
    try {
      values.push(read());
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      errors.push(error, ...error.others);
    }
  }
  const [first, ...others] = errors;
  if (first === undefined) return values;
  first.others = others;
  throw first;
}
