import { armorCertificates, onlyCertifiedBy, type RawCertificate, type Roster } from 'spa-core';
import { ConfigError } from 'spa-host';
import type { RosterChange } from './change-roster.ts';
import type { RosterValue } from './roster-edit.ts';
import { certificateFile, ROSTER_FILE } from './roster-file.ts';
import { partiesOf } from './roster-folder.ts';

/** Somebody, or a bastion, who is to be entered. */
export interface NewParty {
  readonly kind: 'operator' | 'bastion';
  readonly name: string;
  readonly certificate: RawCertificate;
  /** What the roster says of it besides the fingerprint, in this order. */
  readonly settings: Readonly<Record<string, RosterValue | undefined>>;
}

/**
 * The change that enters parties into a roster. Of what others signed on their keys only the word of the roster's own keys is
 * kept: anybody can load a certificate with signatures.
 * @throws ConfigError if there is one of that name already
 */
export function entryOf(roster: Roster, parties: readonly NewParty[]): RosterChange {
  const known = partiesOf(roster);
  for (const { name } of parties) {
    const there = known.find((party) => party.name === name && party.kind !== 'authority');
    if (there === undefined) continue;
    throw new ConfigError(
      { file: ROSTER_FILE, keyword: `${there.kind}s.${name}` },
      `is there already; spa-keys rotate ${name} gives it a new key`,
    );
  }
  const keyIds = [
    ...known.map(({ key }) => key.fingerprint.slice(-16)),
    ...parties.map(({ certificate }) => certificate.primary.keyId),
  ];
  return {
    edits: parties.map(({ kind, name, certificate, settings }) => ({
      path: [`${kind}s`, name],
      value: withFingerprint(settings, certificate.fingerprint),
    })),
    files: new Map(
      parties.map(({ kind, name, certificate }) => [
        certificateFile(kind, name),
        armorCertificates([onlyCertifiedBy(certificate, keyIds)]),
      ]),
    ),
  };
}

/** Behind what says who it is. */
function withFingerprint(
  { name, email, region, host, ...others }: NewParty['settings'],
  fingerprint: string,
): Readonly<Record<string, RosterValue | undefined>> {
  return { name, email, region, host, fingerprint, ...others };
}
