import type { ProtoPort } from 'spa-core';
import type { Stanza } from './stanza.ts';
import type { DenyReason } from './verdict.ts';

/** What a signer gets from a stanza, beyond the rules that are for all of its signers. Infinity: no limit. */
export interface SignerTerms {
  /** What the roster calls him; null: no roster names him. */
  readonly name: string | null;
  /** From then on his key, or its certification, does not count. Since 1970. */
  readonly certifiedUntilSeconds: number;
  /** False: whoever has to certify his key did not, or took it back. */
  readonly isCertified: boolean;
  /** From then on the roster gives him nothing. Since 1970. */
  readonly enrolledUntilSeconds: number;
  /** False: the roster does not name him. */
  readonly isEnrolled: boolean;
  /** Null: whatever the stanza opens. */
  readonly openPorts: readonly ProtoPort[] | null;
  readonly maxTimeoutSeconds: number;
}

/** The terms of who is bound by nothing but the stanza. */
export const UNBOUND: SignerTerms = {
  name: null,
  certifiedUntilSeconds: Number.POSITIVE_INFINITY,
  isCertified: true,
  enrolledUntilSeconds: Number.POSITIVE_INFINITY,
  isEnrolled: true,
  openPorts: null,
  maxTimeoutSeconds: Number.POSITIVE_INFINITY,
};

/** What `signer` gets from `stanza`: null if nobody signed. */
export function termsOf({ signers }: Stanza, signer: string | null): SignerTerms {
  if (signers === null) return UNBOUND;
  return (signer === null ? undefined : signers.get(signer)) ?? STRANGER;
}

/** Why somebody with these terms gets nothing at `nowSeconds`; null: he may get something. */
export function refusalOf(terms: SignerTerms, nowSeconds: number): DenyReason | null {
  if (!terms.isEnrolled || nowSeconds >= terms.enrolledUntilSeconds) return 'not-enrolled';
  if (!terms.isCertified) return 'not-certified';
  return nowSeconds >= terms.certifiedUntilSeconds ? 'signer-expired' : null;
}

/** The fingerprints of those whom some of `stanzas` lets sign, with their terms there. */
export function signersOf(stanzas: readonly Stanza[]): ReadonlyMap<string, readonly SignerTerms[]> {
  const found = new Map<string, SignerTerms[]>();
  for (const stanza of stanzas) {
    for (const keys of stanza.keys) {
      for (const { fingerprint } of keys.kind === 'openpgp' ? keys.certificates : []) {
        const terms = found.get(fingerprint) ?? [];
        terms.push(termsOf(stanza, fingerprint));
        found.set(fingerprint, terms);
      }
    }
  }
  return found;
}

/** True if one of these terms gives something at `nowSeconds`; undefined are those of who is in no stanza. */
export function mayComeIn(terms: readonly SignerTerms[] | undefined, nowSeconds: number): boolean {
  return terms?.some((some) => refusalOf(some, nowSeconds) === null) === true;
}

const STRANGER: SignerTerms = { ...UNBOUND, isEnrolled: false };
