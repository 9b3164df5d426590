import type { IpAddress } from 'spa-core';
import type { Ending } from '../commands/execute.ts';
import type { Account } from '../decision/commands.ts';
import type { DenyReason, IgnoreCode } from '../decision/verdict.ts';
import type { FirewallCounter } from '../firewall/firewall.ts';
import type { Forward } from '../firewall/forward.ts';
import type { Claim } from '../replay/replay-store.ts';
import type { DropReason } from '../transport/turnstile.ts';

/** How much a line matters, least first. */
export const LEVELS = ['debug', 'info', 'warning', 'error'] as const;

/** One of {@link LEVELS}. */
export type Level = (typeof LEVELS)[number];

/**
 * What the daemon tells: one event for each thing that happens, of plain data and without secrets. As text it has the lines
 * of `text.ts`, with `LOG_FORMAT json` it is one object. A field that is null is not known, or there is none.
 */
export type LogEvent =
  | { readonly event: 'starting'; readonly version: string; readonly pid: number }
  | { readonly event: 'receiving'; readonly by: Reception }
  | {
      readonly event: 'ready';
      readonly places: readonly string[];
      readonly firewall: string;
      readonly stanzas: number;
    }
  | { readonly event: 'signal'; readonly signal: 'SIGHUP' | 'SIGTERM' | 'SIGINT' }
  | { readonly event: 'reloaded' }
  | { readonly event: 'reload-failed'; readonly problem: string }
  | { readonly event: 'failed-to-serve'; readonly problem: string }
  | { readonly event: 'stopped' }
  /** Somebody should know about the configuration: a weak variant, a line without effect. */
  | { readonly event: 'configuration-warning'; readonly text: string }
  | (Asked & {
      readonly event: 'granted';
      readonly address: IpAddress;
      readonly ports: readonly string[];
      readonly timeoutSeconds: number;
      /** Seconds since epoch. */
      readonly expiresAtSeconds: number;
      /** The only address of this host where the doors are; null: all of them. */
      readonly destination: IpAddress | null;
      /** Null: the doors are this host's own ports. */
      readonly forward: Forward | null;
    })
  /** The time of a grant is over, and the kernel has taken its doors away. */
  | {
      readonly event: 'ended';
      readonly packet: string;
      readonly address: IpAddress;
      readonly ports: readonly string[];
      readonly username: string | null;
      readonly fingerprint: string | null;
      readonly expiresAtSeconds: number;
      readonly forward: Forward | null;
    }
  | (Asked & {
      readonly event: 'denied';
      readonly reason: DenyReason | 'revoked' | 'commands-busy';
      /** What `REQUIRE_USERNAME` says, if that is the reason. */
      readonly requiredUsername: string | null;
    })
  /** Positive: so many seconds too old; negative: made so many ahead. */
  | (Asked & { readonly event: 'outdated'; readonly differenceSeconds: number })
  | (Asked & { readonly event: 'not-claimed'; readonly reason: Exclude<Claim, 'claimed'> })
  /** Permitted, and not done: the firewall or the replay store failed. */
  | (Asked & { readonly event: 'failed'; readonly problem: string })
  | {
      readonly event: 'ignored';
      readonly source: IpAddress;
      readonly stanza: number | null;
      readonly code: IgnoreCode | DropReason;
      readonly detail: string;
    }
  /** Packets that had no event of their own, by what they were. */
  | {
      readonly event: 'summary';
      readonly what: 'ignored' | 'denied';
      readonly packets: Readonly<Record<string, number>>;
    }
  | {
      readonly event: 'dropped-by-kernel';
      readonly packets: Readonly<Partial<Record<'receive-buffer' | FirewallCounter['reason'], number>>>;
    }
  /** Grants were taken back: `--revoke`, `--fw-flush`, or a configuration that lets somebody in no more. */
  | {
      readonly event: 'revoked';
      /** Whose: `operator=…`, `address=…`. */
      readonly of: string;
      /** How many. */
      readonly grants: number;
      readonly closed: SeveralDoors;
      /** Doors that others hold open still. */
      readonly kept: SeveralDoors;
    }
  /** Connections were ended. `problem` says why some may live on. */
  | { readonly event: 'cut'; readonly connections: number; readonly problem: string | null }
  /** `ENABLE_CMD_EXEC`: the command of a message is run. */
  | (Asked & {
      readonly event: 'command-started';
      readonly command: string;
      /** The words that are run, sudo's among them. */
      readonly runs: string;
      /** Null: with the daemon's rights. */
      readonly account: Account | null;
    })
  | (PacketOf & { readonly event: 'command-ended'; readonly ending: Ending })
  /** `CMD_CYCLE_OPEN` is run. `closesAfterSeconds` null: `CMD_CYCLE_CLOSE NONE`. */
  | (Asked & {
      readonly event: 'cycle-opening';
      readonly command: string;
      readonly closeCommand: string | null;
      readonly closesAfterSeconds: number | null;
    })
  /** `CMD_CYCLE_CLOSE` is run, in its time or after a restart. */
  | (PacketOf & { readonly event: 'cycle-closing'; readonly command: string })
  /** One of the cycle's commands has ended. */
  | (PacketOf & { readonly event: 'cycle-ended'; readonly command: string; readonly ending: Ending })
  /** Anything else, in words. */
  | { readonly event: 'note'; readonly level: Level; readonly text: string };

/** An authentic packet, for what happens later because of it. */
export interface PacketOf {
  /** Where the packet came from. */
  readonly source: IpAddress;
  /** Number of the stanza that opened it. */
  readonly stanza: number;
  /** Hex of the message's identity; the log and `--revoke` go by the first 16 digits. */
  readonly packet: string;
}

/** Who sent an authentic packet, and what it asks for. */
export interface Asked extends PacketOf {
  /** What the packet calls its sender. */
  readonly username: string;
  /** What the roster calls him. */
  readonly operator: string | null;
  /** Of the key that signed it. */
  readonly fingerprint: string | null;
  /** `tcp/22,udp/53 for 192.0.2.7`. */
  readonly request: string;
}

/** How many doors, and the first of them: `tcp/22 for 192.0.2.7`. */
export interface SeveralDoors {
  readonly count: number;
  readonly first: readonly string[];
}

/** By what packets reach the daemon. */
export type Reception =
  | { readonly kind: 'udp' | 'tcp'; readonly port: number }
  | { readonly kind: 'capture'; readonly interface: string; readonly filter: string }
  | { readonly kind: 'file'; readonly path: string };
