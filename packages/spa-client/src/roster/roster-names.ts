import { parseFingerprint } from 'spa-core';
import { probablyMeant } from 'spa-host';
import type { SchemaFault } from './roster-check.ts';
import type { RosterSource } from './roster-file.ts';
import type { YamlPath } from './roster-yaml.ts';

/** What is wrong with the names and fingerprints of a roster that fits the schema. */
export function* checkNames(roster: RosterSource): Generator<SchemaFault> {
  yield* checkAuthority(roster);
  yield* checkReserved(roster);
  yield* checkFingerprints(roster);
  yield* checkEmails(roster);
  yield* checkRegions(roster);
  yield* checkGroups(roster);
  yield* checkCircles(roster);
  yield* checkAccess(roster);
}

function* checkAuthority({ topology, authority }: RosterSource): Generator<SchemaFault> {
  if (topology === 'authority' && authority === undefined) {
    yield {
      path: ['topology'],
      problem: 'authority needs one; write authority: with name: and fingerprint:, or topology: mutual',
    };
  }
}

/** Words with a meaning of their own: in `access`, and `[default]` in an rc file. */
const RESERVED = ['everybody', 'everywhere', 'default', 'authority'];

function* checkReserved({ operators, bastions, groups }: RosterSource): Generator<SchemaFault> {
  for (const [section, names] of [
    ['operators', Object.keys(operators ?? {})],
    ['bastions', Object.keys(bastions ?? {})],
    ['groups', Object.keys(groups ?? {})],
  ] as const) {
    for (const name of names) {
      if (RESERVED.includes(name)) {
        yield { path: [section, name], problem: 'this word has a meaning of its own; write another name' };
      }
      if (section === 'groups' && operators?.[name] !== undefined) {
        yield { path: [section, name], problem: 'an operator has this name, too; write another' };
      }
      if (section === 'bastions' && operators?.[name] !== undefined) {
        yield { path: [section, name], problem: 'an operator has this name, too; write another' };
      }
    }
  }
}

function* checkFingerprints({ authority, operators, bastions }: RosterSource): Generator<SchemaFault> {
  const owners = new Map<string, string>();
  const parties = [
    ...(authority === undefined ? [] : [{ path: ['authority'], name: 'the authority', party: authority }]),
    ...Object.entries(operators ?? {}).map(([name, party]) => ({ path: ['operators', name], name, party })),
    ...Object.entries(bastions ?? {}).map(([name, party]) => ({ path: ['bastions', name], name, party })),
  ];
  for (const { path, name, party } of parties) {
    const keys: readonly (readonly [YamlPath, string | undefined])[] = [
      [[...path, 'fingerprint'], party.fingerprint],
      [[...path, 'retiring', 'fingerprint'], party.retiring?.fingerprint],
    ];
    for (const [place, text] of keys) {
      if (text === undefined) continue;
      const fingerprint = parseFingerprint(text) ?? text;
      const owner = owners.get(fingerprint);
      if (owner !== undefined) {
        yield { path: place, problem: `${owner} has this key, too; each party needs a key of its own` };
      }
      owners.set(fingerprint, name);
    }
  }
}

/** Anybody can write another's address into his key, and then it would be certified as his. */
function* checkEmails({ operators }: RosterSource): Generator<SchemaFault> {
  const owners = new Map<string, string>();
  for (const [name, { email }] of Object.entries(operators ?? {})) {
    if (email === undefined) continue;
    const address = email.toLowerCase();
    const owner = owners.get(address);
    if (owner !== undefined) {
      yield {
        path: ['operators', name, 'email'],
        problem: `${owner} has this address, too; whose is it? write another`,
      };
    }
    owners.set(address, name);
  }
}

function* checkRegions({ operators, bastions }: RosterSource): Generator<SchemaFault> {
  const regions = regionsOf(bastions);
  for (const [name, operator] of Object.entries(operators ?? {})) {
    for (const [index, region] of (operator.regions ?? []).entries()) {
      if (regions.includes(region)) continue;
      yield {
        path: ['operators', name, 'regions', index],
        problem: `no bastion is in the region "${region}"; ${suggest(region, regions)}`,
      };
    }
  }
}

function* checkGroups(roster: RosterSource): Generator<SchemaFault> {
  const known = new Set(peopleOf(roster));
  for (const [group, members] of Object.entries(roster.groups ?? {})) {
    for (const [index, member] of members.entries()) {
      if (known.has(member)) continue;
      yield {
        path: ['groups', group, index],
        problem: `nobody is "${member}"; ${suggest(member, [...known])}`,
      };
    }
  }
}

function* checkCircles({ groups }: RosterSource): Generator<SchemaFault> {
  const done = new Set<string>();
  for (const start of Object.keys(groups ?? {})) {
    const circle = circleFrom(start, groups ?? {}, done);
    if (circle !== null) {
      yield {
        path: ['groups', circle[0] ?? start],
        problem: `contains itself: ${circle.join(' → ')}; take one of them out`,
      };
    }
  }
}

/** The groups of a circle that `start` leads to; null if there is none that is not in `done`, where all end that were seen. */
function circleFrom(
  start: string,
  groups: Readonly<Record<string, readonly string[]>>,
  done: Set<string>,
): readonly string[] | null {
  // Not by recursion: a chain of groups may be as long as the file.
  const way: { readonly name: string; readonly left: string[] }[] = [];
  const enter = (name: string): void => {
    way.push({ name, left: [...(groups[name] ?? [])] });
  };
  const onWay = new Set<string>();
  if (done.has(start)) return null;
  enter(start);
  onWay.add(start);
  for (let top = way.at(-1); top !== undefined; top = way.at(-1)) {
    const next = top.left.pop();
    if (next === undefined) {
      way.pop();
      onWay.delete(top.name);
      done.add(top.name);
    } else if (onWay.has(next)) {
      const names = way.map(({ name }) => name);
      for (const name of names) done.add(name);
      return [...names.slice(names.indexOf(next)), next];
    } else if (groups[next] !== undefined && !done.has(next)) {
      enter(next);
      onWay.add(next);
    }
  }
  return null;
}

function* checkAccess(roster: RosterSource): Generator<SchemaFault> {
  const people = new Set(['everybody', ...peopleOf(roster)]);
  const places = new Set([
    'everywhere',
    ...Object.keys(roster.bastions ?? {}),
    ...regionsOf(roster.bastions).map((region) => `region:${region}`),
  ]);
  for (const [index, { who, where }] of (roster.access ?? []).entries()) {
    for (const [position, word] of who.entries()) {
      if (people.has(word)) continue;
      yield {
        path: ['access', index, 'who', position],
        problem: `nobody is "${word}"; ${suggest(word, [...people])}`,
      };
    }
    for (const [position, word] of where.entries()) {
      if (places.has(word)) continue;
      yield {
        path: ['access', index, 'where', position],
        problem: `no bastion is "${word}"; ${suggest(word, [...places])}`,
      };
    }
  }
}

function peopleOf({ operators, groups }: RosterSource): readonly string[] {
  const roles = Object.values(operators ?? {}).flatMap((operator) => operator.roles ?? []);
  return [
    ...Object.keys(operators ?? {}),
    ...Object.keys(groups ?? {}),
    ...new Set(roles.map((role) => `role:${role}`)),
  ];
}

function regionsOf(bastions: RosterSource['bastions']): readonly string[] {
  return [...new Set(Object.values(bastions ?? {}).map(({ region }) => region))];
}

function suggest(word: string, names: readonly string[]): string {
  const meant = probablyMeant(word, names);
  return meant === null ? 'correct the name, or add it to the roster first' : `did you mean ${meant}?`;
}
