import type { IpAddress, OpenedPacket, SpaErrorCode } from 'spa-core';
import type { Grant } from '../firewall/firewall.ts';

/** A packet as it arrived. */
export interface Datagram {
  readonly packet: Uint8Array;
  /** Who sent it, as the network says: proof of nothing. */
  readonly source: IpAddress;
}

/** Why a packet that proved nothing is passed over. `no-stanza`: no stanza is for its source. */
export type IgnoreCode = SpaErrorCode | 'no-stanza';

/**
 * Why an authentic packet gets nothing. Of its signer: `not-certified` nobody who has to certified his key, `signer-expired` his
 * key or its certification has ended, `not-enrolled` the roster does not name him, or not any more.
 */
export type DenyReason =
  | 'not-certified'
  | 'signer-expired'
  | 'not-enrolled'
  | 'user'
  | 'source-required'
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
  /** Authentic and permitted. */
  | { readonly kind: 'grant'; readonly grant: Grant; readonly opened: Authentic };
