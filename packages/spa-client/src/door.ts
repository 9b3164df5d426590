import type { Socket } from 'node:net';
import { type Doorway, DoorwayTry } from './doorway.ts';
import { SendError } from './send.ts';

/** The doorways of one host, looked up when it is that host's turn. @throws SendError if it has none. */
export type Host<Way extends Doorway> = () => Promise<readonly Way[]>;

/** How a try at one doorway ended. `refused`: somebody answered that the port is closed; `silent`: nobody answered. */
export type DoorState = 'open' | 'refused' | 'silent' | 'unsent';

/** The door is open. */
export interface OpenDoor<Way extends Doorway = Doorway> {
  readonly state: 'open';
  readonly doorway: Way;
  /** The connection that proves it, not read from: whoever gets this uses or destroys it. */
  readonly connection: Socket;
  /** The address here that the connection comes from. */
  readonly localAddress: string;
  /** Packets sent, to all doorways. */
  readonly packets: number;
  /** From the connection's first SYN to its answer. */
  readonly roundTripMs: number;
}

/** No door opened. */
export interface ClosedDoor<Way extends Doorway = Doorway> {
  readonly state: 'refused' | 'silent' | 'unsent';
  /** The first doorway that was tried; null if no host has an address. */
  readonly doorway: Way | null;
  readonly packets: number;
  /** What the system said of lookups and packets that failed, in order. */
  readonly errors: readonly SendError[];
}

/** How long to try what. */
export interface Patience {
  /** From the first packet to giving up. */
  readonly waitMs: number;
  /** How long the port may take to answer before the first packet: an open door needs none. */
  readonly graceMs: number;
}

/** What happens on the way. */
export type DoorEvent =
  | { readonly kind: 'sent'; readonly doorway: Doorway; readonly from: string; readonly characters: number }
  | { readonly kind: 'failed'; readonly error: SendError };

/**
 * Opens a door: at each doorway a packet, then attempts to connect, and a new packet (never the same one) when there is
 * no answer for a while.
 *
 * The doorways of a host start a quarter of a second apart, as RFC 8305 has it, the next host when the earlier ones had
 * their share of `waitMs`; a doorway that cannot be reached at all makes way at once. The first that answers ends all others.
 */
export async function openDoor<Way extends Doorway>(
  hosts: readonly Host<Way>[],
  patience: Patience,
  onEvent: (event: DoorEvent) => void,
): Promise<OpenDoor<Way> | ClosedDoor<Way>> {
  const race = new Race<Way>(patience, onEvent);
  try {
    const hostMs = Math.min(HOST_STAGGER_MS, patience.waitMs / hosts.length);
    for (const host of hosts) {
      for (const doorway of await race.lookUp(host)) {
        if (!race.isOver) race.enter(doorway);
        await race.untilLastHad(Math.min(DOORWAY_STAGGER_MS, hostMs));
      }
      await race.untilLastHad(hostMs);
    }
    await race.untilLastHad(Number.POSITIVE_INFINITY);
    return race.result();
  } finally {
    race.end();
  }
}

/** RFC 8305, section 5: Connection Attempt Delay. */
const DOORWAY_STAGGER_MS = 250;
const HOST_STAGGER_MS = 2_500;

/** Doorways that are tried side by side. It is over when one opens, the time is up, or a fault is met. */
class Race<Way extends Doorway> {
  readonly #patience: Patience;
  readonly #onEvent: (event: DoorEvent) => void;
  readonly #over = new AbortController();
  readonly #tries: { readonly doorway: Way; readonly attempt: DoorwayTry }[] = [];
  readonly #errors: SendError[] = [];
  #timer: NodeJS.Timeout | undefined;
  #open: OpenDoor<Way> | null = null;
  #fault: unknown = null;
  #wake: () => void = () => {};

  constructor(patience: Patience, onEvent: (event: DoorEvent) => void) {
    this.#patience = patience;
    this.#onEvent = onEvent;
    this.#over.signal.addEventListener('abort', () => this.#wake());
  }

  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** The doorways of a host; none if its name is not found, or the race is over before that. */
  lookUp(host: Host<Way>): Promise<readonly Way[]> {
    const over = new Promise<readonly Way[]>((resolve) => {
      this.#over.signal.addEventListener('abort', () => resolve([]));
    });
    return this.isOver ? Promise.resolve([]) : Promise.race([this.#doorways(host), over]);
  }

  enter(doorway: Way): void {
    const attempt = new DoorwayTry(doorway, {
      graceMs: this.#patience.graceMs,
      signal: this.#over.signal,
      onSent: (from, characters) => this.#sent(doorway, from, characters),
      onOpen: (connection, roundTripMs) => this.#opened(doorway, connection, roundTripMs),
    });
    this.#tries.push({ doorway, attempt });
    attempt
      .run()
      .catch((error) => this.#note(error))
      .finally(() => this.#wake());
  }

  /** Waits until the packet to the latest doorway has had `ms`, or there is nothing left to wait for. */
  async untilLastHad(ms: number): Promise<void> {
    while (!this.isOver) {
      const latest = this.#tries.at(-1)?.attempt;
      if (latest === undefined || latest.isDone) {
        if (Number.isFinite(ms) || this.#tries.every(({ attempt }) => attempt.isDone)) return;
      }
      // Before its packet is out, a try may be waiting for a person: no clock runs.
      const sentAt = latest?.firstPacketAt ?? null;
      const leftMs = sentAt === null ? Number.POSITIVE_INFINITY : sentAt + ms - performance.now();
      if (leftMs <= 0) return;
      await this.#change(leftMs);
    }
  }

  /** @throws what no doorway could help, such as a key that cannot be used. */
  result(): OpenDoor<Way> | ClosedDoor<Way> {
    if (this.#fault !== null) throw this.#fault;
    if (this.#open !== null) return this.#open;
    const states = this.#tries.map(({ attempt }) => attempt.state);
    return {
      state: (['refused', 'silent'] as const).find((state) => states.includes(state)) ?? 'unsent',
      doorway: this.#tries[0]?.doorway ?? null,
      packets: this.#packets(),
      errors: this.#errors,
    };
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#over.abort();
  }

  async #doorways(host: Host<Way>): Promise<readonly Way[]> {
    try {
      return await host();
    } catch (error) {
      this.#note(error);
      return [];
    }
  }

  #sent(doorway: Way, from: string, characters: number): void {
    this.#timer ??= setTimeout(() => this.#over.abort(), this.#patience.waitMs);
    this.#onEvent({ kind: 'sent', doorway, from, characters });
    this.#wake();
  }

  #opened(doorway: Way, connection: Socket, roundTripMs: number): void {
    if (this.isOver) {
      connection.destroy();
      return;
    }
    const { localAddress = '' } = connection;
    const packets = this.#packets();
    this.#open = { state: 'open', doorway, connection, localAddress, packets, roundTripMs };
    this.#over.abort();
  }

  #packets(): number {
    return this.#tries.reduce((sum, { attempt }) => sum + attempt.packets, 0);
  }

  /** Resolves when something happens, at the latest after `limitMs`. */
  #change(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = Number.isFinite(limitMs) ? setTimeout(resolve, Math.ceil(limitMs)) : undefined;
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** What the system refuses is one doorway's end; any other error is everybody's. */
  #note(error: unknown): void {
    if (error instanceof SendError) {
      this.#errors.push(error);
      this.#onEvent({ kind: 'failed', error });
    } else {
      this.#fault = error;
      this.#over.abort();
    }
  }
}
