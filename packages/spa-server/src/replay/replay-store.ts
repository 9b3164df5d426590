import type { MessageId } from 'spa-core';

/** What identifies a message for replay protection. */
export interface ClaimedMessage {
  readonly id: MessageId;
  readonly timestampSeconds: number;
}

/**
 * What a claim came to: `claimed`, the message is burnt now and was not before; `replayed`, it was before;
 * `before-floor`, it is so old that the store no longer knows.
 */
export type Claim = 'claimed' | 'replayed' | 'before-floor';

/**
 * Remembers messages so that none is accepted twice.
 *
 * A store knows every message from its floor on, and none before: a message stamped before the floor is never
 * claimed. The floor only rises: when old messages are forgotten, and to the present when a store starts empty, because
 * it may have been lost.
 */
export interface ReplayStore {
  /** The floor, in seconds since 1970. */
  readonly floorSeconds: number;
  /** The latest stamp of those that it remembers, in seconds since 1970; 0 if there is none. */
  readonly latestSeconds: number;
  /**
   * Burns a message: looks and remembers in one step, so that two claims of one message never both succeed.
   * When it resolves, no crash, of the process or of the host, lets the message be claimed again.
   * @throws ReplayError and then it may be claimed again.
   */
  claim(message: ClaimedMessage): Promise<Claim>;
  /** Forgets the messages stamped before `floorSeconds` and refuses them from now on. @throws ReplayError */
  raiseFloor(floorSeconds: number): Promise<void>;
  close(): Promise<void>;
}

/** A store that survives the host. It also keeps a number that means nothing to it: the mark. */
export interface DurableReplayStore extends ReplayStore {
  /** Seconds since 1970; 0 until it is set. */
  readonly markSeconds: number;
  /** When it resolves, the mark is on the disk. @throws ReplayError */
  setMark(seconds: number): Promise<void>;
  /** Why a claim of this message would fail, without claiming it; null if it would not. @throws ReplayError */
  look(message: ClaimedMessage): Promise<Exclude<Claim, 'claimed'> | null>;
}

/** The store did not do what it was told. One line. */
export class ReplayError extends Error {
  override readonly name = 'ReplayError';
  /** What is wrong with a store that was found damaged; null: it is something else. */
  readonly damage: string | null;

  constructor(message: string, damage: string | null = null) {
    super(message);
    this.damage = damage;
  }
}
