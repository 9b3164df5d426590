import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Namespace } from 'spa-lab';
import type { ShellAnswer, ShellOrder } from './shell-process.ts';

/** Somebody at a terminal on a host; one line at a time. */
export interface Shell {
  /** Runs a line of sh that is to print `word`; resolves when it has ended. After `limitMs` it is ended. */
  enter(line: string, word: string, limitMs: number): Promise<ShellAnswer>;
  /** Ends the line that runs. */
  stop(): void;
}

/** Starts one; it ends with the host. */
export async function startShell(host: Namespace): Promise<Shell> {
  const script = fileURLToPath(new URL('./shell-process.js', import.meta.url));
  const child = host.spawn([process.execPath, script], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await once(child, 'message');
  const tell = (order: ShellOrder): void => {
    child.send(order);
  };
  return {
    enter: async (line, word, limitMs) => {
      tell({ kind: 'enter', line, word, limitMs });
      const [answer] = (await once(child, 'message')) as [ShellAnswer];
      return answer;
    },
    stop: () => tell({ kind: 'stop' }),
  };
}
