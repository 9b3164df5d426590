import type { IpNetwork, OpeningKeys, ProtoPort } from 'spa-core';
import type { SignerTerms } from './signers.ts';

/** One access block: from where, with which keys, for which doors. */
export interface Stanza {
  /** From 1, in the order of the file. */
  readonly number: number;
  /** `access.conf:12`, for the log. */
  readonly place: string;
  readonly sources: 'any' | readonly IpNetwork[];
  /** At least one; a stanza may take AES and OpenPGP. */
  readonly keys: readonly OpeningKeys[];
  /** Null: `OPEN_PORTS` is absent, any port may be asked for. */
  readonly openPorts: readonly ProtoPort[] | null;
  readonly restrictPorts: readonly ProtoPort[];
  readonly accessTimeoutSeconds: number;
  /** Bounds what a client may ask for, and `accessTimeoutSeconds`. */
  readonly maxTimeoutSeconds: number;
  /** The message must name a real address instead of 0.0.0.0. */
  readonly requireSourceAddress: boolean;
  readonly requireUsername: string | null;
  /** By fingerprint what each signer gets, who is not there nothing; null: all signers get the same. */
  readonly signers: ReadonlyMap<string, SignerTerms> | null;
}
