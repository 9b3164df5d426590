import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { findProgram, searchPath } from '../firewall/programs.ts';
import { ownDescriptors } from '../system/own-descriptors.ts';
import { createPcapReader, type Frame } from './pcap-stream.ts';

/** One tcpdump that captures. */
export interface Tcpdump {
  /** LINKTYPE_ of its frames. */
  readonly linkType: number;
  /** Resolves when it has ended, to why in its own words; null: it has read its file to the end. */
  readonly ended: Promise<string | null>;
  /** Frames that the kernel has thrown away because nobody read fast enough, as it has said when it was last asked. */
  lost(): number;
  /** Has it say so anew, in a moment; ends it if it has not answered for long. */
  askLost(): void;
  /** Ends it; resolves when it has ended. */
  end(): Promise<void>;
}

/** What to capture. */
export interface CaptureRange {
  /** An interface of the host, or `any`; null: what `file` holds. */
  readonly interface: string | null;
  /** pcap-filter(7). */
  readonly filter: string;
  /** Frames that are not for this host too. */
  readonly promiscuous: boolean;
  /** Frames that this host sends too. */
  readonly anyDirection: boolean;
}

/** tcpdump did not start to capture. The message is what it said, in one line. */
export class TcpdumpError extends Error {
  override readonly name = 'TcpdumpError';
  /** Whose fault: there is no such program, no such interface, no permission, or it is the filter. */
  readonly fault: 'program' | 'interface' | 'permission' | 'filter';

  constructor(fault: TcpdumpError['fault'], said: string) {
    super(said);
    this.fault = fault;
  }
}

/**
 * Starts a tcpdump, which gives up root as soon as it can capture; resolves when it captures. Filter and names are
 * arguments: there is no shell.
 * @throws TcpdumpError
 */
export async function startTcpdump(
  range: CaptureRange,
  onFrame: (frame: Frame) => void,
  file?: Readable,
): Promise<Tcpdump> {
  const child = await spawnTcpdump(range, file !== undefined);
  const words = listen(child);
  const reader = createPcapReader(onFrame);
  let unanswered = 0;
  child.stderr?.on('data', () => {
    unanswered = 0;
  });
  const ending = endingOf(child, () => words.said(), file !== undefined);
  const hasHead = new Promise<void>((resolve) => {
    child.stdout?.on('data', (piece: Buffer) => {
      const fault = reader.push(piece);
      if (fault !== null) ending.force(`its output is no capture (${fault})`);
      if (reader.linkType !== null) resolve();
    });
  });
  if (file !== undefined) feed(child, file);
  const timer = setTimeout(
    () => ending.force(`it has not begun within ${TIME_LIMIT_MS / 1000} s`),
    TIME_LIMIT_MS,
  );
  const begun = Promise.all([hasHead, words.started]).then(() => reader.linkType);
  // A file may have been read to its end already.
  const over = ending.ended.then((why) => (why === null ? reader.linkType : null));
  const linkType = await Promise.race([begun, over]);
  clearTimeout(timer);
  if (linkType === null) throw startError(range, (await ending.ended) ?? 'it has captured nothing');
  return {
    linkType,
    ended: ending.ended,
    lost: words.lost,
    askLost: () => {
      if (file !== undefined) return;
      if (unanswered === MAX_UNANSWERED) return ending.force(`it has not answered ${unanswered} times`);
      unanswered += 1;
      child.kill('SIGUSR1');
    },
    end: ending.end,
  };
}

/** True if there is one to start. */
export function hasTcpdump(): boolean {
  return findProgram('tcpdump') !== null;
}

/** What is wrong with a filter, in tcpdump's words; null: nothing, or there is no tcpdump to ask. Captures nothing. */
export function filterProblem(filter: string): string | null {
  const program = findProgram('tcpdump');
  if (program === null) return null;
  const { status, stderr } = spawnSync(program, ['-d', '-y', 'EN10MB', '--', filter], {
    encoding: 'utf8',
    env: ENVIRONMENT,
    timeout: TIME_LIMIT_MS,
  });
  return status === 1 ? tellingLines(stderr) : null;
}

/** It begins within milliseconds, unless the machine has other things to do. */
const TIME_LIMIT_MS = 10_000;
/** One that was stopped, or hangs, captures nothing, and does not end. */
const MAX_UNANSWERED = 10;
const ENVIRONMENT: NodeJS.ProcessEnv = { LC_ALL: 'C', PATH: searchPath().join(':') };
/** A process that was killed takes no longer. */
const LEAVE_WITHIN_MS = 1_000;
/** All of a packet with all heads that it can have. */
const SNAP_BYTES = 2_048;
/** Frames that wait in the kernel while the daemon is busy, in kibibytes. */
const BUFFER_KIB = 8_192;
/** Who needs no permission but to exist: tcpdump's own user, or everybody's. */
const UNPRIVILEGED = ['tcpdump', 'nobody'] as const;

async function spawnTcpdump(range: CaptureRange, readsFile: boolean): Promise<ChildProcess> {
  const child = spawn(mustFind(), argumentsFor(range), {
    stdio: ownDescriptors([readsFile ? 'pipe' : 'ignore', 'pipe', 'pipe']),
    env: ENVIRONMENT,
  });
  if (child.pid === undefined) {
    const [error] = await once(child, 'error');
    throw new TcpdumpError('program', `tcpdump cannot be started: ${(error as Error).message}`);
  }
  // Whoever lacks CAP_KILL cannot end a process that is not root's any more.
  child.on('error', () => {});
  return child;
}

/** The end of a tcpdump. */
interface Ending {
  /** As {@link Tcpdump.ended}. */
  readonly ended: Promise<string | null>;
  /** Kills it: `why` is why it has ended. */
  force(why: string): void;
  /** As {@link Tcpdump.end}. */
  end(): Promise<void>;
}

function endingOf(child: ChildProcess, said: () => string, readsFile: boolean): Ending {
  let forced: string | null = null;
  let settle = (_why: string | null): void => {};
  const ended = new Promise<string | null>((resolve) => {
    settle = resolve;
  });
  child.once('close', (status, signal) => {
    if (forced === null && status === 0 && readsFile) return settle(null);
    settle(forced ?? (said() || (signal === null ? `it ended with status ${status}` : `signal ${signal}`)));
  });
  return {
    ended,
    force: (why) => {
      forced ??= why;
      child.kill('SIGKILL');
    },
    end: async () => {
      child.kill('SIGKILL');
      // It ends at the next frame otherwise: nobody reads it.
      for (const stream of [child.stdout, child.stderr]) stream?.destroy();
      const patience = setTimeout(() => settle('it does not end'), LEAVE_WITHIN_MS);
      await ended;
      clearTimeout(patience);
      child.unref();
    },
  };
}

function feed({ stdin }: ChildProcess, file: Readable): void {
  if (stdin === null) return;
  // It may stop reading before the file ends; why, it says itself.
  stdin.on('error', () => {});
  file.on('error', (error) => stdin.destroy(error));
  file.pipe(stdin);
}

function mustFind(): string {
  const program = findProgram('tcpdump');
  if (program !== null) return program;
  throw new TcpdumpError('program', 'tcpdump is not installed');
}

function argumentsFor({
  interface: device,
  filter,
  promiscuous,
  anyDirection,
}: CaptureRange): readonly string[] {
  const from =
    device === null
      ? ['-r', '-']
      : [
          ...['-i', device, '--immediate-mode', '-B', String(BUFFER_KIB), '-s', String(SNAP_BYTES)],
          ...['-Q', anyDirection ? 'inout' : 'in'],
          ...(promiscuous ? [] : ['-p']),
        ];
  const user = process.getuid?.() === 0 ? unprivilegedUser() : null;
  return ['-w', '-', '-U', '-n', ...from, ...(user === null ? [] : ['-Z', user]), '--', filter];
}

function unprivilegedUser(): string | null {
  const names = readFileSync('/etc/passwd', 'latin1')
    .split('\n')
    .map((line) => line.split(':')[0]);
  return UNPRIVILEGED.find((user) => names.includes(user)) ?? null;
}

/** What a tcpdump says on standard error: what is wrong, and what the kernel has dropped. */
interface Words {
  said(): string;
  lost(): number;
  /** Resolves when it says that it captures: from then on it knows what to do with signals. */
  readonly started: Promise<void>;
}

function listen(child: ChildProcess): Words {
  let text = '';
  let lost = 0;
  let tellStarted = (): void => {};
  const started = new Promise<void>((resolve) => {
    tellStarted = resolve;
  });
  child.stderr?.setEncoding('latin1').on('data', (piece: string) => {
    text = `${text}${piece}`.slice(-MAX_SAID);
    const drops = [...text.matchAll(/(\d+) packets? dropped by kernel/g)].at(-1)?.[1];
    if (drops !== undefined) lost = Number(drops);
    if (STARTED.test(text)) tellStarted();
  });
  return { said: () => tellingLines(text), lost: () => lost, started };
}

const MAX_SAID = 4_096;
const STARTED = /listening on|reading from/;
const SAYS_NOTHING = /listening on|^data link type|^reading from|packets? (captured|received|dropped)/;

/** In one line. */
function tellingLines(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.replace(/^tcpdump: (pcap_loop: )?/, '').trim())
    .filter((line) => line !== '' && !SAYS_NOTHING.test(line));
  return [...new Set(lines)].join('; ');
}

function startError({ interface: device, filter }: CaptureRange, said: string): TcpdumpError {
  if (/permission|not permitted/i.test(said)) return new TcpdumpError('permission', said);
  if (/^Couldn't|^unknown file format/.test(said)) return new TcpdumpError('program', said);
  const problem = filterProblem(filter);
  if (problem !== null) return new TcpdumpError('filter', problem);
  return new TcpdumpError(device === null ? 'program' : 'interface', said);
}
