import fc from 'fast-check';
import t from 'tap';
import { parse } from 'yaml';
import { editRoster } from '../src/roster/roster-edit.ts';

const ROSTER = `# yaml-language-server: $schema=roster.schema.json
name:   example     # of the team
version: 7   # rises
topology: authority            # or mutual
operators:
  # the first
  alice:
    name: "Alice  Liddell"
    fingerprint: ${'A'.repeat(40)}     # from her card

    roles:   [ oncall,admin ]   # both

  # the second
  bob:
      fingerprint: '${'B'.repeat(40)}'
      regions:
        - us-east-1   # home
        - eu-west-1
  # nobody else
bastions: {}   # none yet

groups:
access:
  # everybody
  - who: [everybody]
    where: [ everywhere ]
# the end`;

t.test('a value is replaced, and nothing else', (t) => {
  t.equal(
    editRoster(ROSTER, [{ path: ['version'], value: 8 }]),
    ROSTER.replace('version: 7   # rises', 'version: 8   # rises'),
  );
  t.equal(
    editRoster(ROSTER, [{ path: ['operators', 'bob', 'fingerprint'], value: 'C'.repeat(40) }]),
    ROSTER.replace(`'${'B'.repeat(40)}'`, 'C'.repeat(40)),
  );
  t.end();
});

t.test('a setting is added at the end of its party, indented as the others are', (t) => {
  t.equal(
    editRoster(ROSTER, [
      { path: ['operators', 'bob', 'revoked'], value: { at: '2026-11-22T10:00:00Z', reason: 'left' } },
    ]),
    ROSTER.replace(
      '        - eu-west-1\n',
      '        - eu-west-1\n      revoked:\n        at: 2026-11-22T10:00:00Z\n        reason: left\n',
    ),
  );
  t.end();
});

t.test('a party is added at the end of its section, and to a section that is empty', (t) => {
  t.equal(
    editRoster(ROSTER, [
      {
        path: ['operators', 'carol'],
        value: { fingerprint: '1'.repeat(40), roles: ['a', 'b'], email: undefined },
      },
    ]),
    ROSTER.replace(
      '        - eu-west-1\n',
      `        - eu-west-1\n  carol:\n    fingerprint: "${'1'.repeat(40)}"\n    roles: [a, b]\n`,
    ),
  );
  const withBastion = editRoster(ROSTER, [{ path: ['bastions', 'x'], value: { region: 'r' } }]);
  t.equal(withBastion, ROSTER.replace('bastions: {}   # none yet\n', 'bastions:\n  x:\n    region: r\n'));
  const withGroup = editRoster(ROSTER, [{ path: ['groups', 'g'], value: ['alice'] }]);
  t.equal(withGroup, ROSTER.replace('groups:\n', 'groups:\n  g: [alice]\n'));
  t.end();
});

t.test('a setting goes with its line; what is not there cannot go', (t) => {
  t.equal(
    editRoster(ROSTER, [{ path: ['operators', 'bob', 'regions'], value: undefined }]),
    ROSTER.replace('      regions:\n        - us-east-1   # home\n        - eu-west-1\n', ''),
  );
  t.equal(editRoster(ROSTER, [{ path: ['operators', 'dave'], value: undefined }]), ROSTER);
  t.end();
});

t.test('a text without a line break at its end gets one before what is added', (t) => {
  t.equal(editRoster('name: x', [{ path: ['version'], value: 1 }]), 'name: x\nversion: 1\n');
  t.equal(editRoster('{ name: x }', [{ path: ['version'], value: 1 }]), '{ name: x, version: 1 }\n');
  t.end();
});

/** Lines with what people put between and behind them. */
function rosterText(): fc.Arbitrary<{ readonly text: string; readonly names: readonly string[] }> {
  const name = fc
    .stringMatching(/^[a-z][a-z0-9._-]{0,8}$/)
    .filter((word) => !['null', 'true', 'false', 'y', 'n'].includes(word));
  const noise = fc.constantFrom('', '', '\n', '  # a comment\n', '# at the margin\n', '\n# two\n\n');
  const behind = fc.constantFrom('', ' # why', '   #', '  ');
  const party = fc.tuple(name, noise, behind, noise, behind);
  return fc.uniqueArray(party, { selector: ([word]) => word, minLength: 1, maxLength: 6 }).map((parties) => ({
    names: parties.map(([word]) => word),
    text: `name: example\nversion: 1${parties[0]?.[2]}\noperators:\n${parties
      .map(
        ([word, before, after, between, last]) =>
          `${before}  ${word}:${after}\n${between}    fingerprint: ${'A'.repeat(40)}${last}\n    roles:   [one,two]${after}\n`,
      )
      .join('')}bastions:\n`,
  }));
}

t.test('whatever is edited: it is there, and every other line is as it was', (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        rosterText(),
        fc.nat(),
        fc.constantFrom('replace', 'add', 'remove', 'enter'),
        ({ text, names }, pick, kind) => {
          const name = names[pick % names.length] ?? '';
          const edits = {
            replace: { path: ['operators', name, 'fingerprint'], value: 'B'.repeat(40) },
            add: { path: ['operators', name, 'email'], value: 'a@b' },
            remove: { path: ['operators', name, 'roles'], value: undefined },
            enter: { path: ['operators', 'zz-new'], value: { fingerprint: 'C'.repeat(40) } },
          } as const;
          const edited = editRoster(text, [edits[kind]]);
          const wanted = parse(text);
          if (kind === 'replace') wanted.operators[name].fingerprint = 'B'.repeat(40);
          if (kind === 'add') wanted.operators[name].email = 'a@b';
          if (kind === 'remove') delete wanted.operators[name].roles;
          if (kind === 'enter') wanted.operators['zz-new'] = { fingerprint: 'C'.repeat(40) };
          if (JSON.stringify(parse(edited)) !== JSON.stringify(wanted)) return false;
          const before = text.split('\n');
          const after = edited.split('\n');
          const isKept = (all: readonly string[], some: readonly string[]): boolean => {
            let at = 0;
            for (const line of all) if (line === some[at]) at += 1;
            return at === some.length;
          };
          if (kind === 'remove') return before.length === after.length + 1 && isKept(before, after);
          if (kind !== 'replace') return isKept(after, before);
          return (
            before.length === after.length &&
            before.filter((line, index) => line !== after[index]).length === 1
          );
        },
      ),
      { numRuns: 300 },
    ),
  );
  t.end();
});
