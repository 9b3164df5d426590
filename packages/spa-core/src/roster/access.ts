import { formatProtoPort, type ProtoPort } from '../proto-port.ts';
import type { AccessRule, Bastion, Operator, Roster } from './roster.ts';

/** What an operator may open at a bastion. */
export interface Access {
  readonly operator: Operator;
  readonly bastion: Bastion;
  /** The union of what the rules give. */
  readonly ports: readonly ProtoPort[];
  /** The longest of what the rules give. */
  readonly timeoutSeconds: number;
}

/**
 * Who may open what at `nowSeconds`, one entry for each operator and bastion, in the roster's order. Operators that are revoked,
 * or past their `not-after`, have nothing.
 */
export function accessOf(roster: Roster, nowSeconds: number): readonly Access[] {
  const operators = roster.operators.filter((operator) => isEnrolled(operator, nowSeconds));
  const rules = roster.access.map((rule) => ({
    rule,
    people: peopleOf(rule, roster),
    places: placesOf(rule, roster),
    alone: together([rule]),
  }));
  const access: Access[] = [];
  for (const operator of operators) {
    const his = rules.filter(({ people }) => people.has(operator.name));
    for (const bastion of roster.bastions) {
      if (operator.regions !== null && !operator.regions.includes(bastion.region)) continue;
      const mine = his.filter(({ places }) => places.has(bastion.name));
      const [first] = mine;
      if (first === undefined) continue;
      const { ports, timeoutSeconds } =
        mine.length === 1 ? first.alone : together(mine.map(({ rule }) => rule));
      access.push({ operator, bastion, ports, timeoutSeconds });
    }
  }
  return access;
}

/** True if the operator is neither revoked nor past his `not-after`. */
export function isEnrolled({ revoked, notAfterSeconds }: Operator, nowSeconds: number): boolean {
  return revoked === null && nowSeconds < (notAfterSeconds ?? Number.POSITIVE_INFINITY);
}

function together(rules: readonly AccessRule[]): Pick<Access, 'ports' | 'timeoutSeconds'> {
  const ports = new Map(rules.flatMap((rule) => rule.ports.map((port) => [formatProtoPort(port), port])));
  return {
    ports: [...ports.values()],
    timeoutSeconds: Math.max(...rules.map((rule) => rule.timeoutSeconds)),
  };
}

function peopleOf({ who }: AccessRule, { operators, groups }: Roster): ReadonlySet<string> {
  const words = new Set(who);
  // A set comes to what is added while it is walked through.
  for (const word of words) {
    for (const member of groups.get(word) ?? []) words.add(member);
  }
  const isMeant = ({ name, roles }: Operator): boolean =>
    words.has('everybody') || words.has(name) || roles.some((role) => words.has(`role:${role}`));
  return new Set(operators.filter(isMeant).map(({ name }) => name));
}

function placesOf({ where }: AccessRule, { bastions }: Roster): ReadonlySet<string> {
  const words = new Set(where);
  const isMeant = ({ name, region }: Bastion): boolean =>
    words.has('everywhere') || words.has(name) || words.has(`region:${region}`);
  return new Set(bastions.filter(isMeant).map(({ name }) => name));
}
