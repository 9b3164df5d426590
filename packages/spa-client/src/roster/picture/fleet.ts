import {
  type Access,
  type Bastion,
  type CertificationStanding,
  formatProtoPorts,
  isEnrolled,
  type KeyState,
  type Operator,
  type Party,
  type Plan,
  type Roster,
  type UnwantedCertification,
} from 'spa-core';
import type { RosterSignatureState } from '../plan-json.ts';
import { type State, works, worst } from './states.ts';

/** A roster and its plan, looked up by who and where: what the pictures are drawn from. */
export interface Fleet {
  readonly roster: Roster;
  readonly plan: Plan;
  readonly signature: RosterSignatureState;
  /** In the order of their first bastions. */
  readonly regions: readonly Region[];
  /** Region by region. */
  readonly bastions: readonly Bastion[];
  /** What may be opened, the most common first. */
  readonly openings: readonly Opening[];
  /** Null: he may not. */
  readonly doorOf: (operator: Operator, bastion: Bastion) => Door | null;
  readonly doors: readonly Door[];
  readonly keysOf: (party: Party) => readonly KeyState[];
  /** The certifications wanted of `subject` by `certifier`: one for each of the subject's keys. */
  readonly wanted: (certifier: Party, subject: Party) => readonly CertificationStanding[];
  readonly unwanted: (certifier: Party, subject: Party) => readonly UnwantedCertification[];
}

/** Bastions with one region. */
export interface Region {
  readonly name: string;
  readonly bastions: readonly Bastion[];
}

/** Ports and how long they are open. */
export interface Opening {
  /** `●` of the most common one, then `A`, `B` and so on. */
  readonly sign: string;
  /** `tcp/22, 30 s`. */
  readonly text: string;
}

/** One operator's way into one bastion. */
export interface Door {
  readonly operator: Operator;
  readonly bastion: Bastion;
  readonly opening: Opening;
  /** Why it does not open although it should; empty: it opens. */
  readonly lacks: readonly Lack[];
}

/** What keeps a door shut: a certification, or, without a certifier, a key of the subject. */
export interface Lack {
  readonly certifier: Party | null;
  readonly subject: Party;
  readonly state: State;
}

/** Looks everything up once. */
export function fleetOf(roster: Roster, plan: Plan, signature: RosterSignatureState): Fleet {
  const regions = regionsOf(roster);
  const keys = byParty(plan.keys, ({ party }) => party);
  const wanted = byPair(plan.certifications, ({ certifier, subject }) => [certifier.party, subject.party]);
  const unwanted = byPair(plan.unwanted, ({ certifier, subject }) => [certifier, subject.party]);
  const { openings, openingOf } = openingsOf(plan.access);
  const lacksOf = lacksBy(roster, keys, wanted);
  const doors = plan.access.map(
    (access): Door => ({
      operator: access.operator,
      bastion: access.bastion,
      opening: openingOf(access),
      lacks: lacksOf(access),
    }),
  );
  const door = byPair(doors, ({ operator, bastion }) => [operator, bastion]);
  return {
    roster,
    plan,
    signature,
    regions,
    bastions: regions.flatMap((region) => region.bastions),
    openings,
    doorOf: (operator, bastion) => door(operator, bastion)[0] ?? null,
    doors,
    keysOf: keys,
    wanted,
    unwanted,
  };
}

/** True if the operator is neither revoked nor past his end. */
export function isIn({ plan }: Fleet, operator: Operator): boolean {
  return isEnrolled(operator, plan.nowSeconds);
}

/** Names one party among all. */
export function idOf({ kind, name }: Party): string {
  return `${kind} ${name}`;
}

/** The items by what `key` says of them, in the order of the first of each. */
export function groupedBy<T, K>(items: readonly T[], key: (item: T) => K): ReadonlyMap<K, readonly T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) put(groups, key(item), item);
  return groups;
}

function put<T, K>(groups: Map<K, T[]>, key: K, item: T): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [item]);
  else group.push(item);
}

type Kinds<T> = Readonly<Record<Party['kind'], Map<string, T>>>;

const NONE: readonly never[] = [];

function kinds<T>(): Kinds<T> {
  return { authority: new Map(), operator: new Map(), bastion: new Map() };
}

function byParty<T>(items: readonly T[], partyOf: (item: T) => Party): (party: Party) => readonly T[] {
  const table = kinds<T[]>();
  for (const item of items) {
    const { kind, name } = partyOf(item);
    put(table[kind], name, item);
  }
  return ({ kind, name }) => table[kind].get(name) ?? NONE;
}

/** Map in map, by names as they are: there may be 120,000 pairs, and a text made for each would take seconds. */
function byPair<T>(
  items: readonly T[],
  pairOf: (item: T) => readonly [Party, Party],
): (one: Party, other: Party) => readonly T[] {
  const table = kinds<Kinds<T[]>>();
  for (const item of items) {
    const [one, other] = pairOf(item);
    let row = table[one.kind].get(one.name);
    if (row === undefined) {
      row = kinds();
      table[one.kind].set(one.name, row);
    }
    put(row[other.kind], other.name, item);
  }
  return (one, other) => table[one.kind].get(one.name)?.[other.kind].get(other.name) ?? NONE;
}

function regionsOf({ bastions }: Roster): readonly Region[] {
  return [...groupedBy(bastions, ({ region }) => region)].map(([name, its]) => ({ name, bastions: its }));
}

interface Openings {
  readonly openings: readonly Opening[];
  readonly openingOf: (access: Access) => Opening;
}

function openingsOf(all: readonly Access[]): Openings {
  const groups = [...groupedBy(all, textOf)].sort(([, one], [, other]) => other.length - one.length);
  const openings = groups.map(([text], index): Opening => ({ sign: openingSign(index), text }));
  const byAccess = new Map<Access, Opening>();
  groups.forEach(([, those], index) => {
    const opening = openings[index];
    if (opening !== undefined) for (const access of those) byAccess.set(access, opening);
  });
  return {
    openings,
    openingOf: (access) => byAccess.get(access) ?? { sign: '?', text: textOf(access) },
  };
}

function openingSign(index: number): string {
  if (index === 0) return '●';
  return index <= LETTERS.length ? LETTERS.charAt(index - 1) : String(index);
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

function textOf({ ports, timeoutSeconds }: Access): string {
  return `${formatProtoPorts(ports).replaceAll(/,\s*/g, ', ')}, ${timeoutSeconds} s`;
}

/** What keeps a door shut although the roster opens it. */
function lacksBy(
  roster: Roster,
  keysOf: Fleet['keysOf'],
  wanted: Fleet['wanted'],
): (access: Access) => readonly Lack[] {
  const { authority } = roster;
  const certifiers = roster.topology === 'authority' && authority !== null ? [authority] : null;
  const parties = [...roster.operators, ...roster.bastions, ...(certifiers ?? [])];
  const keyLacks = byParty(
    parties.flatMap((party) => keyLack(party, keysOf)),
    ({ subject }) => subject,
  );
  return ({ operator, bastion }) => {
    const keys = [keyLacks(operator), keyLacks(bastion)];
    const certifications =
      certifiers === null
        ? [certificationLacks(bastion, operator, wanted), certificationLacks(operator, bastion, wanted)]
        : certifiers.flatMap((certifier) => [
            keyLacks(certifier),
            certificationLacks(certifier, operator, wanted),
            certificationLacks(certifier, bastion, wanted),
          ]);
    const lacks = [...keys, ...certifications].filter(({ length }) => length > 0);
    return lacks.length === 0 ? NONE : lacks.flat();
  };
}

/** One key that works is enough: while keys are changed there are two. */
function keyLack(party: Party, keysOf: Fleet['keysOf']): readonly Lack[] {
  const states = keysOf(party).map(({ state }) => state);
  if (states.length === 0 || states.some(works)) return [];
  return [{ certifier: null, subject: party, state: worst(states) ?? 'missing' }];
}

function certificationLacks(certifier: Party, subject: Party, wanted: Fleet['wanted']): readonly Lack[] {
  const standings = wanted(certifier, subject);
  // Of a key that is not fit, that is said already.
  if (standings.some(({ state }) => works(state) || state === 'key')) return NONE;
  return [{ certifier, subject, state: worst(standings.map((standing) => standing.state)) ?? 'missing' }];
}
