import type { IpNetwork, OpeningKeys, ProtoPort } from 'spa-core';
import type { CommandCycle, CommandPolicy } from './commands.ts';
import type { NatPolicy } from './nat.ts';
import type { SignerTerms } from './signers.ts';

/** One access block: from where, with which keys, for which doors. */
export interface Stanza {
  /** From 1, in the order of the file. */
  readonly number: number;
  /** `access.conf:12`, for the log. */
  readonly place: string;
  readonly sources: 'any' | readonly IpNetwork[];
  /** Where a packet has to be sent to. Not `any`: a packet of unknown destination gets nothing. */
  readonly destinations: 'any' | readonly IpNetwork[];
  /** From then on it gives nothing, in seconds since 1970; null: it stays. */
  readonly expiresAtSeconds: number | null;
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
  /** Null: commands of messages are not run. */
  readonly commands: CommandPolicy | null;
  /** Null: doors are opened in the firewall. */
  readonly cycle: CommandCycle | null;
  readonly nat: NatPolicy;
  /** `ENABLE_DESTINATION_RULE`: doors are open only at the address that the packet was sent to, if it is known. */
  readonly doorsAtDestination: boolean;
  /** By fingerprint what each signer gets, who is not there nothing; null: all signers get the same. */
  readonly signers: ReadonlyMap<string, SignerTerms> | null;
}
