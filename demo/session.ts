import type { ChildProcess } from 'node:child_process';
import { until } from 'spa-lab';

/** A session with a program that says again what it is told: `cat`. */
export interface Session {
  /** Says something and waits for the echo. */
  echoes(text: string): Promise<void>;
  /** Ends the input; resolves to the exit status. */
  close(): Promise<number | null>;
}

/** The session that `child` holds; its stdin and stdout are pipes. */
export function createSession(child: ChildProcess): Session {
  let heard = '';
  let complaint = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    heard += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  // The end of the session is seen by its exit status.
  child.stdin?.on('error', () => {});
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return {
    echoes: (text) => {
      child.stdin?.write(`${text}\n`);
      return until(`the session says "${text}"`, () => {
        if (hasEnded()) throw new Error(`the session has ended: ${complaint}`);
        return heard.includes(`${text}\n`);
      });
    },
    close: async () => {
      child.stdin?.end();
      await until('the session ends', hasEnded);
      return child.exitCode;
    },
  };
}
