import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ExitCode } from 'spa-host';
import { createLog, type Log } from './log.ts';

/** What the daemon in the background tells the process that started it, until it is ready. */
type Report =
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly exitCode: number };

/**
 * Starts the daemon in a session of its own, without a terminal, and resolves to the exit code of this process once the
 * daemon is ready (0) or could not start. What it has to say until then comes out with `write`.
 */
export function startInBackground(argv: readonly string[], write: (text: string) => void): Promise<number> {
  const entry = fileURLToPath(new URL('../bin/background.cjs', import.meta.url));
  const child = fork(entry, [...argv], { detached: true, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  return new Promise((resolve, reject) => {
    const finish = (exitCode: number): void => {
      child.removeAllListeners('exit');
      child.disconnect();
      child.unref();
      resolve(exitCode);
    };
    child.on('error', reject);
    child.on('message', (report: Report) => {
      if (report.kind === 'line') write(report.text);
      if (report.kind === 'ready') finish(ExitCode.ok);
      if (report.kind === 'failed') finish(report.exitCode);
    });
    child.on('exit', (code, signal) => {
      write(`the daemon died while it started (${signal ?? `status ${code}`}); --foreground shows why\n`);
      resolve(ExitCode.software);
    });
  });
}

/** The daemon's end of {@link startInBackground}. */
export interface Starter {
  /** Shows warnings and errors to whoever starts the daemon, until it is ready. */
  readonly log: Log;
  ready(): void;
  /** Resolves when the starter knows. */
  failed(exitCode: number): Promise<void>;
}

/** The process that started this one; silent if it is gone. */
export function findStarter(): Starter {
  const write = (text: string): void => {
    report({ kind: 'line', text });
  };
  return {
    log: createLog(write, { least: 'warning', format: 'text', priorityPrefix: false }),
    ready: () => {
      report({ kind: 'ready' }).then(leave, leave);
    },
    failed: (exitCode) => report({ kind: 'failed', exitCode }),
  };
}

function report(message: Report): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) return resolve();
    process.send(message, undefined, undefined, () => resolve());
  });
}

/** The starter may have left first. */
function leave(): void {
  if (process.connected) process.disconnect();
}
