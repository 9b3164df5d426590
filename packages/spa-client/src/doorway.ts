import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { SendError, type Server } from './send.ts';

/** One address that ssh could connect to, and how to ask there for the door. */
export interface Doorway {
  readonly server: Server;
  /** The TCP port that is to open. */
  readonly port: number;
  /** Makes a fresh packet; asking a person or gpg-agent may take its time. */
  readonly seal: () => Promise<string>;
  /** Sends it. Resolves to the local address that it left from. @throws SendError if the system refuses. */
  readonly send: (packet: string) => Promise<string>;
}

/** What a try is told and tells. */
export interface TryOptions {
  readonly graceMs: number;
  readonly signal: AbortSignal;
  readonly onSent: (from: string, characters: number) => void;
  readonly onOpen: (connection: Socket, roundTripMs: number) => void;
}

/** Packets and attempts to connect at one doorway, until a signal. */
export class DoorwayTry {
  readonly doorway: Doorway;
  /** The worst that is known. */
  state: 'refused' | 'silent' | 'unsent' = 'unsent';
  packets = 0;
  firstPacketAt: number | null = null;
  isDone = false;
  readonly #options: TryOptions;
  readonly #attempts = new Set<Socket>();
  /** Where the latest attempt comes from; null: there was no way. */
  #localAddress: string | null = null;
  /** Where the last packet came from; null: nowhere that still exists. */
  #knockedFrom: string | null = null;
  #knockedAt = 0;

  constructor(doorway: Doorway, options: TryOptions) {
    this.doorway = doorway;
    this.#options = options;
  }

  /** Goes on until the signal. @throws SendError if the first packet cannot be sent. */
  async run(): Promise<void> {
    const { signal, graceMs } = this.#options;
    try {
      this.#dial();
      await pause(graceMs, signal);
      // Not before: to make a packet, a person may be asked for a passphrase.
      const packet = signal.aborted ? null : await this.doorway.seal();
      if (signal.aborted || packet === null) return;
      await this.#send(packet);
      for (let patienceMs = FIRST_PACKET_MS; !signal.aborted; patienceMs *= 2) {
        await this.#dialUntil(performance.now() + patienceMs);
        if (!signal.aborted) await this.#sendAgain();
      }
    } finally {
      this.isDone = true;
      for (const socket of this.#attempts) socket.destroy();
    }
  }

  /**
   * A fresh attempt every few milliseconds while the earlier ones go on: the kernel sends a lost SYN again only after a
   * second, and a far host needs longer to answer than the pause between two attempts. Those that are still unanswered
   * when one succeeds are dropped before the server has accepted them.
   */
  async #dialUntil(deadline: number): Promise<void> {
    const { signal } = this.#options;
    for (let pauseMs = FIRST_PAUSE_MS; performance.now() < deadline; pauseMs = nextPause(pauseMs)) {
      await pause(pauseMs, signal);
      if (signal.aborted || this.#hasMoved()) return;
      this.#dial();
    }
  }

  async #send(packet: string): Promise<void> {
    this.#knockedAt = performance.now();
    const from = await this.doorway.send(packet);
    this.#knockedFrom = from;
    this.packets++;
    if (this.state === 'unsent') this.state = 'silent';
    this.firstPacketAt ??= this.#knockedAt;
    this.#options.onSent(from, packet.length);
  }

  /** Between two networks there may be none for a moment. */
  async #sendAgain(): Promise<void> {
    try {
      const packet = await this.doorway.seal();
      if (!this.#options.signal.aborted) await this.#send(packet);
    } catch (error) {
      if (!(error instanceof SendError)) throw error;
      this.#knockedFrom = null;
    }
  }

  /** The network has changed under us: the door, if it is open, is open for somebody else. */
  #hasMoved(): boolean {
    if (this.#localAddress === null || this.#localAddress === this.#knockedFrom) return false;
    return performance.now() - this.#knockedAt > MOVED_PACKET_MS * this.packets;
  }

  #dial(): void {
    const { address, family } = this.doorway.server;
    const startedAt = performance.now();
    // An IPv6 host has several addresses and may take another for each connection; the door is open for one.
    const localAddress = family === 6 ? (this.#knockedFrom ?? undefined) : undefined;
    const socket = createConnection({ host: address, port: this.doorway.port, localAddress });
    // Not a byte of the server's greeting is ours to read: ssh may get this connection.
    socket.pause();
    this.#attempts.add(socket);
    socket.once('connect', () => {
      this.#attempts.delete(socket);
      this.#options.onOpen(socket, performance.now() - startedAt);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#attempts.delete(socket);
      if (error.code === 'ECONNREFUSED' && this.state === 'silent') this.state = 'refused';
      if (error.code === 'EADDRNOTAVAIL') this.#knockedFrom = null;
    });
    dropOldest(this.#attempts);
    // The system chooses it when the attempt begins: in the next tick.
    process.nextTick(() => {
      this.#localAddress = socket.localAddress ?? null;
    });
  }
}

/** A packet may be lost: a fresh one goes when the last has had this long, and twice as long each time. */
const FIRST_PACKET_MS = 500;
/** Even if the network keeps changing: a packet after this time, the next after twice this time, and so on. */
const MOVED_PACKET_MS = 250;
/** The packet needs a moment to get there and be verified. */
const FIRST_PAUSE_MS = 2;
const MAX_PAUSE_MS = 50;
/** With the longest pause: an answer may take three seconds. */
const MAX_ATTEMPTS = 60;

function nextPause(pauseMs: number): number {
  return pauseMs < 10 ? 10 : Math.min(pauseMs * 1.25, MAX_PAUSE_MS);
}

function dropOldest(attempts: Set<Socket>): void {
  const [oldest] = attempts;
  if (oldest === undefined || attempts.size <= MAX_ATTEMPTS) return;
  attempts.delete(oldest);
  oldest.destroy();
}

/** Ends early, without an error, at the signal. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch {
    // Aborted: the caller looks at the signal.
  }
}
