import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ConfigError } from 'spa-host';

/**
 * Becomes another program: the same terminal, signals, exit code. Where Node can, this process itself is replaced and
 * the promise never settles; else a child runs and the promise is its exit code. A child's fatal signal ends us too.
 * @throws ConfigError if there is no such program.
 */
export async function becomeProgram(program: string, args: readonly string[]): Promise<number> {
  const file = findProgram(program);
  const { execve } = process as ReplaceableProcess;
  if (execve !== undefined) return execve.call(process, file, [program, ...args], process.env);
  return runChild(file, args);
}

/** The file that a program's name means. @throws ConfigError if there is none on PATH. */
export function findProgram(program: string): string {
  const { PATH: path = '' } = process.env;
  const candidates = program.includes('/')
    ? [program]
    : path.split(delimiter).map((directory) => join(directory === '' ? '.' : directory, program));
  const found = candidates.find(isExecutable);
  if (found === undefined) throw new ConfigError({ file: program }, 'there is no such program on PATH');
  return found;
}

/** From Node 22.15 on, not on Windows. Its warning "experimental" would come only after we are gone. */
type ReplaceableProcess = {
  readonly execve?: (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never;
};

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function runChild(file: string, args: readonly string[]): Promise<number> {
  // The terminal sends these to the child as well, which decides what they mean.
  const ignored = ['SIGINT', 'SIGQUIT'] as const;
  const forwarded = ['SIGTERM', 'SIGHUP'] as const;
  const ignore = (): void => {};
  for (const signal of ignored) process.on(signal, ignore);
  const forward = (signal: NodeJS.Signals): void => {
    child.kill(signal);
  };
  // Before the child is there: a signal that comes while it starts must not leave it behind.
  for (const signal of forwarded) process.on(signal, forward);
  const child = spawn(file, args, { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      for (const name of [...ignored, ...forwarded]) process.removeAllListeners(name);
      if (signal !== null) process.kill(process.pid, signal);
      resolve(code ?? 128);
    });
  });
}
