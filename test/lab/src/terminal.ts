import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createScratch } from './scratch.ts';
import { until } from './until.ts';

/** A real terminal (tmux) with a program in it. */
export interface Terminal {
  /** Types `text` as it is. */
  readonly type: (text: string) => void;
  /** Presses keys by tmux's names: `Enter`, `Tab`, `C-c`. */
  readonly press: (...keys: readonly string[]) => void;
  /** What it shows, without empty lines at the end. */
  readonly screen: () => string;
  /** Waits until it shows that. @throws Error with what it shows instead. */
  readonly shows: (expected: RegExp) => Promise<void>;
}

/** Starts `command` in a terminal of 100 columns. It and all that runs in it ends with the test. */
export async function openTerminal(
  t: { teardown(end: () => Promise<void>): void },
  command: readonly string[],
  { env = {}, columns = 100 }: { readonly env?: NodeJS.ProcessEnv; readonly columns?: number } = {},
): Promise<Terminal> {
  const scratch = createScratch();
  const socket = scratch.path('tmux');
  const base = ['-f', '/dev/null', '-S', socket];
  const environment = { ...process.env, LC_ALL: 'C.UTF-8', ...env };
  // In the foreground, so that it ends with this process however that ends.
  const server = spawn('setpriv', ['--pdeathsig', 'TERM', 'tmux', '-D', ...base], {
    stdio: 'ignore',
    env: environment,
  });
  t.teardown(async () => {
    server.kill();
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    scratch.remove();
  });
  const tmux = (...args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync('tmux', [...base, ...args], {
      encoding: 'utf8',
      env: environment,
    });
    if (status !== 0) throw new Error(`tmux ${args[0]}: ${stderr}`);
    return stdout;
  };
  await until('tmux is there', () => existsSync(socket));
  // The screen can still be read when the program has ended.
  tmux('set-option', '-g', 'remain-on-exit', 'on', ';', 'set-option', '-s', 'escape-time', '0');
  tmux('new-session', '-d', '-x', String(columns), '-y', '30', '--', ...command);
  const screen = (): string => tmux('capture-pane', '-p').trimEnd();
  return {
    type: (text) => tmux('send-keys', '-l', '--', text),
    press: (...keys) => tmux('send-keys', ...keys),
    screen,
    shows: (expected) =>
      until(`the terminal shows ${expected}`, () => expected.test(screen())).catch((error: Error) => {
        throw new Error(`${error.message}; it shows:\n${screen()}`);
      }),
  };
}
