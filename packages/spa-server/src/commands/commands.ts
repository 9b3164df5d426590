import type { CommandConfig } from '../config/server-config.ts';
import type { Verdict } from '../decision/verdict.ts';
import { type GrantSelector, steadyNow } from '../grants/ledger.ts';
import type { Report, Sender } from '../report.ts';
import type { Log } from '../system/log.ts';
import type { CommandOrigin, CycleJournal } from './cycle-journal.ts';
import { Cycles, roundOf } from './cycles.ts';
import { type Ending, execute } from './execute.ts';
import { MessageCommands, throughSudo } from './message-commands.ts';
import { splitWords } from './words.ts';

type RunVerdict = Extract<Verdict, { readonly kind: 'run' }>;
type CycleVerdict = Extract<Verdict, { readonly kind: 'cycle' }>;

/** What {@link Commands} is made of. */
export interface CommandsParts {
  readonly journal: CycleJournal;
  readonly report: Report;
  readonly log: Log;
  /** What is in force now. */
  config(): CommandConfig;
  /** Nothing is run, as if all had ended well. */
  readonly dryRun: boolean;
}

/** Runs what packets are permitted instead of doors, and tells what became of it. No packet waits for it. */
export class Commands {
  readonly #parts: CommandsParts;
  readonly #messages: MessageCommands;
  readonly #cycles: Cycles;

  constructor(parts: CommandsParts) {
    const { journal, report, log } = parts;
    const run = parts.dryRun ? runNothing : execute;
    const limitMs = (): number => parts.config().cycleSeconds * 1000;
    this.#parts = parts;
    this.#messages = new MessageCommands(run);
    this.#cycles = new Cycles({
      journal,
      run: (words) => run(words, { account: null, timeLimitMs: limitMs() }),
      limitMs,
      news: {
        closing: (origin, words) => report.cycleClosing(origin, words),
        ended: (origin, words, ending) => report.cycleEnded(origin, words, ending),
        trouble: (line) => log.error(line),
      },
      now: steadyNow,
      wallNow: Date.now,
    });
  }

  /** Takes over what the last daemon left to be closed. @throws the system's error if that cannot be read. */
  start(): Promise<void> {
    return this.#cycles.start();
  }

  /** Runs the command of a message. */
  run(from: Sender, verdict: RunVerdict): void {
    const { report, config } = this.#parts;
    const { opened, run } = verdict;
    const { account, sudo } = run.policy;
    const asked = splitWords(run.command);
    const words = sudo === null ? asked : throughSudo(config().sudo, sudo, asked);
    const origin = originOf(from, verdict);
    const options = { account, timeLimitMs: config().messageSeconds * 1000 };
    const isStarted = this.#messages.start(words, options, (ending) => report.commandEnded(origin, ending));
    if (isStarted) report.commandStarted(from, opened, words, account);
    else report.busy(from, opened);
  }

  /** Runs the open command of a stanza; its close command follows. @throws JournalError and then nothing runs. */
  async cycle(from: Sender, verdict: CycleVerdict): Promise<void> {
    const { report } = this.#parts;
    const { opened, cycle } = verdict;
    const round = roundOf(cycle, originOf(from, verdict));
    if ((await this.#cycles.begin(round)) === 'busy') return report.busy(from, opened);
    report.cycleOpening(from, opened, round);
  }

  /** Runs the close commands of those who are meant now; resolves to how many they are when they have begun. */
  revoke(which: GrantSelector): Promise<number> {
    return this.#cycles.revoke(which);
  }

  /** The fingerprints of those for whom something is open, as far as they are known. */
  operators(): readonly string[] {
    return this.#cycles.origins().flatMap(({ operator }) => operator ?? []);
  }

  /** How many close commands are still to be run. */
  get pending(): number {
    return this.#cycles.origins().length;
  }

  /** Ends: commands of messages are killed; with `runPending` all close commands are run, otherwise the next daemon runs them. */
  async close(options: { readonly runPending: boolean }): Promise<void> {
    await Promise.all([this.#messages.close(), this.#cycles.close(options)]);
  }
}

/** Whose a command is. That of a message opens nothing for any address: it is meant by where its packet came from. */
export function originOf({ source }: Sender, verdict: RunVerdict | CycleVerdict): CommandOrigin {
  const { id, signer, message, stanzaNumber } = verdict.opened;
  const address = verdict.kind === 'cycle' ? verdict.cycle.variables.address : source;
  return { id, operator: signer, username: message.username, address, source, stanza: stanzaNumber };
}

async function runNothing(): Promise<Ending> {
  return { kind: 'ended', status: 0 };
}
