import type { Fingerprint } from '../openpgp-keys.ts';
import type { ProtoPort } from '../proto-port.ts';

/**
 * Who certifies whom. `mutual`: each bastion the operators that may open it, and each operator those bastions, which is
 * fwknop's way. `authority`: one key of the organisation certifies all.
 */
export type Topology = 'mutual' | 'authority';

/** Everybody and everything that belongs to a fleet, and who may open what. All times are seconds since 1970. */
export interface Roster {
  /** Names the folder of its secrets, too. */
  readonly name: string;
  /** Rises with each signed roster: a bastion refuses one that is older than what it has. From 1. */
  readonly version: number;
  readonly topology: Topology;
  readonly certifications: CertificationPolicy;
  /** Whose key signs the roster, and in the topology `authority` certifies all. Null only in `mutual`: nobody signs it. */
  readonly authority: Authority | null;
  readonly operators: readonly Operator[];
  readonly bastions: readonly Bastion[];
  /** Names of operators, roles (`role:oncall`) or other groups, by the group's name. */
  readonly groups: ReadonlyMap<string, readonly string[]>;
  readonly access: readonly AccessRule[];
}

/** How certifications are made. */
export interface CertificationPolicy {
  /** False: for their makers' own use, like gpg's `--lsign-key`. */
  readonly isExportable: boolean;
  /** Null: as long as the key, or its owner's `not-after`. */
  readonly days: number | null;
  /** How many days before its end a key or a certification is renewed. */
  readonly renewDays: number;
}

/** A key of a party. */
export interface PartyKey {
  readonly fingerprint: Fingerprint;
  /** The certificate's file, relative to the roster's folder. */
  readonly certificateFile: string;
}

/** A key that is on its way out: it still counts until then. */
export interface RetiringKey extends PartyKey {
  readonly untilSeconds: number;
}

/** Somebody or something with a key. */
export type Party = Authority | Operator | Bastion;

/** The organisation's key. */
export interface Authority {
  readonly kind: 'authority';
  readonly name: string;
  readonly key: PartyKey;
  readonly retiring: RetiringKey | null;
}

/** Somebody who goes through bastions. */
export interface Operator {
  readonly kind: 'operator';
  /** Short, as in `alice`: unique among operators and groups. */
  readonly name: string;
  /** For people; null: not said. */
  readonly fullName: string | null;
  readonly email: string | null;
  readonly key: PartyKey;
  readonly retiring: RetiringKey | null;
  readonly roles: readonly string[];
  /** Null: all. Otherwise nothing outside of them, whatever `access` says. */
  readonly regions: readonly string[] | null;
  /** He may open nothing from then on; null: no end. */
  readonly notAfterSeconds: number | null;
  readonly revoked: Revocation | null;
}

/** An operator who is out. He stays in the roster, so that everybody learns of it. */
export interface Revocation {
  readonly atSeconds: number;
  readonly reason: string;
}

/** A host with a door. */
export interface Bastion {
  readonly kind: 'bastion';
  /** Unique among bastions. */
  readonly name: string;
  readonly region: string;
  /** A host name or an address. */
  readonly host: string;
  readonly sshPort: number;
  readonly spaPort: number;
  readonly key: PartyKey;
  readonly retiring: RetiringKey | null;
  readonly hmac: SecretReference;
  readonly capabilities: readonly Capability[];
}

/** What a bastion can. `spa-server`: our daemon runs there, not stock fwknopd. `ipv6`: it has such an address. */
export type Capability = 'spa-server' | 'ipv6';

/** Where a secret is: a file relative to the folder of the secrets, or a variable of the environment. */
export type SecretReference =
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'env'; readonly variable: string };

/** Who may open what where. */
export interface AccessRule {
  /** Operators, groups, `role:NAME`, or `everybody`. */
  readonly who: readonly string[];
  /** Bastions, `region:NAME`, or `everywhere`. */
  readonly where: readonly string[];
  readonly ports: readonly ProtoPort[];
  readonly timeoutSeconds: number;
}
