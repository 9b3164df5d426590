import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../system/log.ts';
import { isKnownLinkType, readFrame } from './frame.ts';
import type { Payload } from './payload.ts';
import type { Frame } from './pcap-stream.ts';
import { type CaptureRange, startTcpdump, type Tcpdump, TcpdumpError } from './tcpdump.ts';

/** What is read off the wire. */
export interface Capture {
  /** Payloads that were captured since the start, whatever they are. */
  received(): number;
  /** Frames that the kernel has thrown away instead, as far as it has told. */
  lost(): number;
  /** Resolves, never before {@link Capture.close}, unless the interface is gone and that is to be the end: to why. */
  readonly ended: Promise<string>;
  /** Stops capturing. */
  close(): Promise<void>;
}

/** How to capture. */
export interface CaptureOptions {
  readonly range: CaptureRange & { readonly interface: string };
  /** What becomes of an interface that is not there, or not any more: `EXIT_AT_INTF_DOWN`. */
  readonly whenDown: WhenDown;
  /** Segments to this TCP port are somebody else's to read, but the first ones of a connection; null: none are. */
  readonly heardTcpPort: number | null;
  readonly onPayload: (payload: Payload) => void;
  readonly log: Log;
}

/** `exit`: the daemon ends; `wait`: it waits for the interface, also at its start; `wait-later`: not at its start. */
export type WhenDown = 'exit' | 'wait' | 'wait-later';

/**
 * Captures until it is closed: a tcpdump that ends is followed by another one, as soon as there is something to capture at.
 * @throws TcpdumpError if it cannot begin.
 */
export async function startCapture(options: CaptureOptions): Promise<Capture> {
  const capture = new RunningCapture(options);
  await capture.start();
  return capture;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;
/** Who has captured for so long has not failed at once. */
const STEADY_MS = 10_000;
/** How often it is looked whether the interface is up, if that matters, and what was lost. */
const LOOK_MS = 1_000;

class RunningCapture implements Capture {
  readonly ended: Promise<string>;
  readonly #options: CaptureOptions;
  readonly #closing = new AbortController();
  #end: (why: string) => void = () => {};
  #tcpdump: Tcpdump | null = null;
  /** The loop that follows one tcpdump with another. */
  #keeping: Promise<void> = Promise.resolve();
  #looking: NodeJS.Timeout | undefined;
  #received = 0;
  /** By tcpdumps that have ended. */
  #lostBefore = 0;

  constructor(options: CaptureOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  async start(): Promise<void> {
    const { whenDown, range, log } = this.#options;
    let first: Tcpdump | null = null;
    try {
      first = await this.#startTcpdump();
    } catch (error) {
      if (!(error instanceof TcpdumpError) || error.fault !== 'interface' || whenDown !== 'wait') throw error;
      log.warning(`nothing is captured on ${range.interface} yet: ${error.message}; waiting for it`);
    }
    this.#keeping = this.#keep(first);
    this.#looking = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  received(): number {
    return this.#received;
  }

  lost(): number {
    return this.#lostBefore + (this.#tcpdump?.lost() ?? 0);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#looking);
    await this.#tcpdump?.end();
    await this.#keeping;
  }

  async #startTcpdump(): Promise<Tcpdump> {
    const tcpdump = await startTcpdump(this.#options.range, (frame) => this.#receive(frame));
    if (isKnownLinkType(tcpdump.linkType)) return tcpdump;
    await tcpdump.end();
    throw new TcpdumpError('interface', `its frames (LINKTYPE ${tcpdump.linkType}) are not understood`);
  }

  /** Never rejects. */
  async #keep(first: Tcpdump | null): Promise<void> {
    const { range, log, whenDown } = this.#options;
    const { signal } = this.#closing;
    let tcpdump = first;
    let pauseMs = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      if (tcpdump !== null) {
        const startedAt = performance.now();
        this.#tcpdump = tcpdump;
        const why = await tcpdump.ended;
        this.#lostBefore += tcpdump.lost();
        this.#tcpdump = null;
        if (signal.aborted) return;
        if (performance.now() - startedAt > STEADY_MS) pauseMs = FIRST_PAUSE_MS;
        const problem = `capturing on ${range.interface} has ended: ${why}`;
        if (whenDown === 'exit' && isInterfaceGone(why ?? '')) return this.#end(problem);
        log.warning(`${problem}; going on as soon as it can be done`);
      }
      await sleep(pauseMs, null, { signal }).catch(() => {});
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      tcpdump = await this.#tryAgain();
    }
    await tcpdump?.end();
  }

  /** Null: not yet. */
  async #tryAgain(): Promise<Tcpdump | null> {
    const { range, log } = this.#options;
    if (this.#closing.signal.aborted) return null;
    try {
      const tcpdump = await this.#startTcpdump();
      log.info(`capturing on ${range.interface} again`);
      return tcpdump;
    } catch (error) {
      if (!(error instanceof TcpdumpError)) throw error;
      log.debug(`nothing is captured on ${range.interface}: ${error.message}`);
      return null;
    }
  }

  #receive({ linkType, bytes }: Frame): void {
    const segment = readFrame(linkType, bytes);
    if (segment === null) return;
    const { protocol, destinationPort, isSyn, payload, source, destination } = segment;
    // What a connection brings is heard whole where it ends.
    if (protocol === 'tcp' && !isSyn && destinationPort === this.#options.heardTcpPort) return;
    this.#received += 1;
    this.#options.onPayload({ bytes: payload, source, destination });
  }

  #look(): void {
    const { range, whenDown } = this.#options;
    const device = range.interface;
    this.#tcpdump?.askLost();
    if (whenDown === 'exit' && isDown(device)) this.#end(`interface ${device} is down`);
  }
}

function isInterfaceGone(said: string): boolean {
  return /interface (disappeared|went down)|No such device|device is not up/i.test(said);
}

const IFF_UP = 1;

/** False also where the system does not tell, as for `any`. */
function isDown(device: string): boolean {
  try {
    return (Number(readFileSync(`/sys/class/net/${device}/flags`, 'latin1')) & IFF_UP) === 0;
  } catch {
    return false;
  }
}
