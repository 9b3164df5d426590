import {
  type AccessRule,
  type Authority,
  type Bastion,
  type Capability,
  type Fingerprint,
  type Operator,
  type PartyKey,
  parseFingerprint,
  parseProtoPort,
  type RetiringKey,
  type Roster,
  type SecretReference,
  type Topology,
} from 'spa-core';
import { ConfigError } from 'spa-host';
import { checkBySchema, formatPath } from './roster-check.ts';
import { checkNames } from './roster-names.ts';
import { ROSTER_SCHEMA } from './roster-schema.ts';
import { type RosterFault, readRosterYaml, type YamlPath } from './roster-yaml.ts';

/** The roster in its folder. */
export const ROSTER_FILE = 'roster.yaml';

/**
 * The roster that a text holds.
 * @param file names it in errors.
 * @throws ConfigError: the first ten faults, one a line, each with its line in the text.
 */
export function parseRoster(file: string, text: string): Roster {
  const { roster, faults } = inspectRoster(text);
  if (roster !== null) return roster;
  throw faultyRoster(file, faults);
}

/** The roster that a text holds; null if there are faults, which are in the order of lines. */
export function inspectRoster(text: string): {
  readonly roster: Roster | null;
  readonly faults: readonly RosterFault[];
} {
  const { value, faults, lineOf } = readRosterYaml(text, ROSTER_SCHEMA);
  if (faults.length > 0) return { roster: null, faults: inOrder(faults) };
  const misfits = checkBySchema(value);
  const source = value as RosterSource;
  const complaints =
    misfits.length > 0
      ? misfits
      : [...first(FAULTS_LOOKED_FOR, checkDates(source)), ...first(FAULTS_LOOKED_FOR, checkNames(source))];
  if (complaints.length > 0) {
    return {
      roster: null,
      faults: inOrder(complaints.map((fault) => ({ ...fault, line: lineOf(fault.path) }))),
    };
  }
  return { roster: rosterOf(source), faults: [] };
}

/** The error that says what is wrong with a roster: the first ten faults. */
function faultyRoster(file: string, faults: readonly RosterFault[]): ConfigError {
  const said = faults.slice(0, MAX_FAULTS).map(({ line, path, problem }) => {
    const keyword = formatPath(path);
    return { place: { file, line, ...(keyword === '' ? {} : { keyword }) }, problem };
  });
  const [first, ...others] = said;
  if (first === undefined) throw new TypeError('a roster without faults');
  const more = faults.length - said.length;
  const rest = [
    ...others.map(({ place, problem }) => new ConfigError(place, problem).message),
    ...(more > 0 ? [`${file}: ${more} more`] : []),
  ];
  return new ConfigError(first.place, [first.problem, ...rest].join('\n'));
}

const MAX_FAULTS = 10;
/** A suggestion for each wrong name of a large file would take for ever. */
const FAULTS_LOOKED_FOR = 50;

function* first<Item>(count: number, items: Iterable<Item>): Generator<Item> {
  let left = count;
  for (const item of items) {
    yield item;
    left -= 1;
    if (left === 0) return;
  }
}

/** The file as data that fits the schema. */
export interface RosterSource {
  readonly name: string;
  readonly version: number;
  readonly topology: Topology;
  readonly certifications?: {
    readonly exportable?: boolean;
    readonly days?: number | null;
    readonly renew?: number;
  };
  readonly authority?: KeySource & { readonly name: string };
  readonly operators?: Readonly<Record<string, OperatorSource>> | null;
  readonly bastions?: Readonly<Record<string, BastionSource>> | null;
  readonly groups?: Readonly<Record<string, readonly string[]>> | null;
  readonly access?: readonly RuleSource[] | null;
}

interface KeySource {
  readonly fingerprint: string;
  readonly certificate?: string;
  readonly retiring?: { readonly fingerprint: string; readonly certificate: string; readonly until: string };
}

interface OperatorSource extends KeySource {
  readonly name?: string;
  readonly email?: string;
  readonly roles?: readonly string[];
  readonly regions?: readonly string[];
  readonly 'not-after'?: string;
  readonly revoked?: { readonly at: string; readonly reason: string };
}

interface BastionSource extends KeySource {
  readonly region: string;
  readonly host: string;
  readonly 'ssh-port'?: number;
  readonly 'spa-port'?: number;
  readonly hmac?: string;
  readonly capabilities?: readonly Capability[];
}

interface RuleSource {
  readonly who: readonly string[];
  readonly where: readonly string[];
  readonly ports?: readonly string[];
  readonly timeout?: number;
}

function inOrder(faults: readonly RosterFault[]): readonly RosterFault[] {
  return [...faults].sort((a, b) => a.line - b.line);
}

function* checkDates({
  authority,
  operators,
  bastions,
}: RosterSource): Generator<{ path: YamlPath; problem: string }> {
  const problem = (text: string): string => `"${text}" is no day of the calendar; write another`;
  const parties: readonly (readonly [YamlPath, KeySource | OperatorSource | undefined])[] = [
    [['authority'], authority],
    ...Object.entries(operators ?? {}).map(([name, one]) => [['operators', name], one] as const),
    ...Object.entries(bastions ?? {}).map(([name, one]) => [['bastions', name], one] as const),
  ];
  for (const [path, party] of parties) {
    if (party === undefined) continue;
    const dates: readonly (readonly [YamlPath, string | undefined])[] = [
      [['retiring', 'until'], party.retiring?.until],
      [['not-after'], 'not-after' in party ? party['not-after'] : undefined],
      [['revoked', 'at'], 'revoked' in party ? party.revoked?.at : undefined],
    ];
    for (const [steps, text] of dates) {
      if (text !== undefined && endOfDate(text) === null)
        yield { path: [...path, ...steps], problem: problem(text) };
    }
  }
}

function rosterOf(source: RosterSource): Roster {
  const { name, version, topology, certifications, authority } = source;
  const days = certifications?.days;
  return {
    name,
    version,
    topology,
    certifications: {
      isExportable: certifications?.exportable ?? true,
      days: days === undefined ? 365 : days,
      renewDays: certifications?.renew ?? 30,
    },
    authority: authority === undefined ? null : authorityOf(authority),
    operators: Object.entries(source.operators ?? {}).map(([name, one]) => operatorOf(name, one)),
    bastions: Object.entries(source.bastions ?? {}).map(([name, one]) => bastionOf(name, one)),
    groups: new Map(Object.entries(source.groups ?? {})),
    access: (source.access ?? []).map(ruleOf),
  };
}

function authorityOf(source: KeySource & { readonly name: string }): Authority {
  return { kind: 'authority', name: source.name, ...keysOf(source, certificateFile('authority', '')) };
}

function operatorOf(name: string, source: OperatorSource): Operator {
  const { revoked } = source;
  const notAfter = source['not-after'];
  return {
    kind: 'operator',
    name,
    fullName: source.name ?? null,
    email: source.email ?? null,
    ...keysOf(source, certificateFile('operator', name)),
    roles: source.roles ?? [],
    regions: source.regions ?? null,
    notAfterSeconds: notAfter === undefined ? null : endOfDate(notAfter),
    revoked:
      revoked === undefined
        ? null
        : { atSeconds: Math.floor(Date.parse(revoked.at) / 1000), reason: revoked.reason },
  };
}

function bastionOf(name: string, source: BastionSource): Bastion {
  return {
    kind: 'bastion',
    name,
    region: source.region,
    host: source.host,
    sshPort: source['ssh-port'] ?? 22,
    spaPort: source['spa-port'] ?? 62_201,
    ...keysOf(source, certificateFile('bastion', name)),
    hmac: referenceOf(source.hmac ?? `file:hmac/${name}`),
    capabilities: source.capabilities ?? [],
  };
}

/** Where a party's certificate is if the roster does not say it: relative to its folder. */
export function certificateFile(kind: 'authority' | 'operator' | 'bastion', name: string): string {
  return kind === 'authority' ? 'certificates/authority.asc' : `certificates/${kind}s/${name}.asc`;
}

function keysOf(
  { fingerprint, certificate, retiring }: KeySource,
  usualFile: string,
): { readonly key: PartyKey; readonly retiring: RetiringKey | null } {
  return {
    key: { fingerprint: fingerprintOf(fingerprint), certificateFile: certificate ?? usualFile },
    retiring:
      retiring === undefined
        ? null
        : {
            fingerprint: fingerprintOf(retiring.fingerprint),
            certificateFile: retiring.certificate,
            untilSeconds: endOfDate(retiring.until) ?? 0,
          },
  };
}

function fingerprintOf(text: string): Fingerprint {
  const fingerprint = parseFingerprint(text);
  if (fingerprint === null) throw new TypeError(`the schema lets "${text}" through`);
  return fingerprint;
}

function referenceOf(text: string): SecretReference {
  const value = text.slice(text.indexOf(':') + 1);
  return text.startsWith('env:') ? { kind: 'env', variable: value } : { kind: 'file', file: value };
}

function ruleOf({ who, where, ports, timeout }: RuleSource): AccessRule {
  return {
    who,
    where,
    ports: (ports ?? ['tcp/22']).map((text) => {
      const port = parseProtoPort(text);
      if (port === null) throw new TypeError(`the schema lets "${text}" through`);
      return port;
    }),
    timeoutSeconds: timeout ?? 30,
  };
}

const DAY_SECONDS = 86_400;

/** Seconds since 1970 of a time, or of the end of a day, both in UTC; null if the calendar has no such day. */
function endOfDate(text: string): number | null {
  const ms = Date.parse(text.length === 10 ? `${text}T00:00:00Z` : text);
  // Date.parse takes February 30 as March 2.
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text.slice(0, 10)) return null;
  return Math.floor(ms / 1000) + (text.length === 10 ? DAY_SECONDS : 0);
}
