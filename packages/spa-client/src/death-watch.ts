import { spawn } from 'node:child_process';

/** Ends a child process if this process ends without having done so, even by SIGKILL. */
export interface DeathWatch {
  /** Who is to end; null: nobody any more. */
  readonly guard: (pid: number | null) => void;
  /** No watch any more. What was guarded, and the folder, are the caller's again. */
  readonly end: () => void;
}

/**
 * Starts a watch that also removes `folder`. A shell reads from a pipe of ours, whose end is our end: `ssh -N` reads from
 * nothing that could tell it, and not every system can send a signal at a parent's death.
 */
export function startDeathWatch(folder: string): DeathWatch {
  // In a session of its own, no key on the terminal ends or stops it.
  const shell = spawn('/bin/sh', ['-c', SCRIPT, 'sshbh-death-watch', folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  // Without a watch, everything but a SIGKILL is as with it.
  shell.on('error', () => {});
  shell.stdin.on('error', () => {});
  return {
    guard: (pid) => shell.stdin.write(`${pid ?? ''}\n`),
    end: () => shell.kill('SIGKILL'),
  };
}

/** A process that was stopped ends only when it goes on. */
const SCRIPT = `
while read -r line; do pid=$line; done
[ -z "$pid" ] || { kill "$pid"; kill -s CONT "$pid"; }
rm -rf -- "$1"
`;
