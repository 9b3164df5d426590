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

  constructor(place: ConfigPlace, problem: string) {
    const line = place.line === undefined ? '' : `:${place.line}`;
    const keyword = place.keyword === undefined ? '' : ` ${place.keyword}:`;
    super(`${place.file}${line}:${keyword} ${problem}`);
  }
}
