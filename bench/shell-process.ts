/**
 * A person at a terminal: a process that lives in the operator's network and runs a line of shell when it is told to over
 * IPC. Nothing is measured but the line itself.
 */
import { type ChildProcess, spawn } from 'node:child_process';

/** What the process is told to do. */
export type ShellOrder =
  /** Runs a line that is to print `word`; answers when it has ended. After `limitMs` it is ended. */
  | { readonly kind: 'enter'; readonly line: string; readonly word: string; readonly limitMs: number }
  /** Ends the line that runs. */
  | { readonly kind: 'stop' };

/** How a line went. Times in microseconds of the clock that all processes of a machine share (CLOCK_MONOTONIC). */
export interface ShellAnswer {
  readonly enteredAt: number;
  /** When its standard output had the word: fwknop's may have other things before. Null: never. */
  readonly wordAt: number | null;
  readonly endedAt: number;
  /** Null: a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What this machine tells its own Node (a file of certificates to load takes 60 ms of Node 20's start) is no operator's. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('NODE_')));
let running: ChildProcess | null = null;
process.on('message', (order: ShellOrder) => {
  if (order.kind === 'stop') stop();
  else enter(order);
});
process.on('disconnect', () => {
  stop();
  process.exit();
});
process.send?.('ready');

function enter({ line, word, limitMs }: ShellOrder & { readonly kind: 'enter' }): void {
  let wordAt: number | null = null;
  let stdout = '';
  let stderr = '';
  const enteredAt = now();
  // A process group of its own, and no terminal that ssh could ask.
  const child = spawn('/bin/sh', ['-c', line], { detached: true, env, stdio: ['ignore', 'pipe', 'pipe'] });
  running = child;
  child.stdout.on('data', (chunk: Buffer) => {
    const at = now();
    stdout += chunk.toString();
    if (stdout.includes(word)) wordAt ??= at;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const limit = setTimeout(stop, limitMs);
  child.on('close', (status) => {
    clearTimeout(limit);
    running = null;
    const answer: ShellAnswer = { enteredAt, wordAt, endedAt: now(), status, stdout, stderr };
    process.send?.(answer);
  });
}

function stop(): void {
  if (running?.pid === undefined) return;
  try {
    process.kill(-running.pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}

function now(): number {
  return Number(process.hrtime.bigint()) / 1000;
}
