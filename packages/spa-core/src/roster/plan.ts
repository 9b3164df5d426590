import type { Certification } from '../certification.ts';
import type { Access } from './access.ts';
import type { Party, PartyKey } from './roster.ts';
import type { KeyHolder, WantedCertification } from './wanted.ts';

/**
 * How it stands with a roster. `keys` and `certifications` have an entry for each key and each certification that the roster
 * asks for, also those that are right; `unwanted` are valid certifications that it does not ask for (any more).
 */
export interface Plan {
  readonly nowSeconds: number;
  readonly access: readonly Access[];
  readonly keys: readonly KeyState[];
  readonly certifications: readonly CertificationStanding[];
  readonly unwanted: readonly UnwantedCertification[];
}

/** How it stands with a party's key. `reason` is one line for people; of `ok` it is empty. */
export interface KeyState extends KeyHolder {
  /** `expiring`: within the roster's `renew` days. `mismatch`: the file holds another key. `stripped`: it lacks a part. */
  readonly state:
    | 'ok'
    | 'missing'
    | 'mismatch'
    | 'expired'
    | 'expiring'
    | 'revoked'
    | 'weak'
    | 'stripped'
    | 'unusable';
  readonly reason: string;
  readonly expiresAtSeconds: number | null;
}

/** Why a key is not fit. */
export type KeyFault = Pick<KeyState, 'state' | 'reason'>;

/** How it stands with a certification that is wanted. */
export interface CertificationStanding extends WantedCertification {
  /** As `CertificationState`, and: `ok`, `missing`, `expiring`, `key` (one of both keys is not fit, see its own entry). */
  readonly state: 'ok' | 'missing' | 'expired' | 'expiring' | 'revoked' | 'weak' | 'key';
  /** The best that is there; null: none. */
  readonly found: Certification | null;
}

/** A certification by one of the roster's keys, of another's key. */
export interface MadeCertification {
  readonly certifier: Party;
  readonly certifierKey: PartyKey;
  readonly subject: KeyHolder;
  readonly certification: Certification;
}

/** One that counts, and that the roster does not ask for. */
export type UnwantedCertification = MadeCertification;
