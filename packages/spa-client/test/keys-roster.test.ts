import { Ajv } from 'ajv';
import t from 'tap';
import { parse } from 'yaml';
import { inspectRoster, parseRoster } from '../src/roster/roster-file.ts';
import { formatRosterSchema } from '../src/roster/roster-schema.ts';

const A = 'A'.repeat(40);
const B = 'B'.repeat(40);
const C = 'C'.repeat(40);

const GOOD = `# yaml-language-server: $schema=roster.schema.json
name: example
version: 7
topology: authority            # or mutual
certifications: { exportable: true, days: null, renew: 14 }
authority: { name: Example Org, fingerprint: ${A} }
operators:
  alice:
    name: Alice Liddell
    email: alice@example.org
    fingerprint: 0123456789012345678901234567890123456789
    roles: [oncall]
    regions: [us-east-1]
    not-after: 2027-01-31
    revoked: { at: 2026-11-22T10:00:00Z, reason: left }
    retiring: { fingerprint: ${C}, certificate: certificates/operators/alice-old.asc, until: 2026-12-31 }
bastions:
  us-east-1a:
    region: us-east-1
    host: bastion.us-east-1.example.org
    ssh-port: 2222
    fingerprint: ${B}
    hmac: env:SPA_HMAC
    capabilities: [spa-server, ipv6]
groups:
  admins: [alice, role:oncall]
access:
  - who: [admins, everybody, role:oncall, alice]
    where: [everywhere, region:us-east-1, us-east-1a]
    ports: [tcp/22, udp/53]
    timeout: 60
`;

/** What is said of a roster, without the file's name. */
function complaintsOf(text: string): readonly string[] {
  try {
    parseRoster('roster.yaml', text);
    return [];
  } catch (error) {
    return (error as Error).message.split('\n').map((line) => line.replace('roster.yaml:', ''));
  }
}

/** The good roster with something else in it. */
function changed(from: string | RegExp, to: string): string {
  const text = GOOD.replace(from, to);
  if (text === GOOD) throw new Error(`nothing is like ${from}`);
  return text;
}

t.test('a roster is read with all that it says, and what it leaves out', (t) => {
  const roster = parseRoster('roster.yaml', GOOD);
  t.equal(roster.name, 'example');
  t.same(roster.certifications, { isExportable: true, days: null, renewDays: 14 });
  t.equal(roster.authority?.key.certificateFile, 'certificates/authority.asc');
  const [alice] = roster.operators;
  t.equal(alice?.key.fingerprint, '0123456789012345678901234567890123456789', 'all digits, and no number');
  t.equal(alice?.key.certificateFile, 'certificates/operators/alice.asc');
  t.equal(alice?.notAfterSeconds, Date.UTC(2027, 1, 1) / 1000, 'the end of the day');
  t.equal(alice?.revoked?.atSeconds, Date.UTC(2026, 10, 22, 10) / 1000);
  t.equal(alice?.retiring?.untilSeconds, Date.UTC(2027, 0, 1) / 1000);
  const [bastion] = roster.bastions;
  t.match(bastion, { sshPort: 2222, spaPort: 62_201, hmac: { kind: 'env', variable: 'HMAC' } });
  t.same(roster.groups.get('admins'), ['alice', 'role:oncall']);
  t.same(roster.access[0]?.ports.length, 2);
  t.equal(roster.access[0]?.timeoutSeconds, 60);
  t.end();
});

t.test('every mistake is said with its line, and what to write instead', (t) => {
  // biome-ignore format: a table, one mistake a row
  const table: readonly (readonly [from: string | RegExp, to: string, complaint: string])[] = [
    [A, '12AB', '6: authority.fingerprint: "12AB" is no full fingerprint; write the 40 hexadecimal digits'],
    [B, 'BBBBBBBB', '22: bastions.us-east-1a.fingerprint: "BBBBBBBB" is no full fingerprint; write the 40 hexadecimal digits'],
    [B, '1e10', '22: bastions.us-east-1a.fingerprint: "1e10" is no full fingerprint; write the 40 hexadecimal digits'],
    [B, 'bastion@example.org', '22: bastions.us-east-1a.fingerprint: "bastion@example.org" is no full fingerprint; write the 40 hexadecimal digits'],
    [`fingerprint: ${B}`, `fingerprnt: ${B}`, '18: bastions.us-east-1a: lacks fingerprint; write fingerprint: the 40 hexadecimal digits'],
    [`fingerprint: ${B}`, 'fingerprint:', '22: bastions.us-east-1a.fingerprint: nothing is no full fingerprint; write the 40 hexadecimal digits'],
    ['version: 7', 'version: seven', '3: version: "seven" is no version; write a whole number, from 1'],
    ['version: 7', 'version: 0', '3: version: 0 is no version; write a whole number, from 1'],
    ['version: 7', 'version: 7.5', '3: version: 7.5 is no version; write a whole number, from 1'],
    ['topology: authority', 'topology: autority', '4: topology: "autority" is not known; did you mean authority?'],
    ['name: example', 'name: ../../etc', '2: name: "../../etc" is no name; write letters, digits, dots, hyphens and underscores, and a letter or digit first'],
    ['days: null', 'days: 0', '5: certifications.days: 0 is no number of days; write 1 to 36500, or null for as long as the key'],
    ['exportable: true', 'exportable: yes', '5: certifications.exportable: "yes" is neither true nor false'],
    ['roles: [oncall]', 'roles: oncall', '12: operators.alice.roles: "oncall" is no list of roles; write it as in [oncall]'],
    ['email: alice@example.org', 'email: alice', '10: operators.alice.email: "alice" is no e-mail address; write it as in alice@example.org'],
    ['2027-01-31', '2027-02-31', '14: operators.alice.not-after: "2027-02-31" is no day of the calendar; write another'],
    ['2027-01-31', 'soon', '14: operators.alice.not-after: "soon" is no date; write it as in 2027-01-31 (its end in UTC), or 2027-01-31T12:00:00Z'],
    ['regions: [us-east-1]', 'regions: [us-eats-1]', '13: operators.alice.regions[0]: no bastion is in the region "us-eats-1"; did you mean us-east-1?'],
    ['ssh-port: 2222', 'ssh-port: 70000', '21: bastions.us-east-1a.ssh-port: 70000 is no port; write a number from 1 to 65535'],
    ['ssh-port: 2222', 'sshport: 2222', '21: bastions.us-east-1a.sshport: there is no such setting; did you mean ssh-port?'],
    ['host: bastion.us', 'host: -oProxyCommand=x.us', '20: bastions.us-east-1a.host: "-oProxyCommand=x.us-east-1.example.org" is no host; write a name or an address, as in bastion.example.org or 203.0.113.5'],
    ['env:SPA_HMAC', 'c2VjcmV0', "23: bastions.us-east-1a.hmac: this is no place of a secret; write file:PATH (in the secrets' folder) or env:SPA_NAME (a variable), never the secret"],
    ['env:SPA_HMAC', 'file:../../x', "23: bastions.us-east-1a.hmac: this is no place of a secret; write file:PATH (in the secrets' folder) or env:SPA_NAME (a variable), never the secret"],
    ['env:SPA_HMAC', 'env:AWS_SECRET_ACCESS_KEY', "23: bastions.us-east-1a.hmac: this is no place of a secret; write file:PATH (in the secrets' folder) or env:SPA_NAME (a variable), never the secret"],
    ['ipv6]', 'ipv7]', '24: bastions.us-east-1a.capabilities[1]: "ipv7" is not known; did you mean ipv6?'],
    ['certificates/operators/alice-old.asc', '../alice.asc', "16: operators.alice.retiring.certificate: \"../alice.asc\" is no file in the roster's folder; write it as in certificates/operators/alice.asc"],
    ['[alice, role', '[alce, role', '26: groups.admins[0]: nobody is "alce"; did you mean alice?'],
    ['admins: [alice', 'alice: [alice', '26: groups.alice: an operator has this name, too; write another'],
    ['[alice, role:oncall]', '[admins]', '26: groups.admins: contains itself: admins → admins; take one of them out'],
    ['[admins, every', '[admin, every', '28: access[0].who[0]: nobody is "admin"; did you mean admins?'],
    ['role:oncall, alice]\n    where', 'role:on-call, alice]\n    where', '28: access[0].who[2]: nobody is "role:on-call"; did you mean role:oncall?'],
    ['region:us-east-1,', 'region:eu,', '29: access[0].where[1]: no bastion is "region:eu"; correct the name, or add it to the roster first'],
    [/who: .*/, 'who: []', '28: access[0].who: the list is empty; write it as in [alice, role:oncall]'],
    ['tcp/22,', 'tcp/20-30,', '30: access[0].ports[0]: "tcp/20-30" is no port; write one protocol/port at a time, as in tcp/22'],
    ['timeout: 60', 'timeout: 30s', '31: access[0].timeout: "30s" is no number of seconds; write 1 to 86400'],
    [C, A, '16: operators.alice.retiring.fingerprint: the authority has this key, too; each party needs a key of its own'],
    ['us-east-1a:\n', 'default:\n', '18: bastions.default: this word has a meaning of its own; write another name'],
    ['  alice:\n', '  "al ice":\n', '8: operators.al ice: "al ice" is no name; write letters, digits, dots, hyphens and underscores, and a letter or digit first'],
    ['groups:', 'operators:', '25: operators: this name stands here for the second time'],
    ['groups:', 'gruops:', '25: gruops: there is no such setting; did you mean groups?'],
    ['[oncall]', '[oncall', '13: is no YAML that can be read: '],
    ['roles: [oncall]\n    regions: [us-east-1]', 'roles: &x [us-east-1]\n    regions: *x', '13: operators.alice.regions: *x stands for another value; write the value itself here'],
    [/authority: \{.*\n/, '', '4: topology: authority needs one; write authority: with name: and fingerprint:, or topology: mutual'],
  ];
  for (const [from, to, complaint] of table) {
    const complaints = complaintsOf(changed(from, to));
    t.ok(
      complaints.some((line) => line.startsWith(complaint)),
      `${to}: ${complaints.join(' | ')}`,
    );
  }
  t.end();
});

t.test('several mistakes are said at once, in the order of lines, ten at most', (t) => {
  const two = complaintsOf(changed(A, 'x').replace('timeout: 60', 'timeout: 0'));
  t.same(
    two.map((line) => line.split(':')[0]),
    ['6', '31'],
  );
  const many = Array.from({ length: 25 }, (_, index) => `  x${index}: { fingerprint: ${index} }\n`).join('');
  const twelve = complaintsOf(GOOD.replace('operators:\n', `operators:\n${many}`));
  t.equal(twelve.length, 11);
  t.equal(twelve.at(-1), ' 15 more');
  t.end();
});

t.test('a long circle of groups is found, and one that only leads into it is not blamed', (t) => {
  const faults = complaintsOf(
    changed('admins: [alice, role:oncall]', 'admins: [a]\n  a: [b]\n  b: [c]\n  c: [a]'),
  );
  t.same(faults, ['27: groups.a: contains itself: a → b → c → a; take one of them out']);
  t.end();
});

t.test('hostile YAML ends in a line of complaint, soon', (t) => {
  const bomb = `a: &a [x,x]\n${Array.from({ length: 30 }, (_, i) => `b${i}: &b${i} [*a,*a]\n`).join('')}`;
  for (const text of [
    '',
    '# nothing\n',
    'x',
    '[',
    bomb,
    '['.repeat(100_000),
    `a: ${'{a: '.repeat(50_000)}`,
    '- '.repeat(50_000),
    '\u0000',
    '%YAML 9\n---\n',
    '!!binary x',
    '? [a]\n: b\n',
    'a: 1\n---\nb: 2\n',
  ]) {
    const { roster, faults } = inspectRoster(text);
    t.equal(roster, null);
    t.ok(faults.length > 0, JSON.stringify(text.slice(0, 20)));
  }
  const deep = Array.from({ length: 3000 }, (_, i) => `${' '.repeat(i)}a:\n`).join('');
  t.equal(inspectRoster(deep).roster, null);
  t.end();
});

t.test('the schema for editors accepts a good roster, and refuses a bad one', (t) => {
  const ajv = new Ajv({ strict: false });
  const check = ajv.compile(JSON.parse(formatRosterSchema()));
  // An editor takes forty digits for a number: they want quotes there.
  const quoted = GOOD.replace('0123456789012345678901234567890123456789', `"${'0'.repeat(40)}"`);
  t.equal(check(parse(quoted)), true, JSON.stringify(check.errors));
  t.equal(check(parse(changed(A, 'x'))), false);
  t.end();
});
