import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { firewallEnvironment, spawnProblem, TIME_LIMIT_MS } from './command.ts';
import { FirewallError } from './firewall.ts';

/** An interactive nft keeps every line it was given in memory: after so many a fresh one takes over. */
const LINES_PER_CHILD = 10_000;

type NftChild = ChildProcessByStdio<Writable, null, Readable>;

/**
 * One long-lived `nft -i`: a change costs a fraction of a millisecond, where a process costs six.
 *
 * nft says nothing about a change that succeeded, so each line is followed by a marker, a word that no grammar
 * of nft knows: its syntax error comes on stderr, after all that nft had to say about the line. Errors and marker use
 * one stream, so their order is certain.
 */
export class NftSession {
  readonly #command: readonly string[];
  readonly #timeLimitMs: number;
  #child: NftChild | null = null;
  #lines = 0;

  /** `command` is nft's, with what has to stand before it. No process starts until the first line is run. */
  constructor(command: readonly string[], timeLimitMs: number = TIME_LIMIT_MS) {
    this.#command = [...command, '-i'];
    this.#timeLimitMs = timeLimitMs;
  }

  /**
   * Has nft carry out one line, which is one transaction, and resolves when it did. One line at a time.
   * Starts a process if there is none (any more).
   * @throws FirewallError if nft refuses it, dies or does not answer in time.
   */
  async run(line: string): Promise<void> {
    if (this.#lines >= LINES_PER_CHILD) this.end();
    const child = this.#child ?? (await this.#start());
    const marker = `spa_done_${++this.#lines}`;
    const said = await this.#converse(child, `${line}\n${marker}\n`, marker);
    if (!isSuccess(said)) throw new FirewallError(this.#command.join(' '), 1, errorLines(said));
  }

  /** Ends the process; nft leaves when its input ends. The next line starts another. */
  end(): void {
    this.#child?.stdin.end();
    this.#child = null;
    this.#lines = 0;
  }

  async #start(): Promise<NftChild> {
    const [program = '', ...args] = this.#command;
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'], env: firewallEnvironment() });
    // Without a process (nothing to run, no descriptors left) there may be no streams; the error event follows.
    if (child.pid === undefined) {
      const [error] = await once(child, 'error');
      throw new FirewallError(this.#command.join(' '), null, spawnProblem(program, error));
    }
    child.stderr.setEncoding('utf8');
    // Writing to a session that has just died breaks the pipe; its end is what gets reported.
    child.stdin.on('error', () => {});
    child.on('exit', () => this.#forget(child));
    this.#child = child;
    this.#lines = 0;
    return child;
  }

  #forget(child: NftChild): void {
    if (this.#child === child) this.#child = null;
  }

  /** Sends `text` and resolves to what nft says on stderr until it has answered to `marker`. */
  #converse(child: NftChild, text: string, marker: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let heard = '';
      const finish = (end: () => void): void => {
        clearTimeout(timer);
        child.stderr.off('data', onData);
        child.off('close', onClose);
        end();
      };
      const fail = (status: number | null, said: string): void => {
        this.#forget(child);
        child.kill('SIGKILL');
        finish(() => reject(new FirewallError(this.#command.join(' '), status, said)));
      };
      const onData = (chunk: string): void => {
        heard += chunk;
        const lines = heard.split('\n');
        const end = lines.indexOf(marker);
        // The line before the marker is the heading of its own syntax error.
        if (end >= 0) finish(() => resolve(lines.slice(0, Math.max(0, end - 1)).join('\n')));
      };
      const onClose = (status: number | null): void => fail(status, `the session ended\n${heard}`);
      const timer = setTimeout(
        () => fail(null, `no answer within ${this.#timeLimitMs} ms`),
        this.#timeLimitMs,
      );
      child.stderr.on('data', onData);
      child.on('close', onClose);
      child.stdin.write(text);
    });
  }
}

/** Silence is success, and so is a mere warning. The caret under the last marker may arrive with the next answer. */
function isSuccess(said: string): boolean {
  const words = said.replaceAll(/^[ ^~]*$/gm, '').trim();
  return words === '' || (words.startsWith('Warning:') && !words.includes('Error'));
}

/** What is wrong, without the quoted command and the carets under it. */
function errorLines(said: string): string {
  const lines = said.split('\n').filter((line) => /error|not permitted/i.test(line));
  return lines.length > 0 ? [...new Set(lines)].join('\n') : said;
}
