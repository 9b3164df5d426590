import {
  accessOf,
  type Bastion,
  type Certification,
  type CertificationStanding,
  type KeyState,
  keysOf,
  type MadeCertification,
  type Operator,
  type Party,
  type Plan,
  parseFingerprint,
  parseProtoPorts,
  type Roster,
  type Topology,
  wantedCertifications,
} from 'spa-core';

/** The time of the pictures here. */
export const NOW: number = Date.UTC(2026, 10, 22, 12) / 1000;
export const DAY = 86_400;

/** What a fleet of a test looks like. */
export interface FleetOptions {
  readonly operators: number;
  readonly bastions: number;
  readonly topology?: Topology;
  /** What the parties are called. */
  readonly nameOf?: (kind: string, index: number) => string;
}

/**
 * A roster as a company has it: regions of four bastions, admins everywhere, people on call in their regions, one who may
 * open a port more, one who left.
 */
export function rosterOf({
  operators,
  bastions,
  topology = 'mutual',
  nameOf = nameFor,
}: FleetOptions): Roster {
  const perRegion = Math.max(4, Math.ceil(bastions / 10));
  const region = (index: number): string => nameOf('region', Math.floor(index / perRegion));
  const regions = [...new Set(Array.from({ length: bastions }, (_, index) => region(index)))];
  return {
    name: nameOf('roster', 0),
    version: 7,
    topology,
    certifications: { isExportable: true, days: 365, renewDays: 30 },
    authority:
      topology === 'mutual'
        ? null
        : { kind: 'authority', name: nameOf('authority', 0), key: keyOf(3, 0), retiring: null },
    operators: Array.from({ length: operators }, (_, index): Operator => {
      const home = regions[index % regions.length] ?? '';
      return {
        kind: 'operator',
        name: nameOf('operator', index),
        fullName: `${nameOf('full', index)}`,
        email: 'somebody@example.org',
        key: keyOf(1, index),
        retiring: index === 3 ? { ...keyOf(4, index), untilSeconds: NOW + 20 * DAY } : null,
        roles: [index % 5 === 0 ? 'admin' : index % 5 === 1 ? 'database' : 'oncall'],
        regions: index % 5 < 2 ? null : [home, regions[(index + 1) % regions.length] ?? home],
        notAfterSeconds: index === 4 ? NOW + 40 * DAY : null,
        revoked:
          index === operators - 1 && index > 3
            ? { atSeconds: NOW - 3 * DAY, reason: nameOf('reason', 0) }
            : null,
      };
    }),
    bastions: Array.from(
      { length: bastions },
      (_, index): Bastion => ({
        kind: 'bastion',
        name: nameOf('bastion', index),
        region: region(index),
        host: 'bastion.example.org',
        sshPort: 22,
        spaPort: 62201,
        key: keyOf(2, index),
        retiring: null,
        hmac: { kind: 'file', file: 'hmac/x' },
        capabilities: ['spa-server'],
      }),
    ),
    groups: new Map(),
    access: [
      { who: ['role:admin'], where: ['everywhere'], ports: ports('tcp/22'), timeoutSeconds: 30 },
      { who: ['role:oncall'], where: ['everywhere'], ports: ports('tcp/22'), timeoutSeconds: 30 },
      {
        who: ['role:database'],
        where: regions.slice(0, 2).map((name) => `region:${name}`),
        ports: ports('tcp/22,tcp/5432'),
        timeoutSeconds: 60,
      },
    ],
  };
}

/** A plan for that roster in which the states come from `states`; as it stands, all is fine. */
export function planOf(
  roster: Roster,
  states: {
    readonly key?: (party: Party, index: number) => Partial<KeyState>;
    readonly certification?: (index: number) => CertificationStanding['state'];
  } = {},
): Plan {
  const parties: readonly Party[] = [
    ...(roster.authority === null ? [] : [roster.authority]),
    ...roster.operators,
    ...roster.bastions,
  ];
  const found = (index: number): Certification => {
    const made = {
      userId: `Somebody <somebody@example.org>`,
      state: 'valid',
      isExportable: true,
      madeAtSeconds: NOW - 40 * DAY - (index % 3) * 3600,
      expiresAtSeconds: NOW + 325 * DAY,
    };
    // The pictures look at nothing of the maker.
    return made as unknown as Certification;
  };
  return {
    nowSeconds: NOW,
    access: accessOf(roster, NOW),
    keys: parties
      .flatMap((party) => keysOf(party, NOW).map((key) => ({ party, key })))
      .map(
        ({ party, key }, index): KeyState => ({
          party,
          key,
          state: 'ok',
          reason: '',
          expiresAtSeconds: NOW + (200 + index * 11) * DAY,
          ...states.key?.(party, index),
        }),
      ),
    certifications: wantedCertifications(roster, NOW).map((wanted, index): CertificationStanding => {
      const state = states.certification?.(index) ?? 'ok';
      return { ...wanted, state, found: state === 'missing' ? null : found(index) };
    }),
    unwanted: [],
  };
}

/** The certifications that such a plan has found. */
export function madeOf(plan: Plan): readonly MadeCertification[] {
  return plan.certifications.flatMap(({ certifier, subject, found }) =>
    found === null
      ? []
      : [{ certifier: certifier.party, certifierKey: certifier.key, subject, certification: found }],
  );
}

function nameFor(kind: string, index: number): string {
  if (kind === 'operator') return PEOPLE[index] ?? `${PEOPLE[index % PEOPLE.length]}${index}`;
  if (kind === 'region') return REGIONS[index] ?? `region-${index}`;
  if (kind === 'bastion') return `bastion-${String(index + 1).padStart(2, '0')}`;
  return NAMES[kind] ?? kind;
}

const NAMES: Readonly<Record<string, string>> = {
  roster: 'example',
  authority: 'Example Org',
  reason: 'left',
};
const REGIONS = [
  'us-east-1',
  'us-west-2',
  'eu-central-1',
  'eu-north-1',
  'ap-south-1',
  'sa-east-1',
  'af-south-1',
];
const PEOPLE =
  'alice bob carol dave erin frank grace heidi ivan judy karl lena mallory niaj olivia peggy quentin rupert sybil trent ursula victor walter xenia yusuf zoe anders birgit chidi dolores'.split(
    ' ',
  );

function keyOf(kind: number, index: number): Operator['key'] {
  const hex = `${kind}${index.toString(16).padStart(5, '0')}`.padEnd(40, 'ABCD5678');
  const fingerprint = parseFingerprint(hex);
  if (fingerprint === null) throw new TypeError(hex);
  return { fingerprint, certificateFile: 'certificates/x.asc' };
}

function ports(text: string): Roster['access'][number]['ports'] {
  const parsed = parseProtoPorts(text);
  if (parsed === null) throw new TypeError(text);
  return parsed;
}
