import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import type { SyslogTarget } from '../config/server-config.ts';
import { createLog, type DaemonLog, type LogOptions } from './log.ts';

/** A log with an end. */
export interface SystemLog extends DaemonLog {
  /** Resolves when all lines are with the system's log. */
  close(): Promise<void>;
}

/**
 * The system's log, through one logger(1) that lives as long as the log. A logger that ends is started again with the
 * next line; where there is none, lines are lost: a daemon without a terminal has nowhere else to tell.
 */
export function createSystemLog(
  target: SyslogTarget,
  options: Omit<LogOptions, 'priorityPrefix'>,
): SystemLog {
  let logger: ChildProcess | null = null;
  let missing = false;
  const write = (text: string): void => {
    if (missing) return;
    if (logger === null) {
      logger = startLogger(target);
      const started = logger;
      started.on('error', () => {
        missing = true;
      });
      started.on('exit', () => {
        if (logger === started) logger = null;
      });
    }
    logger.stdin?.write(text);
  };
  return {
    ...createLog(write, { ...options, priorityPrefix: true }),
    close: () => {
      const last = logger;
      missing = true;
      return last === null ? Promise.resolve() : endLogger(last);
    },
  };
}

function startLogger({ identity, facility }: SyslogTarget): ChildProcess {
  const args = ['--tag', identity, `--id=${process.pid}`, '--priority', `${facility}.info`, '--prio-prefix'];
  const child = spawn('logger', args, { stdio: ['pipe', 'ignore', 'ignore'] });
  const stdin = child.stdin as Socket;
  stdin.on('error', ignoreClosedPipe);
  stdin.unref();
  child.unref();
  return child;
}

/** The exit of the logger says it all. */
function ignoreClosedPipe(): void {}

function endLogger(logger: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (logger.exitCode !== null || logger.signalCode !== null || logger.pid === undefined) return resolve();
    logger.ref();
    logger.once('exit', () => resolve());
    logger.stdin?.end();
  });
}
