import { spawn } from 'node:child_process';
import { FirewallError } from './firewall.ts';
import { openNamelessFile } from './nameless-file.ts';
import { searchPath } from './programs.ts';

/** A command that takes longer has failed: the kernel answers in milliseconds, a held xtables lock in seconds. */
export const TIME_LIMIT_MS = 5_000;

/** More than any rule set that a host can work with. */
const OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024;

/** What {@link runCommand} gives to the command. */
export interface CommandOptions {
  /** Its whole stdin. Nothing if left out. */
  readonly input?: string;
  readonly timeLimitMs?: number;
  /** A descriptor of ours for its stdout; then this resolves to nothing. */
  readonly stdout?: number;
}

/**
 * Runs one command, argument by argument and without a shell, and resolves to its stdout.
 * @throws FirewallError if it cannot be run, ends with another status than 0, or takes too long (it is killed then).
 */
export function runCommand(command: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [program = '', ...args] = command;
  const { input = '', timeLimitMs = TIME_LIMIT_MS } = options;
  const name = command.join(' ');
  return new Promise((resolve, reject) => {
    const stdio = ['pipe', options.stdout ?? 'pipe', 'pipe'] as const;
    const child = spawn(program, args, { stdio: [...stdio], env: firewallEnvironment() });
    child.on('error', (error) => fail(null, spawnProblem(program, error)));
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let bytes = 0;
    const fail = (status: number | null, said: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new FirewallError(name, status, said));
    };
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > OUTPUT_LIMIT_BYTES) return fail(null, `wrote more than ${OUTPUT_LIMIT_BYTES} bytes`);
      into.push(chunk);
    };
    const timer = setTimeout(() => fail(null, `no answer within ${timeLimitMs} ms`), timeLimitMs);
    // Without a process (nothing to run, no descriptors left) there may be no streams; the error event follows.
    if (child.pid === undefined) return;
    child.stdout?.on('data', collect(stdout));
    child.stderr?.on('data', collect(stderr));
    // A command that ends without reading its input breaks the pipe; its status says what is wrong.
    child.stdin?.on('error', () => {});
    child.on('close', (status) => {
      clearTimeout(timer);
      if (status === 0) return resolve(Buffer.concat(stdout).toString());
      reject(new FirewallError(name, status, Buffer.concat(stderr).toString()));
    });
    child.stdin?.end(input);
  });
}

/**
 * As {@link runCommand}, for one that writes much, and word by word as nft does: a pipe would wake us for each.
 * @throws FirewallError
 */
export async function runVerboseCommand(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const file = openNamelessFile();
  if (file === null) return runCommand(command, options);
  try {
    await runCommand(command, { ...options, stdout: file.descriptor });
    return file.read();
  } finally {
    file.close();
  }
}

/** Why `program` could not be started, for the operator. */
export function spawnProblem(program: string, error: NodeJS.ErrnoException): string {
  return error.code === 'ENOENT' ? `${program} is not installed or not in PATH` : error.message;
}

/**
 * The environment for firewall programs: English messages, the sbin directories in PATH, and a home directory
 * that cannot exist, because an interactive nft writes every command into `~/.nft.history`.
 */
export function firewallEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C', HOME: '/dev/null', PATH: searchPath().join(':') };
}
