import { homedir, userInfo } from 'node:os';
import { ConfigError } from 'spa-host';

/** The person's home: `HOME`, or else what the system knows. @throws ConfigError if nobody knows. */
export function homeDirectory(): string {
  // Node gives an empty HOME back as it is, and that would be the current directory.
  return process.env.HOME === '' ? systemHome() : orComplain(homedir);
}

/** The home that the system knows, which is ssh's, whatever `HOME` says. @throws ConfigError if it knows none. */
export function systemHome(): string {
  return orComplain(() => userInfo().homedir);
}

function orComplain(ask: () => string): string {
  try {
    return ask();
  } catch {
    const who = process.getuid?.() ?? 'that runs this';
    throw new ConfigError(
      { file: '~' },
      `the system knows no user ${who} and no home; set HOME, or name the files`,
    );
  }
}
