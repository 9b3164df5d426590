import { type BastionRoster, type EnrolledKey, type EnrolledOperator, formatProtoPorts } from 'spa-core';
import { ConfigError, type ConfigPlace } from 'spa-host';
import type { StanzaText } from '../config/access-config.ts';
import { type SignerTerms, termsOf } from '../decision/signers.ts';
import type { Stanza } from '../decision/stanza.ts';

/** Operators whom a line names. */
const NAMES_IN_A_LINE = 5;

/**
 * The stanzas as the roster narrows them: whoever is not on it gets nothing, and nobody more than it gives him. A stanza gives no
 * more than it did before.
 * @throws ConfigError if the roster is not for the bastion whose keys the stanzas have.
 */
export function enrol(
  stanzas: readonly Stanza[],
  roster: BastionRoster,
  place: ConfigPlace,
  warn: (line: string) => void,
): readonly Stanza[] {
  mustBeForUs(stanzas, roster, place);
  const entries = new Map(
    roster.operators.flatMap((operator) =>
      operator.keys.map((key) => [String(key.fingerprint), { operator, key }] as const),
    ),
  );
  const enrolled = stanzas.map((stanza) => ({ ...stanza, signers: signersOf(stanza, entries) }));
  warnOfMissing(enrolled, roster, warn);
  return enrolled;
}

/** With a roster everybody has to say who he is. @throws ConfigError for the first stanza that lets in who does not */
export function mustAllSign(stanzas: readonly StanzaText[]): void {
  for (const { source, symmetric, openpgp } of stanzas) {
    if (symmetric === null && openpgp?.requireSignature !== false) continue;
    const keyword = symmetric === null ? 'GPG_DISABLE_SIG' : 'KEY';
    throw new ConfigError(
      source,
      `${keyword} lets in who does not sign, and SPA_ROSTER says who may come in by name; remove ${keyword} from this stanza`,
    );
  }
}

/** An operator and one of his keys. */
interface Entry {
  readonly operator: EnrolledOperator;
  readonly key: EnrolledKey;
}

function signersOf(stanza: Stanza, entries: ReadonlyMap<string, Entry>): ReadonlyMap<string, SignerTerms> {
  const certificates = stanza.keys.flatMap((keys) => (keys.kind === 'openpgp' ? keys.certificates : []));
  return new Map(
    certificates.flatMap(({ fingerprint }) => {
      const entry = entries.get(fingerprint);
      return entry === undefined ? [] : [[fingerprint, narrowed(termsOf(stanza, fingerprint), entry)]];
    }),
  );
}

function narrowed(terms: SignerTerms, { operator, key }: Entry): SignerTerms {
  return {
    ...terms,
    name: operator.name,
    enrolledUntilSeconds: Math.min(
      operator.notAfterSeconds ?? Number.POSITIVE_INFINITY,
      key.notAfterSeconds ?? Number.POSITIVE_INFINITY,
    ),
    openPorts: operator.ports,
    maxTimeoutSeconds: operator.timeoutSeconds,
  };
}

function mustBeForUs(stanzas: readonly Stanza[], { bastion }: BastionRoster, place: ConfigPlace): void {
  for (const stanza of stanzas) {
    for (const keys of stanza.keys) {
      for (const { fingerprint } of keys.kind === 'openpgp' ? keys.secretKeys : []) {
        if (bastion.fingerprints.includes(fingerprint)) continue;
        throw new ConfigError(
          place,
          `this roster is for "${bastion.name}" with the key ${bastion.fingerprints.join(' or ')}, and the key of ${stanza.place} is ${fingerprint}; push the roster of this bastion`,
        );
      }
    }
  }
}

function warnOfMissing(
  stanzas: readonly Stanza[],
  { operators }: BastionRoster,
  warn: (line: string) => void,
): void {
  const names = new Set(stanzas.flatMap(({ signers }) => [...(signers ?? [])].map(([, { name }]) => name)));
  const missing = operators.filter(({ name }) => !names.has(name));
  if (missing.length === 0) return;
  const named = missing
    .slice(0, NAMES_IN_A_LINE)
    .map(({ name, ports }) => `${name} (${formatProtoPorts(ports)})`);
  const more = missing.length - named.length;
  warn(
    `no stanza lets in ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}, though the roster does; add a stanza with the key`,
  );
}
