import { addressBits, type IpAddress, ipFamily } from 'spa-core';
import { createFairQueue, type FairQueue } from './fair-queue.ts';
import { type Budget, createTokenBuckets, type TokenBuckets } from './token-buckets.ts';
import { DATAGRAMS_PER_READ } from './udp-limits.ts';

/** Who comes first: a lower lane waits while there is anything in a higher one. */
export type Lane = 0 | 1 | 2;

/** Work that somebody asks for by sending a packet. */
export interface Work {
  readonly source: IpAddress;
  readonly lane: Lane;
  /** Does it; resolves when the next may be done. */
  run(): Promise<void>;
  /** Called instead of `run` if there is no room for it. */
  dropped(reason: DropReason): void;
}

/** `budget`: its source has used up what it may ask for; `overload`: too many wait. */
export type DropReason = 'budget' | 'overload';

/** A gate that lets work through one at a time. */
export interface Turnstile {
  /** Takes work, which may drop it or other work at once. */
  offer(work: Work): void;
  /** The work was for a message that nobody had before: it costs its source nothing, whose packets come first from now on. */
  proved(work: Work): void;
  /** What waits. */
  readonly waiting: number;
  /** Resolves when nothing waits and nothing runs: what waits is done or, if that takes too long, dropped. */
  close(): Promise<void>;
}

/** What a turnstile needs to know of the world. */
export interface TurnstileHost {
  /** Milliseconds, never going back. */
  now(): number;
  /** Datagrams that have been received since the start: how the turnstile sees that the socket is full. */
  arrived(): number;
}

/** What a source (IPv4: an address, IPv6: a network of 64 bits) may waste in each lane. */
const BUDGETS: Readonly<Record<Lane, Budget>> = {
  0: { burst: 1024, perSecond: 100 },
  1: { burst: 256, perSecond: 10 },
  2: { burst: 64, perSecond: 5 },
};
/** Of so many sources it is remembered what they have wasted. */
const MAX_SOURCES = 4096;
/** What waits in a lane. Strangers' packets are many in a flood, and what waits for long has to be moved in memory. */
const MAX_WAITING: Readonly<Record<Lane, number>> = { 0: 1024, 1: 128, 2: 128 };
/** Sources of authentic packets, which come first. */
const MAX_KNOWN = 4096;
/** How long what waits is still done when the turnstile closes. */
const CLOSING_MS = 2_000;
/** While the socket is full, work gets one part of the time in so many: a datagram that the kernel drops is lost for good. */
const SHARES = 3;
/** How long work goes on before the socket is read again: what is done in one turn shares a claim and a change of the firewall. */
const SLICE_MS = 3;

/**
 * A turnstile. Work is done between turns of the event loop, a few milliseconds of it, so that the socket is read meanwhile;
 * fairly between sources, so that one that floods delays nobody but itself; and within bounds, so that it fills no memory.
 */
export function createTurnstile(host: TurnstileHost): Turnstile {
  return new RunningTurnstile(host);
}

class RunningTurnstile implements Turnstile {
  readonly #host: TurnstileHost;
  readonly #lanes: readonly [FairQueue<Work>, FairQueue<Work>, FairQueue<Work>] = [
    createFairQueue(),
    createFairQueue(),
    createFairQueue(),
  ];
  readonly #budgets: Readonly<Record<Lane, TokenBuckets>>;
  readonly #known = new Set<string>();
  /** From which of its source's budgets each piece of work was paid. */
  readonly #paidIn = new WeakMap<Work, Lane>();
  #isTurning = false;
  #closeBy = Number.POSITIVE_INFINITY;
  #arrived = 0;
  /** Before this time there is no work while the socket is full. */
  #restUntil = 0;
  #onIdle: (() => void) | null = null;

  constructor(host: TurnstileHost) {
    this.#host = host;
    const buckets = (lane: Lane): TokenBuckets =>
      createTokenBuckets(BUDGETS[lane], MAX_SOURCES, () => host.now());
    this.#budgets = { 0: buckets(0), 1: buckets(1), 2: buckets(2) };
  }

  get waiting(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.size, 0);
  }

  offer(work: Work): void {
    const refusal = this.#take(work);
    if (refusal !== null) work.dropped(refusal);
  }

  /** Puts the work where it waits; or why it does not. */
  #take(work: Work): DropReason | null {
    if (this.#closeBy !== Number.POSITIVE_INFINITY) return 'overload';
    const source = sourceOf(work.source);
    const lane = this.#known.has(source) ? 0 : work.lane;
    if (!this.#budgets[lane].take(source)) return 'budget';
    const queue = this.#lanes[lane];
    if (queue.size >= MAX_WAITING[lane]) queue.evict()?.dropped('overload');
    this.#paidIn.set(work, lane);
    queue.add(source, work);
    this.#turnSoon();
    return null;
  }

  proved(work: Work): void {
    const source = sourceOf(work.source);
    const lane = this.#paidIn.get(work);
    if (lane !== undefined) this.#budgets[lane].give(source);
    this.#remember(source);
  }

  close(): Promise<void> {
    this.#closeBy = this.#host.now() + CLOSING_MS;
    return new Promise((resolve) => {
      if (this.#isTurning) this.#onIdle = resolve;
      else resolve();
    });
  }

  #turnSoon(): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    this.#arrived = this.#host.arrived();
    setImmediate(() => void this.#turn());
  }

  async #turn(): Promise<void> {
    if (!this.#mustRest()) {
      const begun = this.#host.now();
      let ended = begun;
      while (ended - begun < SLICE_MS) {
        const work = this.#next();
        if (work === null) return this.#stopTurning();
        await work.run();
        ended = this.#host.now();
      }
      this.#restUntil = ended + (ended - begun) * (SHARES - 1);
    }
    setImmediate(() => void this.#turn());
  }

  #next(): Work | null {
    const work = this.#lanes[0].next() ?? this.#lanes[1].next() ?? this.#lanes[2].next();
    if (work === null || this.#host.now() < this.#closeBy) return work;
    work.dropped('overload');
    return this.#next();
  }

  #mustRest(): boolean {
    const arrived = this.#host.arrived();
    // A read that brings all it may has left more behind.
    const isFull = arrived - this.#arrived >= DATAGRAMS_PER_READ;
    this.#arrived = arrived;
    return isFull && this.#host.now() < this.#restUntil;
  }

  #remember(source: string): void {
    this.#known.delete(source);
    this.#known.add(source);
    if (this.#known.size <= MAX_KNOWN) return;
    for (const oldest of this.#known) {
      this.#known.delete(oldest);
      return;
    }
  }

  #stopTurning(): void {
    this.#isTurning = false;
    this.#onIdle?.();
  }
}

/** Who counts as one source: who owns an IPv6 address owns its network of 64 bits. */
export function sourceOf(address: IpAddress): string {
  return ipFamily(address) === 4 ? address : `${(addressBits(address) >> 64n).toString(16)}/64`;
}
