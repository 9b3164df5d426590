import { readFileSync } from 'node:fs';
import { ConfigError } from 'spa-host';
import type { SecretSource } from '../packet-keys.ts';
import { Secret } from '../secret.ts';

/**
 * Secrets from a pipe (`descriptor`; null: there is none) and from the person at the terminal.
 * @throws ConfigError if the descriptor cannot be read or gives nothing.
 */
export function secretSource(descriptor: number | null): SecretSource {
  return { piped: descriptor === null ? null : readPipedSecret(descriptor), ask: askOnTerminal };
}

/** Most runs ask nothing: only those that do pay for loading the terminal. */
async function askOnTerminal(what: string): Promise<Secret> {
  const terminal = await import('./terminal.ts');
  return terminal.askOnTerminal(what);
}

/** The first line of what the pipe gives. */
function readPipedSecret(descriptor: number): Secret {
  try {
    const [line = ''] = readFileSync(descriptor).toString('latin1').split(/\r?\n/, 1);
    if (line === '')
      throw new ConfigError({ file: `file descriptor ${descriptor}` }, 'no secret came from it');
    return new Secret(Buffer.from(line, 'latin1'));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    throw new ConfigError({ file: `file descriptor ${descriptor}` }, `cannot be read: ${code}`);
  }
}
