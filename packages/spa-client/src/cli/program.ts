import { readFileSync, writeSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { KeyError, SpaError } from 'spa-core';
import { ConfigError, ExitCode, UsageError } from 'spa-host';
import { defaultUsername } from '../compose.ts';
import { homeDirectory } from '../home.ts';
import { FolderBusyError } from '../roster/folder-busy-error.ts';
import { SendError } from '../send.ts';
import { SshError } from '../ssh-settings.ts';

/** Exit codes that differ between programs. */
export interface FailureCodes {
  /** The host is not found, or the packet cannot be sent. */
  readonly connection: number;
}

/**
 * Runs a program: its promise is the exit code; an error whose fault is the operator's is one line on stderr and a code.
 * Any other error is the program's own and ends it with a stack.
 */
export async function runProgram(
  name: string,
  main: (argv: readonly string[]) => Promise<number>,
  codes: FailureCodes,
): Promise<void> {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    const code = exitCodeOf(error, codes);
    if (code === null) throw error;
    say(`${name}: ${(error as Error).message}`);
    process.exitCode = code;
  }
}

/**
 * A line on stderr, or several if ssh or gpg said them so, without what a terminal obeys. Not through `process.stderr`: that
 * would leave the descriptor non-blocking to a program we become.
 */
export function say(text: string): void {
  const lines = text.split('\n').map(printable).join('\n');
  try {
    writeSync(2, `${lines}\n`);
  } catch (error) {
    ignoreClosedPipe(error as NodeJS.ErrnoException);
  }
}

/** A terminal obeys control characters, and names from files and the network may hold some. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '?');
}

/** What was asked for, on stdout; the exit code of success. */
export function print(text: string): 0 {
  const { stdout } = process;
  if (!stdout.listeners('error').includes(outputFailed)) stdout.on('error', outputFailed);
  stdout.write(text);
  return 0;
}

/** Version of this package. */
export function packageVersion(): string {
  const file = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version;
}

/** The rc file when none is named. @throws ConfigError if there is no home. */
export function defaultRcFile(): string {
  return join(homeDirectory(), '.fwknoprc');
}

/** The user name for a message: see {@link defaultUsername}. */
export function currentUsername(): string {
  return defaultUsername(process.env, loginName());
}

function loginName(): string | null {
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}

/** The exit code for an error whose fault is the operator's or the network's, and whose message says all; null for others. */
export function exitCodeOf(error: unknown, codes: FailureCodes): number | null {
  if (error instanceof UsageError) return ExitCode.usage;
  if (error instanceof ConfigError || error instanceof KeyError) return ExitCode.config;
  if (error instanceof SpaError) return ExitCode.config;
  if (error instanceof FolderBusyError) return ExitCode.busy;
  if (error instanceof SendError || error instanceof SshError) return codes.connection;
  return null;
}

/** Nobody has to read all of it; a full disk is another matter. */
function outputFailed(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE' || error.code === 'EAGAIN') return;
  say(`stdout: cannot be written: ${error.code}`);
  process.exit(ExitCode.ioError);
}

function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'EAGAIN') throw error;
}
