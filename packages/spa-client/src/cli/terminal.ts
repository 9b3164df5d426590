import { closeSync, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { isatty, ReadStream } from 'node:tty';
import { UsageError } from 'spa-host';
import { Secret } from '../secret.ts';

/** The terminal that this process belongs to, whatever stdin is; null if there is none. */
export function openTerminal(): number | null {
  try {
    const descriptor = openSync('/dev/tty', 'r+');
    if (isatty(descriptor)) return descriptor;
    closeSync(descriptor);
  } catch {
    // No terminal.
  }
  return null;
}

/**
 * Asks for a secret on a terminal, without echo, and closes the terminal's descriptor. Ctrl-C ends the process as it
 * would without a prompt: by the signal.
 * @throws UsageError if the person gives nothing.
 */
export async function askOnTerminal(terminal: number, what: string): Promise<Secret> {
  const input = new ReadStream(terminal);
  const silence = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input, output: silence, terminal: true, historySize: 0 });
  // Only now: whoever types at once would see the secret on the screen.
  writeSync(terminal, `Enter ${what}: `);
  const end = await new Promise<Answer>((resolve) => {
    lines.once('line', (line) => resolve({ line }));
    lines.once('SIGINT', () => resolve('interrupted'));
    lines.once('close', () => resolve('closed'));
  });
  writeSync(terminal, '\n');
  lines.close();
  input.destroy();
  if (end === 'interrupted') return interrupt();
  if (end === 'closed' || end.line === '') throw new UsageError(`no ${what} was given`);
  return new Secret(Buffer.from(end.line, 'utf8'));
}

/** Asks whether to do something on a terminal, and closes the terminal's descriptor. Anything but a yes is a no. */
export async function confirmOnTerminal(terminal: number, question: string): Promise<boolean> {
  const input = new ReadStream(terminal);
  const lines = createInterface({ input });
  writeSync(terminal, `${question} [y/N] `);
  const answer = await new Promise<string>((resolve) => {
    lines.once('line', resolve);
    lines.once('close', () => resolve(''));
  });
  lines.close();
  input.destroy();
  return /^y(es)?$/i.test(answer.trim());
}

type Answer = { readonly line: string } | 'interrupted' | 'closed';

/** The shell that started us must see the signal, or it would go on with its script. */
function interrupt(): Promise<never> {
  process.kill(process.pid, 'SIGINT');
  return new Promise(() => {});
}
