import { type ChildProcess, spawn } from 'node:child_process';
import { constants, setPriority } from 'node:os';
import type { Account } from '../decision/commands.ts';
import { spawnProblem } from '../firewall/command.ts';
import { ownDescriptors } from '../system/own-descriptors.ts';

/** How a command runs. */
export interface ExecuteOptions {
  /** Null: with the daemon's rights. */
  readonly account: Account | null;
  readonly timeLimitMs: number;
  /** Ends it before its time. */
  readonly signal?: AbortSignal;
}

/** What became of a command. */
export type Ending =
  /** As a shell counts: 128 and the signal's number if it died of one. */
  | { readonly kind: 'ended'; readonly status: number }
  /** It took too long, or was not waited for any more; it and what it had started are killed. */
  | { readonly kind: 'killed' }
  /** There is no such program, or it may not be run. */
  | { readonly kind: 'not-started'; readonly problem: string };

/** How long who was told to end (SIGTERM) has for it. */
const GRACE_MS = 2_000;

/** Where programs are looked for. */
export const COMMAND_DIRECTORIES: readonly string[] = [
  ...['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'],
];

/** All that a command finds in its environment: nothing of the daemon's is anybody's. */
const ENVIRONMENT = { PATH: COMMAND_DIRECTORIES.join(':') } as const;

/**
 * Runs a command, word by word and without a shell: in `/`, in a session of its own without a terminal, with no input and no
 * output, and of the daemon's groups, variables, open files and priority with none. It never rejects.
 */
export function execute(words: readonly string[], options: ExecuteOptions): Promise<Ending> {
  const { account, timeLimitMs, signal } = options;
  return new Promise((resolve) => {
    const child = start(words, account);
    if (typeof child === 'string') return resolve({ kind: 'not-started', problem: child });
    let isKilled = false;
    let grace: NodeJS.Timeout | undefined;
    const end = (): void => {
      if (isKilled) return;
      isKilled = true;
      signalGroup(child, 'SIGTERM');
      grace = setTimeout(() => signalGroup(child, 'SIGKILL'), GRACE_MS);
    };
    const limit = setTimeout(end, timeLimitMs);
    const settle = (ending: Ending): void => {
      clearTimeout(limit);
      clearTimeout(grace);
      signal?.removeEventListener('abort', end);
      resolve(ending);
    };
    child.on('error', (error) => {
      if (child.pid === undefined) settle({ kind: 'not-started', problem: problemOf(words, account, error) });
    });
    child.on('exit', (code, died) => {
      if (!isKilled)
        return settle({ kind: 'ended', status: code ?? 128 + constants.signals[died ?? 'SIGKILL'] });
      // Those that it had started may have heeded SIGTERM less.
      signalGroup(child, 'SIGKILL');
      settle({ kind: 'killed' });
    });
    signal?.addEventListener('abort', end);
    if (signal?.aborted === true) end();
  });
}

/** The process, which may turn out not to have started; or why it did not. */
function start(words: readonly string[], account: Account | null): ChildProcess | string {
  const [program = '', ...args] = words;
  const { uid, gid } = account ?? ownAccount();
  try {
    const child = spawn(program, args, {
      cwd: '/',
      env: ENVIRONMENT,
      stdio: ownDescriptors(['ignore', 'ignore', 'ignore']),
      // Its process group is what is killed.
      detached: true,
      // With a user and a group, be they the daemon's own, Node takes away all other groups (setgroups).
      uid,
      gid,
    });
    if (child.pid !== undefined) goAfterDaemon(child.pid);
    return child;
  } catch (error) {
    // What is wrong with the program itself is told by an event, what the system refuses is thrown.
    return problemOf(words, account, error as NodeJS.ErrnoException);
  }
}

function ownAccount(): Pick<Account, 'uid' | 'gid'> {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}

function problemOf(
  [program = '']: readonly string[],
  account: Account | null,
  error: NodeJS.ErrnoException,
): string {
  if (error.code !== 'EPERM' || account === null) return spawnProblem(program, error);
  return `the daemon may not become ${account.name}: it has to run as root`;
}

/** The daemon comes before others; what it runs for somebody does not. */
function goAfterDaemon(pid: number): void {
  try {
    setPriority(pid, 0);
  } catch (error) {
    // It has ended already, or the daemon is not root and has no priority to take away.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SYSTEM_ERROR') throw error;
  }
}

/** The group is gone, or (with sudo, if the daemon is not root) not ours to end. */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (!['ESRCH', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}
