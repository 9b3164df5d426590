import {
  type CertificationStanding,
  isCleanPlan,
  type KeyState,
  type MadeCertification,
  type Party,
  type Plan,
  type Roster,
} from 'spa-core';
import type { Paint } from '../cli/colour.ts';
import { printable } from '../cli/program.ts';
import { columns } from '../columns.ts';
import { isSigned, type RosterSignatureState } from './plan-json.ts';

/** What `spa-keys plan` prints: what is not right, and how much is. */
export function formatPlanTable(
  roster: Roster,
  plan: Plan,
  signature: RosterSignatureState,
  paint: Paint,
): string {
  const keys = plan.keys.filter(({ state }) => state !== 'ok');
  const certifications = plan.certifications.filter(({ state }) => state !== 'ok');
  const rows = [
    ...signatureRows(signature),
    ...keys.map(keyRow),
    ...certificationRows(certifications),
    ...unwantedRows(plan.unwanted),
  ];
  const doors = `${plan.access.length} ${plan.access.length === 1 ? 'door' : 'doors'}`;
  const headline = `${roster.name}, version ${roster.version}, topology ${roster.topology}: ${counted(roster.operators.length, 'operator')}, ${counted(roster.bastions.length, 'bastion')}, ${doors}`;
  return `${paint('bold', headline)}\n${formatRows(rows, paint)}${paint('dim', summary(plan, signature))}\n`;
}

/** What `spa-keys audit` prints: a line for each certification, and a headline on a terminal. */
export function formatAuditTable(made: readonly MadeCertification[], hasHeadline: boolean): string {
  const rows = made.map(({ certifier, certifierKey, subject, certification: one }) => [
    nameOf(certifier, certifierKey === certifier.retiring),
    nameOf(subject.party, subject.key === subject.party.retiring),
    day(one.madeAtSeconds),
    one.expiresAtSeconds === null ? 'never ends' : day(one.expiresAtSeconds),
    one.isExportable ? 'exportable' : 'local',
    one.state,
  ]);
  const headline = [['CERTIFIER', 'CERTIFIED', 'MADE', 'UNTIL', 'FOR', 'STATE']];
  return columns(hasHeadline ? [...headline, ...rows] : rows);
}

/** One thing that is to be said. */
interface Row {
  readonly state: string;
  readonly who: string;
  readonly text: string;
}

const MAX_ROWS = 60;
const MAX_NAMES = 5;

/** What is no trouble yet. */
const MILD: ReadonlySet<string> = new Set(['expiring', 'unwanted']);

function formatRows(rows: readonly Row[], paint: Paint): string {
  const shown = rows.slice(0, MAX_ROWS);
  const stateWidth = Math.max(0, ...shown.map(({ state }) => state.length));
  const whoWidth = Math.max(0, ...shown.map(({ who }) => who.length));
  const lines = shown.map(({ state, who, text }) => {
    const painted = paint(MILD.has(state) ? 'yellow' : 'red', state.padEnd(stateWidth));
    return `  ${painted}  ${who.padEnd(whoWidth)}  ${printable(text)}\n`;
  });
  const more = rows.length - shown.length;
  return lines.join('') + (more > 0 ? `  and ${more} more lines; --json has all\n` : '');
}

function signatureRows(signature: RosterSignatureState): readonly Row[] {
  const text = UNSIGNED[signature];
  return text === null ? [] : [{ state: 'unsigned', who: 'roster.yaml', text: `${text}: spa-keys sign` }];
}

const UNSIGNED: Readonly<Record<RosterSignatureState, string | null>> = {
  good: null,
  none: null,
  missing: 'nobody has signed it',
  wrong: 'it is not what was signed',
  partial: 'what bastions read of it is not signed, or not as it is now',
};

function keyRow({ party, key, state, reason }: KeyState): Row {
  return {
    state,
    who: nameOf(party, key === party.retiring),
    text: `key ${short(key.fingerprint)}: ${reason}`,
  };
}

/** A row for each maker and state: there may be thousands of certifications. */
function certificationRows(standings: readonly CertificationStanding[]): readonly Row[] {
  const groups = new Map<
    string,
    { readonly state: string; readonly certifier: Party; readonly names: string[] }
  >();
  for (const { state, certifier, subject } of standings) {
    // Its key says it already.
    if (state === 'key') continue;
    const id = `${state} ${certifier.key.fingerprint}`;
    const group = groups.get(id) ?? { state, certifier: certifier.party, names: [] };
    group.names.push(subject.party.name);
    groups.set(id, group);
  }
  return [...groups.values()].map(({ state, certifier, names }) => ({
    state,
    who: nameOf(certifier, false),
    text: `its certification of ${listed(names)}`,
  }));
}

function unwantedRows(unwanted: readonly MadeCertification[]): readonly Row[] {
  const groups = new Map<string, { readonly certifier: Party; readonly names: string[] }>();
  for (const { certifier, certifierKey, subject } of unwanted) {
    const group = groups.get(certifierKey.fingerprint) ?? { certifier, names: [] };
    group.names.push(subject.party.name);
    groups.set(certifierKey.fingerprint, group);
  }
  return [...groups.values()].map(({ certifier, names }) => ({
    state: 'unwanted',
    who: nameOf(certifier, false),
    text: `its certification of ${listed(names)}: the roster does not ask for it`,
  }));
}

function summary(plan: Plan, signature: RosterSignatureState): string {
  const fine = (list: readonly { readonly state: string }[]): string =>
    `${list.filter(({ state }) => state === 'ok').length} of ${list.length}`;
  const counts = `${fine(plan.keys)} keys and ${fine(plan.certifications)} certifications are right`;
  const canSign = plan.certifications.some(({ state }) => state !== 'ok' && state !== 'key');
  if (canSign || !isSigned(signature)) {
    return `${counts}; spa-keys sign makes what is missing`;
  }
  return isCleanPlan(plan) ? `${counts}: nothing to do` : counts;
}

function nameOf({ kind, name }: Party, isRetiring: boolean): string {
  const who = kind === 'authority' ? 'authority' : `${kind} ${name}`;
  return isRetiring ? `${who} (old key)` : who;
}

function listed(names: readonly string[]): string {
  if (names.length <= MAX_NAMES) return names.join(', ');
  return `${names.slice(0, MAX_NAMES - 1).join(', ')} and ${names.length - MAX_NAMES + 1} more`;
}

function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

function short(fingerprint: string): string {
  return `${fingerprint.slice(0, 4)}…${fingerprint.slice(-8)}`;
}

function day(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}
