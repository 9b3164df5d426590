import { setMaxListeners } from 'node:events';
import type { SudoTarget } from '../decision/commands.ts';
import { type Ending, type ExecuteOptions, execute } from './execute.ts';

/** Commands that run at once. More are denied: whoever may send packets cannot start processes without end. */
const MAX_RUNNING = 16;

/** Runs commands of messages (`ENABLE_CMD_EXEC`, section 5.5); nobody waits for them. */
export class MessageCommands {
  readonly #execute: typeof execute;
  readonly #running = new Set<Promise<void>>();
  readonly #ending = new AbortController();

  constructor(run: typeof execute = execute) {
    this.#execute = run;
    setMaxListeners(MAX_RUNNING, this.#ending.signal);
  }

  /** Starts one, and tells `ended` what became of it; false: too many run, and this one does not. */
  start(
    words: readonly string[],
    options: Omit<ExecuteOptions, 'signal'>,
    ended: (ending: Ending) => void,
  ): boolean {
    if (this.#running.size >= MAX_RUNNING) return false;
    const running = this.#execute(words, { ...options, signal: this.#ending.signal }).then(ended);
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
    return true;
  }

  /** Ends: what runs is told to, and soon made to. */
  async close(): Promise<void> {
    this.#ending.abort();
    await Promise.all(this.#running);
  }
}

/** `words` by way of sudo (`ENABLE_CMD_SUDO_EXEC`): none of them can be an option of sudo's, and sudo asks for no password. */
export function throughSudo(
  program: string,
  { user, group }: SudoTarget,
  words: readonly string[],
): readonly string[] {
  const toUser = user === null ? [] : ['-u', user];
  const toGroup = group === null ? [] : ['-g', group];
  return [program, '-n', ...toUser, ...toGroup, '--', ...words];
}
