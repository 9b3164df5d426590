import type { IpAddress, OpenedPacket, SpaErrorCode } from 'spa-core';
import type { Grant } from '../firewall/firewall.ts';
import type { CommandRun, CycleRun } from './commands.ts';
import type { ForwardTerms } from './nat.ts';

/** What the network says of a packet: proof of nothing. */
export interface Arrival {
  /** Who sent it. */
  readonly source: IpAddress;
  /** Where it was sent to; null: whoever received it cannot tell. */
  readonly destination: IpAddress | null;
  /** For whom a proxy says that it sent it (`X-Forwarded-For`); null: it does not say, or is not asked. */
  readonly forwardedFor: IpAddress | null;
}

/** A packet as it arrived. */
export interface Datagram extends Arrival {
  /** Its own only while it is being received; then the memory is used again. */
  readonly packet: Uint8Array;
}

/**
 * Why a packet that proved nothing is passed over. `no-stanza`: no stanza is for its source; `http`: a request of HTTP has no
 * packet in it.
 */
export type IgnoreCode = SpaErrorCode | 'no-stanza' | 'http';

/**
 * Why an authentic packet gets nothing. `stanza-expired`, `destination`: the stanza is not for it (any more). Of its signer: `not-certified` nobody who has to certified his key, `signer-expired` his
 * key or its certification has ended, `not-enrolled` the roster does not name him, or not any more.
 */
export type DenyReason =
  | 'stanza-expired'
  | 'destination'
  | 'not-certified'
  | 'signer-expired'
  | 'not-enrolled'
  | 'user'
  | 'source-required'
  | 'nat-not-allowed'
  | 'nat-target'
  | 'command-not-allowed'
  | 'port-restricted'
  | 'port-not-open'
  | 'port-not-enrolled';

/** An authentic packet, and the stanza whose keys opened it. */
export interface Authentic extends OpenedPacket {
  readonly stanzaNumber: number;
  /** What the roster calls the signer; null: no roster names him. */
  readonly operatorName: string | null;
}

/** What becomes of a packet. */
export type Verdict =
  /** Not authentic: counted, never answered. `detail` is for the operator. */
  | { readonly kind: 'ignore'; readonly code: IgnoreCode; readonly detail: string }
  /** Authentic, but `differenceSeconds` too old (positive) or too far ahead: nothing that could be accepted later. */
  | { readonly kind: 'outdated'; readonly differenceSeconds: number; readonly opened: Authentic }
  /** Authentic, but not permitted. */
  | { readonly kind: 'deny'; readonly reason: DenyReason; readonly opened: Authentic }
  /** Authentic and permitted: doors. */
  | { readonly kind: 'grant'; readonly grant: GrantTerms; readonly opened: Authentic }
  /** Authentic and permitted: the command of the message is run. */
  | { readonly kind: 'run'; readonly run: CommandRun; readonly opened: Authentic }
  /** Authentic and permitted: the commands of the stanza are run instead of doors being opened. */
  | { readonly kind: 'cycle'; readonly cycle: CycleRun; readonly opened: Authentic };

/** A grant whose doors may lead elsewhere, to a host that may be only a name still. */
export interface GrantTerms extends Omit<Grant, 'forward'> {
  /** Null: to this host's own ports. */
  readonly forward: ForwardTerms | null;
  /** They are open only at this address of the host; null: at all of them. */
  readonly destination: IpAddress | null;
}
