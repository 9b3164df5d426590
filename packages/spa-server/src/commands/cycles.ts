import { createHash } from 'node:crypto';
import type { ProtoPort } from 'spa-core';
import type { CycleRun } from '../decision/commands.ts';
import { type GrantSelector, isMeant } from '../grants/ledger.ts';
import type { CommandOrigin, CycleJournal, PendingClose } from './cycle-journal.ts';
import type { Ending } from './execute.ts';
import { fillIn, type Variables } from './words.ts';

/** A close command cannot be written down, and so its open command does not run. */
export class JournalError extends Error {
  override readonly name = 'JournalError';

  constructor(problem: string) {
    super(`its close command cannot be written down: ${problem}`);
  }
}

/** One round of a stanza's commands, variables replaced. */
export interface CycleRound {
  readonly open: readonly string[];
  /** Null: `NONE`. */
  readonly close: readonly string[] | null;
  /** From one to the other. */
  readonly seconds: number;
  readonly origin: CommandOrigin;
}

/** The round of a stanza's commands that a packet gets. */
export function roundOf({ cycle, variables }: CycleRun, origin: CommandOrigin): CycleRound {
  const { address, packetSource, packetDestination, port, timeoutSeconds, timestampSeconds } = variables;
  const values: Variables = {
    IP: address,
    SRC: address,
    PKT_SRC: packetSource,
    // As fwknopd's own UDP server has it.
    DST: packetDestination ?? '0.0.0.0',
    PORT: port.port,
    PROTO: PROTOCOL_NUMBERS[port.protocol],
    TIMEOUT: timestampSeconds + timeoutSeconds,
    CLIENT_TIMEOUT: timeoutSeconds,
  };
  const { open, close } = cycle;
  return {
    open: fillIn(open, values),
    close: close === null ? null : fillIn(close, values),
    seconds: timeoutSeconds,
    origin,
  };
}

/** Of IP: what fwknop's `$PROTO` stands for. */
const PROTOCOL_NUMBERS: Readonly<Record<ProtoPort['protocol'], number>> = { tcp: 6, udp: 17 };

/** What {@link Cycles} is made of. */
export interface CyclesParts {
  readonly journal: CycleJournal;
  /** Runs one command to its end, which it has. */
  run(words: readonly string[]): Promise<Ending>;
  /** How long one may run. */
  readonly limitMs: () => number;
  readonly news: CycleNews;
  /** Milliseconds of a clock that nobody can set. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

/** Who hears what becomes of the commands. */
export interface CycleNews {
  closing(origin: CommandOrigin, words: readonly string[]): void;
  /** Of an open or a close command. */
  ended(origin: CommandOrigin, words: readonly string[], ending: Ending): void;
  /** Something went wrong that is no command's fault. */
  trouble(line: string): void;
}

/** Open commands that run at once. More are denied: whoever may send packets cannot start processes without end. */
const MAX_OPENING = 16;
/** Close commands that wait for their time, a file each. More are denied. */
const MAX_PENDING = 10_000;
/** Close commands that run at once; the others wait. */
const MAX_CLOSING = 16;
/** How often a close command is run at most, however often its open command ran. */
const MAX_CLOSES = 100;
/** After so long a close command is tried again that could not run. */
const RETRY_MS = 60_000;
/** `setTimeout` takes 24 days, a timer may have 97. */
const LONGEST_TIMER_MS = 24 * 3_600_000;

/** A close command, and when this process runs it: by the clock that nobody can set. */
interface Pending extends PendingClose {
  readonly dueAtSteady: number;
  /** When it runs once more, because a daemon that was killed has left its open command running; null: it does not. */
  readonly againAtSteady: number | null;
}

/**
 * Runs open commands, and their close commands in time (`CMD_CYCLE_OPEN`, section 5.6).
 *
 * A close command is in the journal before its open command runs, and until it has run: whatever ends the daemon, the next one
 * runs it. Who asks again before the time is up has more of it: the open command runs again, and the close command after the last
 * of them, once for each, so that a rule that was added twice is deleted twice.
 */
export class Cycles {
  readonly #parts: CyclesParts;
  readonly #pending = new Map<string, Pending>();
  /** The end of what runs for a close command, or waits to: one after the other. */
  readonly #lanes = new Map<string, Promise<void>>();
  readonly #closing = new Set<string>();
  /** Rounds whose close commands are being written down. */
  readonly #beginning = new Set<Promise<unknown>>();
  /** All that has not ended. */
  readonly #work = new Set<Promise<void>>();
  #opening = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: CyclesParts) {
    this.#parts = parts;
  }

  /** Whom the close commands are for that are still to be run. */
  origins(): readonly CommandOrigin[] {
    return [...this.#pending.values()].map(({ origin }) => origin);
  }

  /** Takes over what the last daemon left, and runs what is due. @throws the system's error if the journal cannot be read. */
  async start(): Promise<void> {
    const { journal, news, limitMs, now, wallNow } = this.#parts;
    const { pending, damaged } = await journal.read();
    for (const path of damaged) {
      news.trouble(
        `${path}: this is no close command as we wrote it, and is not run; look at it, and remove it`,
      );
    }
    for (const close of pending) {
      const leftMs = Math.min(close.seconds * 1000, close.dueAt - wallNow());
      const dueAtSteady = now() + Math.max(0, leftMs);
      const ageMs = wallNow() - (close.dueAt - close.seconds * 1000);
      const openEnds = now() + limitMs() - Math.max(0, ageMs);
      const againAtSteady = openEnds > dueAtSteady ? openEnds : null;
      this.#pending.set(close.id, { ...close, dueAtSteady, againAtSteady });
    }
    this.#runDue();
  }

  /**
   * Begins a round: resolves when its close command is in the journal and its open command runs. `busy`: too many do, or wait.
   * @throws JournalError and then nothing runs.
   */
  begin(round: CycleRound): Promise<'begun' | 'busy'> {
    if (this.#opening >= MAX_OPENING || this.#pending.size >= MAX_PENDING) return Promise.resolve('busy');
    this.#opening += 1;
    const beginning = this.#begin(round);
    this.#beginning.add(beginning);
    return beginning.finally(() => this.#beginning.delete(beginning));
  }

  /**
   * Runs the close commands of those who are meant now, also of those whose round is being written down. Resolves to how many they
   * are when they have begun.
   */
  async revoke(which: GrantSelector): Promise<number> {
    await Promise.allSettled(this.#beginning);
    return this.#hasten(({ origin }) => isMeant(which, origin));
  }

  /** Ends: what runs is waited for. With `runPending` all close commands run now; otherwise the next daemon runs them. */
  async close({ runPending }: { readonly runPending: boolean }): Promise<void> {
    if (runPending) this.#hasten(() => true);
    while (this.#work.size > 0) await Promise.all(this.#work);
    clearTimeout(this.#timer);
  }

  #begin(round: CycleRound): Promise<'begun'> {
    const { close } = round;
    return new Promise((resolve, reject) => {
      const work = async (id: string | null): Promise<void> => {
        try {
          if (close !== null && id !== null) await this.#keep(id, close, round);
        } catch (error) {
          this.#opening -= 1;
          return reject(new JournalError((error as Error).message));
        }
        resolve('begun');
        await this.#open(round, id);
        this.#opening -= 1;
      };
      if (close === null) return this.#track(work(null));
      const id = createHash('sha256').update(JSON.stringify(close)).digest('hex');
      this.#inLane(id, () => work(id));
    });
  }

  #hasten(isDue: (close: PendingClose) => boolean): number {
    const due = [...this.#pending.values()].filter(isDue);
    for (const close of due) this.#pending.set(close.id, { ...close, dueAtSteady: this.#parts.now() });
    this.#runDue();
    return due.length;
  }

  /** Writes down that `close` is to be run, later than was written before. */
  async #keep(id: string, words: readonly string[], { seconds, origin }: CycleRound): Promise<void> {
    const { journal, now, wallNow } = this.#parts;
    const before = this.#pending.get(id);
    const leftMs = Math.max(seconds * 1000, (before?.dueAtSteady ?? 0) - now());
    const close: PendingClose = {
      id,
      words,
      dueAt: Math.ceil(wallNow() + leftMs),
      seconds: Math.ceil(leftMs / 1000),
      opens: (before?.opens ?? 0) + 1,
      origin,
    };
    await journal.write(close);
    this.#pending.set(id, { ...close, dueAtSteady: now() + leftMs, againAtSteady: null });
    this.#runDue();
  }

  async #open({ open, origin }: CycleRound, id: string | null): Promise<void> {
    const { run, news } = this.#parts;
    const ending = await run(open);
    news.ended(origin, open, ending);
    // It may have done half of its work, unless it did none.
    if (ending.kind === 'not-started' && id !== null && this.#pending.get(id)?.opens === 1)
      await this.#forget(id);
  }

  /** Runs what is due, and sets the timer for what is not. */
  #runDue(): void {
    const { now } = this.#parts;
    clearTimeout(this.#timer);
    let nextAt = Number.POSITIVE_INFINITY;
    for (const [id, { dueAtSteady }] of this.#pending) {
      if (this.#closing.has(id)) continue;
      if (dueAtSteady > now()) nextAt = Math.min(nextAt, dueAtSteady);
      else if (this.#closing.size < MAX_CLOSING) this.#startClosing(id);
    }
    if (nextAt === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#runDue(), Math.min(nextAt - now(), LONGEST_TIMER_MS)).unref();
  }

  #startClosing(id: string): void {
    this.#closing.add(id);
    this.#inLane(id, async () => {
      await this.#close(id);
      this.#closing.delete(id);
      this.#runDue();
    });
  }

  async #close(id: string): Promise<void> {
    const { run, news, now } = this.#parts;
    const close = this.#pending.get(id);
    // While this waited for its turn somebody may have asked for more time.
    if (close === undefined || close.dueAtSteady > now()) return;
    news.closing(close.origin, close.words);
    for (let runs = 1; runs <= Math.min(close.opens, MAX_CLOSES); runs++) {
      const ending = await run(close.words);
      const isDone = ending.kind === 'ended' && ending.status === 0;
      // After the first time there may be nothing left to close.
      if (isDone || runs === 1 || ending.kind !== 'ended') news.ended(close.origin, close.words, ending);
      if (ending.kind !== 'ended') {
        news.trouble(`${close.words.join(' ')}: tried again in ${RETRY_MS / 1000} s`);
        const opens = close.opens - runs + 1;
        this.#pending.set(id, { ...close, opens, dueAtSteady: now() + RETRY_MS });
        return;
      }
      if (!isDone) break;
    }
    const { againAtSteady } = close;
    if (againAtSteady === null) return this.#forget(id);
    this.#pending.set(id, { ...close, opens: 1, dueAtSteady: againAtSteady, againAtSteady: null });
  }

  async #forget(id: string): Promise<void> {
    this.#pending.delete(id);
    try {
      await this.#parts.journal.remove(id);
    } catch (error) {
      this.#parts.news.trouble(
        `a close command will be run once more at the next start: ${(error as Error).message}`,
      );
    }
  }

  #inLane(id: string, work: () => Promise<void>): void {
    const lane = (this.#lanes.get(id) ?? Promise.resolve()).then(work);
    this.#lanes.set(id, lane);
    this.#track(
      lane.finally(() => {
        if (this.#lanes.get(id) === lane) this.#lanes.delete(id);
      }),
    );
  }

  #track(work: Promise<void>): void {
    this.#work.add(work);
    void work.finally(() => this.#work.delete(work));
  }
}
