import { closeSync, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { isatty, ReadStream } from 'node:tty';
import { UsageError } from 'spa-host';
import { Secret } from '../secret.ts';

/**
 * Asks for a secret on the terminal, without echo.
 * @throws UsageError if there is no terminal, or the person gives up or gives nothing.
 */
export async function askOnTerminal(what: string): Promise<Secret> {
  const terminal = openTerminal(what);
  writeSync(terminal, `Enter ${what}: `);
  const input = new ReadStream(terminal);
  const silence = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input, output: silence, terminal: true, historySize: 0 });
  try {
    const line = await new Promise<string | null>((resolve) => {
      lines.once('line', resolve);
      for (const end of ['SIGINT', 'close'] as const) lines.once(end, () => resolve(null));
    });
    writeSync(terminal, '\n');
    if (line === null || line === '') throw new UsageError(`no ${what} was given`);
    return new Secret(Buffer.from(line, 'utf8'));
  } finally {
    lines.close();
    input.destroy();
  }
}

function openTerminal(what: string): number {
  try {
    const descriptor = openSync('/dev/tty', 'r+');
    if (isatty(descriptor)) return descriptor;
    closeSync(descriptor);
  } catch {
    // No terminal: said below.
  }
  throw new UsageError(`no ${what} is given, and there is no terminal to ask on; write it into the rc file`);
}
