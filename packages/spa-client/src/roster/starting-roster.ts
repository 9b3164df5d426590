import type { Topology } from 'spa-core';
import { SCHEMA_FILE } from './roster-schema.ts';

/** What a roster starts with. */
export interface RosterStart {
  readonly name: string;
  readonly topology: Topology;
  readonly authority: { readonly name: string; readonly fingerprint: string } | null;
}

/** A roster without anybody, which explains itself. */
export function startingRoster({ name, topology, authority }: RosterStart): string {
  const authorityLines =
    authority === null
      ? ''
      : `
# Signs this file (roster.yaml.asc), and in the topology authority certifies all other keys.
authority:
  name: ${JSON.stringify(authority.name)}
  fingerprint: "${authority.fingerprint}"
`;
  return `# yaml-language-server: $schema=${SCHEMA_FILE}
# Who may go through which bastion. spa-keys plan shows what is missing, spa-keys sign makes it.
name: ${name}
# Rises with each change: a bastion refuses a roster that is older than the one it has.
version: 1
# authority: one key certifies all others. mutual: bastions and operators certify each other, as fwknop's manual has it.
topology: ${topology}
certifications:
  exportable: true
  days: 365
  renew: 30
${authorityLines}
# Who goes through bastions, by short name: spa-keys add operator alice
operators: {}

# Where to: spa-keys add bastion us-east-1a
bastions: {}

# Names for several operators, as in
#   admins: [alice, role:oncall]
groups: {}

# Who may open what where. who: operators, groups, role:NAME, everybody. where: bastions, region:NAME, everywhere.
access:
  - who: [everybody]
    where: [everywhere]
    ports: [tcp/22]
    timeout: 30
`;
}
