import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseRoster } from '../src/roster/roster-file.ts';
import { type Fleet, fleetOf } from './keys-support.ts';

t.setTimeout(120_000);

const SECRET = 'THE-SECRET-OF-WHOEVER-READS';

/** A roster that a stranger may propose changes to, and a file beside it that is none of his business. */
function rosterOf(t: Test): Fleet & { readonly secret: string } {
  const fleet = fleetOf(t);
  fleet.mustKeys('init', '--name', 'fleet', '--make-authority', 'Org');
  fleet.mustKeys('add', 'operator', 'alice', '--make', '--email', 'alice@example.org');
  fleet.mustKeys('sign');
  const secret = join(fleet.folder, 'secret.txt');
  writeFileSync(secret, `${SECRET}\n`);
  return { ...fleet, secret };
}

function replaceByLink(path: string, target: string): void {
  rmSync(path, { recursive: true, force: true });
  symlinkSync(target, path);
}

t.test('a link in the place of the roster shows nothing of what it leads to', async (t) => {
  const { roster, keys, secret } = rosterOf(t);
  replaceByLink(join(roster, 'roster.yaml'), secret);
  const { status, stdout, stderr } = keys('plan');
  t.equal(status, 78);
  t.equal(
    stderr,
    `spa-keys: ${join(roster, 'roster.yaml')}: is a symbolic link; put the file itself there\n`,
  );
  t.notMatch(stdout + stderr, SECRET);
});

t.test('a link in the place of the signature is not read for ever', async (t) => {
  const { roster, keys } = rosterOf(t);
  replaceByLink(join(roster, 'roster.yaml.asc'), '/dev/zero');
  t.match(keys('verify'), { status: 78, stderr: /roster\.yaml\.asc: is a symbolic link/ });
});

t.test('certificates are not read through links, neither of files nor of folders', async (t) => {
  const { roster, folder, keys } = rosterOf(t);
  const certificates = join(roster, 'certificates', 'operators');
  const elsewhere = join(folder, 'elsewhere');
  execFileSync('mv', [certificates, elsewhere]);
  symlinkSync(elsewhere, certificates);
  t.match(keys('plan'), { status: 1, stdout: /unusable +operator alice .*operators: is no folder/ });
  rmSync(certificates);
  mkdirSync(certificates);
  symlinkSync(join(elsewhere, 'alice.asc'), join(certificates, 'alice.asc'));
  t.match(keys('plan'), { status: 1, stdout: /unusable +operator alice .*alice\.asc: is a symbolic link/ });
});

t.test('a challenge that is a link proves nothing', async (t) => {
  const { roster, folder, keys, mustKeys, secret } = rosterOf(t);
  mustKeys('challenge', 'bob');
  replaceByLink(join(roster, 'requests', 'bob.txt'), secret);
  const answer = join(folder, 'answer');
  writeFileSync(answer, 'x');
  const certificate = join(roster, 'certificates', 'operators', 'alice.asc');
  const refused = keys('add', 'operator', 'bob', '--import', certificate, '--answer', answer);
  t.match(refused, { status: 78, stderr: /bob\.txt: is a symbolic link/ });
});

t.test('nothing is tidied up through a link in the place of .spa-keys', async (t) => {
  const { roster, folder, keys } = rosterOf(t);
  const victim = join(folder, 'victim');
  for (const name of ['draft-thesis', 'pending']) mkdirSync(join(victim, name), { recursive: true });
  replaceByLink(join(roster, '.spa-keys'), victim);
  for (const verb of [['plan'], ['sign'], ['challenge', 'bob'], ['add', 'operator', 'bob', '--make']]) {
    t.match(keys(...verb), { status: 78, stderr: /\.spa-keys: is no folder; remove it/ }, verb.join(' '));
  }
  t.same(readdirSync(victim).sort(), ['draft-thesis', 'pending']);
});

t.test(
  'a change that came with the folder, as if a killed run had decided it, is not carried out',
  async (t) => {
    const { roster, keys } = rosterOf(t);
    const before = readFileSync(join(roster, 'roster.yaml'), 'utf8');
    const pending = join(roster, '.spa-keys', 'pending');
    mkdirSync(pending, { mode: 0o700 });
    writeFileSync(join(pending, '0'), before.replace('topology: authority', 'topology: mutual'));
    const changes = [{ path: 'roster.yaml', draft: '0' }];
    for (const manifest of [
      { format: 'spa-keys changes 1', changes },
      { format: 'spa-keys changes 2', place: '1 2', changes },
    ]) {
      writeFileSync(join(pending, 'manifest.json'), JSON.stringify(manifest), { mode: 0o600 });
      for (const verb of ['verify', 'sign']) {
        t.match(keys(verb), {
          status: 78,
          stderr: /was not written by a run of ours; remove .*\.spa-keys\n/,
        });
      }
    }
    t.equal(readFileSync(join(roster, 'roster.yaml'), 'utf8'), before);
  },
);

t.test('outside of a roster no verb leaves anything behind', async (t) => {
  const { roster, keys } = fleetOf(t);
  mkdirSync(roster);
  const alice = ['alice', '--reason', 'x', '--no-push'];
  const verbs = [['sign'], ['rotate', 'x', '--make'], ['revoke', ...alice], ['challenge', 'bob'], ['plan']];
  for (const verb of verbs) {
    t.match(keys(...verb), { status: 78, stderr: /roster\.yaml: there is no roster; --roster names/ });
  }
  t.same(readdirSync(roster), []);
});

t.test('--roster that names the file says so', async (t) => {
  const { roster, keys } = rosterOf(t);
  const refused = keys('plan', '--roster', join(roster, 'roster.yaml'));
  t.match(refused, { status: 78, stderr: /^spa-keys: .*roster\.yaml\/.*is no folder\n$/ });
});

t.test('what a roster says reaches no terminal as an order', async (t) => {
  const { roster, keys } = rosterOf(t);
  const file = join(roster, 'roster.yaml');
  const text = readFileSync(file, 'utf8');
  const mallory = (line: string): string =>
    text.replace(
      /^operators:\n/m,
      `operators:\n  mallory:\n    fingerprint: "${'0123456789ABCDEF'.repeat(3).slice(0, 40)}"\n    ${line}\n`,
    );
  writeFileSync(file, mallory('email: "m\\x9b31m@example.org"'));
  t.match(keys('plan'), { status: 78, stderr: /operators\.mallory\.email: .* is no e-mail address/ });
  writeFileSync(file, mallory('certificate: "a\\x9b31m.asc"'));
  t.match(keys('plan'), { status: 78, stderr: /operators\.mallory\.certificate: .* is no file/ });
  writeFileSync(file, mallory('certificate: "a\\u202egpj.asc"'));
  const { stdout } = keys('plan');
  t.match(stdout, /there is no a\?gpj\.asc/);
  t.notMatch(stdout, /[^\P{C}\n]/u);
});

t.test('a key that claims the address of somebody else is not entered', async (t) => {
  const { roster, folder, keys, mustKeys } = rosterOf(t);
  const before = readFileSync(join(roster, 'roster.yaml'), 'utf8');
  const other = join(folder, 'other');
  mustKeys('init', '--name', 'other', '--topology', 'mutual', '--roster', other);
  mustKeys('add', 'operator', 'eve', '--make', '--email', 'Alice@Example.org', '--roster', other);
  const fingerprint = /fingerprint: ([0-9A-F]{40})/.exec(readFileSync(join(other, 'roster.yaml'), 'utf8'));
  const certificate = join(other, 'certificates', 'operators', 'eve.asc');
  const eve = ['eve', '--import', certificate, '--fingerprint', fingerprint?.[1] ?? ''];
  t.match(keys('add', 'operator', ...eve), {
    status: 78,
    stderr: /operators\.eve\.email: alice has this address, too; whose is it\? write another\n$/,
  });
  t.equal(readFileSync(join(roster, 'roster.yaml'), 'utf8'), before);
});

t.test('a roster is checked in the time that its length allows', async (t) => {
  const HEAD = 'name: x\nversion: 1\ntopology: mutual\noperators:\n';
  const operator = `  alice: { fingerprint: "${'A'.repeat(40)}" }\n`;
  const groups = Array.from({ length: 10_000 }, (_, at) => `  g${at}: [g${at + 1}]\n`).join('');
  const access = 'access:\n  - who: [g0]\n    where: [everywhere]\n';
  const chain = parseRoster(
    'roster.yaml',
    `${HEAD}${operator}groups:\n${groups}  g10000: [alice]\n${access}`,
  );
  t.equal(chain.groups.size, 10_001);
  const wrong = Array.from({ length: 10_000 }, (_, at) => `  g${at}: [h${at}]\n`).join('');
  t.throws(() => parseRoster('roster.yaml', `${HEAD}${operator}groups:\n${wrong}`), {
    message: /groups\.g0\[0\]: nobody is "h0"/,
  });
});

t.test('the folder of the secrets is not made for a verb that is refused', async (t) => {
  const { secrets, keys } = fleetOf(t);
  t.equal(keys('init', '--name', '../x', '--make-authority', 'Org').status, 64);
  t.notOk(existsSync(secrets));
});
