import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { firewallEnvironment, spawnProblem, TIME_LIMIT_MS } from './command.ts';
import { FirewallError } from './firewall.ts';
import { type NamelessFile, openNamelessFile } from './nameless-file.ts';

/** Characters that a fresh nft is better off without. */
const CHARACTERS_PER_CHILD = 4_000_000;

/** nft reads what is typed octet by octet, a system call each: what is longer goes into a file that it includes. */
const TYPED_CHARACTERS = 120;

/** A long transaction gets more time: this for so many characters each. */
const MORE_TIME = { ms: 200, characters: 10_000 };

/** How an nft that inherits it as its fourth descriptor names the file. */
const FILE_DESCRIPTOR = 3;
const INCLUDE = `include "/proc/self/fd/${FILE_DESCRIPTOR}"`;

/** A quick succession of processes that die helps nobody. */
const RESTART_AFTER_MS = 1_000;

/** A process that has nothing more to do takes no longer. */
const LEAVE_WITHIN_MS = 1_000;

interface NftChild {
  readonly process: ChildProcess;
  readonly stdin: Writable;
  readonly stderr: Readable;
  /** Milliseconds, monotonic. */
  readonly startedAt: number;
  lines: number;
  characters: number;
}

/** Has one nft carry out statements as one transaction. @throws FirewallError */
export type Send = (statements: readonly string[]) => Promise<void>;

/** What {@link NftSession} does besides its work. */
export interface NftSessionOptions {
  readonly timeLimitMs?: number;
  /** An interactive nft remembers each line, and goes through all of them at the next: after so many a fresh one takes over. */
  readonly linesPerChild?: number;
  /** Called with each new process before it does anything else; if it throws, the process is not used. */
  readonly onStart?: (send: Send) => Promise<void>;
  /** Called when a process has ended that should not have; `reason` is a few words, and `again` says whether to start another. */
  readonly onLoss?: (reason: string, again: boolean) => void;
}

/**
 * One long-lived `nft -i`: a change costs a fraction of a millisecond, where a process costs six.
 *
 * nft says nothing about a change that succeeded, so each line is followed by a marker, a word that no grammar
 * of nft knows: its syntax error comes on stderr, after all that nft had to say about the line. Errors and marker use
 * one stream, so their order is certain. What nft lists goes into a file: it writes word by word, and a pipe would wake us
 * for each.
 */
export class NftSession {
  readonly #command: readonly string[];
  readonly #timeLimitMs: number;
  readonly #linesPerChild: number;
  readonly #onStart: (send: Send) => Promise<void>;
  readonly #onLoss: (reason: string, again: boolean) => void;
  #child: NftChild | null = null;
  #markers = 0;
  /** Ends of processes that are not used any more. */
  readonly #leaving = new Set<Promise<void>>();
  /** What nft is to include, and what it lists. Null before the first start, and if there is no folder for files. */
  #input: NamelessFile | null = null;
  #output: NamelessFile | null = null;
  #canInclude = true;

  /** `command` is nft's, with what has to stand before it. No process starts until there is something to do. */
  constructor(command: readonly string[], options: NftSessionOptions = {}) {
    this.#command = [...command, '-i', '-t', '-a'];
    this.#timeLimitMs = options.timeLimitMs ?? TIME_LIMIT_MS;
    this.#linesPerChild = options.linesPerChild ?? 10_000;
    this.#onStart = options.onStart ?? (async () => {});
    this.#onLoss = options.onLoss ?? (() => {});
  }

  /**
   * Has nft carry out the statements, which are one transaction, and resolves when it did. One call at a time.
   * Starts a process if there is none (any more), and asks for the statements then.
   * @throws FirewallError if nft refuses it, dies or does not answer in time.
   */
  async run(build: () => readonly string[]): Promise<void> {
    const child = await this.#ready();
    await this.#send(child, build());
  }

  /**
   * What nft prints in answer to one command, if it is no more than it can keep in mind: sets go without elements. Null if
   * there is no file for it. As {@link NftSession.run}. @throws FirewallError
   */
  async ask(command: string): Promise<string | null> {
    const child = await this.#ready();
    if (this.#output === null) return null;
    this.#output.replace('');
    await this.#type(child, command);
    return this.#output.read();
  }

  /** What the process has done so far does not wear it: the next one would have to do the same. */
  refresh(): void {
    if (this.#child === null) return;
    this.#child.lines = 0;
    this.#child.characters = 0;
  }

  /**
   * Another process takes over; the one before ends when the new one has done its {@link NftSessionOptions.onStart}, and
   * what belonged to it is gone then.
   */
  async renew(): Promise<void> {
    const before = this.#child;
    this.#child = await this.#start();
    if (before !== null) this.#dismiss(before);
    await Promise.all(this.#leaving);
  }

  /** Ends the process and resolves when it has ended. The next statement starts another. */
  async end(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child !== null) this.#dismiss(child);
    this.#input?.close();
    this.#output?.close();
    this.#input = null;
    this.#output = null;
    await Promise.all(this.#leaving);
  }

  /** nft leaves when its input ends; one that does not, or that was killed, is waited for only so long. */
  #dismiss(child: NftChild): void {
    child.stdin.end();
    if (hasEnded(child.process)) return;
    const left = new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        child.process.kill('SIGKILL');
        resolve();
      }, LEAVE_WITHIN_MS);
      child.process.once('exit', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    this.#leaving.add(left);
    void left.then(() => this.#leaving.delete(left));
  }

  async #ready(): Promise<NftChild> {
    if (this.#child === null || this.#isWorn(this.#child)) await this.renew();
    if (this.#child === null) throw new FirewallError(this.#command.join(' '), null, 'the session ended');
    return this.#child;
  }

  #isWorn({ lines, characters }: NftChild): boolean {
    return lines > this.#linesPerChild || characters > CHARACTERS_PER_CHILD;
  }

  async #start(): Promise<NftChild> {
    const [program = '', ...args] = this.#command;
    this.#input ??= openNamelessFile();
    this.#output ??= openNamelessFile();
    const process = spawn(program, args, {
      stdio: ['pipe', this.#output?.descriptor ?? 'ignore', 'pipe', this.#input?.descriptor ?? 'ignore'],
      env: firewallEnvironment(),
    });
    const { stdin, stderr } = process;
    // Without a process (nothing to run, no descriptors left) there may be no streams; the error event follows.
    if (process.pid === undefined || stdin === null || stderr === null) {
      const [error] = await once(process, 'error');
      throw new FirewallError(this.#command.join(' '), null, spawnProblem(program, error));
    }
    const child: NftChild = { process, stdin, stderr, startedAt: performance.now(), lines: 0, characters: 0 };
    stderr.setEncoding('utf8');
    // Writing to a session that has just died breaks the pipe; its end is what gets reported.
    stdin.on('error', () => {});
    process.on('exit', (status, signal) => {
      if (this.#child !== child) return;
      this.#child = null;
      this.#onLoss(
        signal === null ? `status ${status}` : `signal ${signal}`,
        performance.now() - child.startedAt > RESTART_AFTER_MS,
      );
    });
    try {
      await this.#onStart((statements) => this.#send(child, statements));
      child.lines = 0;
      child.characters = 0;
    } catch (error) {
      process.kill('SIGKILL');
      this.#dismiss(child);
      throw error;
    }
    return child;
  }

  async #send(child: NftChild, statements: readonly string[]): Promise<void> {
    const line = statements.join('; ');
    if (line.length <= TYPED_CHARACTERS || !this.#writeInput(statements)) return this.#type(child, line);
    try {
      await this.#type(child, INCLUDE, line.length);
    } catch (error) {
      if (!(error instanceof FirewallError && isUnreadable(error))) throw error;
      this.#canInclude = false;
      await this.#type(child, line);
    }
  }

  /** True if the statements are in the file that nft can read. */
  #writeInput(statements: readonly string[]): boolean {
    if (!this.#canInclude || this.#input === null) return false;
    try {
      this.#input.replace(`${statements.join('\n')}\n`);
      return true;
    } catch {
      // No room: it has to be typed.
      return false;
    }
  }

  async #type(child: NftChild, line: string, length: number = line.length): Promise<void> {
    const marker = `spa_done_${++this.#markers}`;
    child.lines += 1;
    child.characters += line.length + marker.length;
    const timeLimitMs = this.#timeLimitMs + Math.floor(length / MORE_TIME.characters) * MORE_TIME.ms;
    const said = await this.#converse(child, `${line}\n${marker}\n`, marker, timeLimitMs);
    if (!isSuccess(said)) throw new FirewallError(this.#command.join(' '), 1, errorLines(said));
  }

  /** Sends `text` and resolves to what nft says on stderr until it has answered to `marker`. */
  #converse(child: NftChild, text: string, marker: string, timeLimitMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      let heard = '';
      const finish = (end: () => void): void => {
        clearTimeout(timer);
        child.stderr.off('data', onData);
        child.process.off('close', onClose);
        end();
      };
      const fail = (status: number | null, said: string): void => {
        if (this.#child === child) this.#child = null;
        child.process.kill('SIGKILL');
        this.#dismiss(child);
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
      const timer = setTimeout(() => fail(null, `no answer within ${timeLimitMs} ms`), timeLimitMs);
      if (hasEnded(child.process)) return onClose(child.process.exitCode);
      child.stderr.on('data', onData);
      child.process.on('close', onClose);
      child.stdin.write(text);
    });
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

function isUnreadable(error: FirewallError): boolean {
  return /(File not found|Could not open file)\S* \S*\/proc\/self\/fd/.test(error.message);
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
