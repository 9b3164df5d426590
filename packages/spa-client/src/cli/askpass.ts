import { spawn } from 'node:child_process';
import { ConfigError, UsageError } from 'spa-host';
import { Secret } from '../secret.ts';

/** A program that asks for a secret in a window of its own. */
export interface Askpass {
  readonly program: string;
  /** True: it is asked even if there is a terminal. */
  readonly beforeTerminal: boolean;
}

/** The program of `SSH_ASKPASS` and `SSH_ASKPASS_REQUIRE`, by ssh's rules (ssh(1)); null: none is to be used. */
export function askpassOf(env: NodeJS.ProcessEnv): Askpass | null {
  const { SSH_ASKPASS: program = '', SSH_ASKPASS_REQUIRE: require } = env;
  const isForced = require === 'force';
  const hasDisplay = [env.DISPLAY, env.WAYLAND_DISPLAY].some((display) => display);
  if (program === '' || require === 'never' || !(isForced || hasDisplay)) return null;
  return { program, beforeTerminal: isForced || require === 'prefer' };
}

/**
 * Asks for a secret with such a program: it shows the prompt, its argument, and prints the answer.
 * @throws ConfigError if it cannot be run; UsageError if the person gives up or gives nothing.
 */
export async function askByProgram(program: string, what: string): Promise<Secret> {
  const child = spawn(program, [`Enter ${what}: `], { stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => reject(cannotRun(program, error)));
    child.once('close', resolve);
  });
  const [answer = ''] = Buffer.concat(chunks).toString('latin1').split(/\r?\n/, 1);
  if (status === 0 && answer !== '') return new Secret(Buffer.from(answer, 'latin1'));
  throw new UsageError(`no ${what} was given to ${program} (SSH_ASKPASS)`);
}

function cannotRun(program: string, { code }: NodeJS.ErrnoException): ConfigError {
  const cause = code === 'ENOENT' ? 'there is no such program' : code;
  return new ConfigError(
    { file: program },
    `cannot be run: ${cause}; correct SSH_ASKPASS in the environment, or unset it`,
  );
}
