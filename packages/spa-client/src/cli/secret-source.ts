import { readFileSync } from 'node:fs';
import { ConfigError, UsageError } from 'spa-host';
import type { SecretSource } from '../packet-keys.ts';
import { Secret } from '../secret.ts';

/**
 * Secrets from a pipe (`descriptor`; null: there is none) and from a person, who is asked one thing at a time. `otherwise` is what to
 * do if there is no terminal to ask on.
 * @throws ConfigError if the descriptor cannot be read or gives nothing.
 */
export function secretSource(
  descriptor: number | null,
  otherwise: string = 'write it into the rc file',
): SecretSource {
  let turn: Promise<unknown> = Promise.resolve();
  return {
    piped: descriptor === null ? null : readPipedSecret(descriptor),
    ask: (what) => {
      const answer = turn.then(() => askPerson(what, otherwise));
      turn = answer.catch(() => {});
      return answer;
    },
  };
}

/** On the terminal, or else with a program; most runs ask nothing, and only those that do pay for loading these. */
async function askPerson(what: string, otherwise: string): Promise<Secret> {
  const [{ askByProgram, askpassOf }, { askOnTerminal, openTerminal }] = await Promise.all([
    import('./askpass.ts'),
    import('./terminal.ts'),
  ]);
  const askpass = askpassOf(process.env);
  if (askpass?.beforeTerminal) return askByProgram(askpass.program, what);
  const terminal = openTerminal();
  if (terminal !== null) return askOnTerminal(terminal, what);
  if (askpass !== null) return askByProgram(askpass.program, what);
  throw new UsageError(`no ${what} is given, and there is no terminal to ask on; ${otherwise}`);
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
