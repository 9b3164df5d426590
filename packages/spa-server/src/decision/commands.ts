import type { IpAddress, ProtoPort } from 'spa-core';

/** With whose rights the commands of messages run: `ENABLE_CMD_EXEC`. */
export interface CommandPolicy {
  /** Null: the daemon's own. */
  readonly account: Account | null;
  /** Who sudo makes of it; null: it runs without sudo. */
  readonly sudo: SudoTarget | null;
}

/** A user and a group of this host. */
export interface Account {
  /** `nobody:nogroup`, for the log. */
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** `CMD_SUDO_EXEC_USER`, `CMD_SUDO_EXEC_GROUP`. Null: what sudo does by itself, which is root. */
export interface SudoTarget {
  readonly user: string | null;
  readonly group: string | null;
}

/** A command that a message asks for. */
export interface CommandRun {
  readonly command: string;
  readonly policy: CommandPolicy;
}

/** Commands that a stanza runs instead of opening doors: `CMD_CYCLE_OPEN`. Their words still name variables. */
export interface CommandCycle {
  readonly open: readonly string[];
  /** Null: `NONE`. */
  readonly close: readonly string[] | null;
  /** From the end of one to the other, unless a client asks for another time. */
  readonly timerSeconds: number;
}

/** A round of such commands, and what their variables stand for. */
export interface CycleRun {
  readonly cycle: CommandCycle;
  readonly variables: CycleVariables;
}

/** fwknop's variables: `$IP` and `$SRC`, `$PKT_SRC`, `$DST`, `$PROTO` and `$PORT`, `$TIMEOUT`, `$CLIENT_TIMEOUT`. */
export interface CycleVariables {
  readonly address: IpAddress;
  readonly packetSource: IpAddress;
  readonly packetDestination: IpAddress | null;
  /** The first that was asked for. */
  readonly port: ProtoPort;
  /** Until the close command is due: what the client asked for, or what the stanza gives. */
  readonly timeoutSeconds: number;
  readonly timestampSeconds: number;
}
