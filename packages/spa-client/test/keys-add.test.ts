import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { fleetOf, type Run, SKIP } from './keys-support.ts';

// Each step is a run of the program or of gpg, and the machine may be busy.
t.setTimeout(120_000);

t.test('a key is taken by its full fingerprint, and by nothing less', SKIP, (t) => {
  const { roster, keys, mustKeys, person } = fleetOf(t);
  mustKeys('init', '--name', 'example', '--topology', 'mutual');
  const alice = person('alice');
  const mallory = person('mallory');
  const add = (...argv: readonly string[]): Run =>
    keys('add', 'operator', 'alice', '--import', alice.file, ...argv);
  const text = readFileSync(`${roster}/roster.yaml`, 'utf8');
  t.match(add('--fingerprint', 'alice@example.org'), {
    status: 64,
    stderr: /is an e-mail address, and anybody can make a key with it; write the 40/,
  });
  t.match(add('--fingerprint', alice.fingerprint.slice(-16)), {
    status: 64,
    stderr: /is a part of a fingerprint/,
  });
  t.match(add('--fingerprint', mallory.fingerprint), {
    status: 78,
    stderr: /holds [0-9A-F]{40}, and not [0-9A-F]{40}: ask its owner which is right/,
  });
  t.match(add(), { status: 64, stderr: /whose key is it\?/ });
  t.match(keys('add', 'operator', 'alice', '--make', '--host', 'x'), {
    status: 64,
    stderr: /--host is not for operators/,
  });
  t.equal(readFileSync(`${roster}/roster.yaml`, 'utf8'), text, 'nothing has changed');
  t.equal(existsSync(`${roster}/certificates/operators/alice.asc`), false);
  const spaced = alice.fingerprint.replaceAll(/(.{4})/g, '$1 ').trim();
  t.equal(add('--fingerprint', spaced).status, 0);
  t.match(
    readFileSync(`${roster}/roster.yaml`, 'utf8'),
    /alice:\n {4}name: alice\n {4}email: alice@example\.org\n {4}fingerprint: /,
  );
  t.match(add('--fingerprint', spaced), {
    status: 78,
    stderr: /operators\.alice: is there already; spa-keys rotate alice/,
  });
  mustKeys(
    'add',
    'operator',
    'mallory',
    '--import-gnupg',
    '--gnupg-home',
    mallory.home,
    '--fingerprint',
    mallory.fingerprint,
  );
  t.end();
});

t.test('keys that are expired, revoked, weak or signed with SHA-1 are refused with the reason', SKIP, (t) => {
  const { keys, mustKeys, person, folder } = fleetOf(t);
  mustKeys('init', '--name', 'example', '--topology', 'mutual');
  const add = (file: string, fingerprint: string): Run =>
    keys('add', 'operator', 'alice', '--import', file, '--fingerprint', fingerprint);
  const old = person('old', '--faked-system-time', '20200101T000000');
  old.gpg(['--faked-system-time', '20200102T000000', '--quick-set-expire', old.fingerprint, '1y']);
  writeFileSync(old.file, old.gpg(['--armor', '--export']).stdout);
  t.match(add(old.file, old.fingerprint), { status: 78, stderr: /is refused \(expired\): / });
  const gone = person('gone');
  const revocation = readFileSync(`${gone.home}/openpgp-revocs.d/${gone.fingerprint}.rev`, 'utf8').replace(
    /^:-/m,
    '-',
  );
  gone.gpg(['--import'], revocation);
  writeFileSync(gone.file, gone.gpg(['--armor', '--export']).stdout);
  t.match(add(gone.file, gone.fingerprint), { status: 78, stderr: /is refused \(revoked\): / });
  const weak = person('weak', '--cert-digest-algo', 'SHA1');
  t.match(add(weak.file, weak.fingerprint), { status: 78, stderr: /is refused \(weak\): .*SHA-1/ });
  const good = person('good');
  const secret = join(folder, 'secret.asc');
  writeFileSync(secret, good.gpg(['--armor', '--export-secret-keys']).stdout);
  t.match(add(secret, good.fingerprint), { status: 78, stderr: /secret/ });
  t.end();
});

t.test('a challenge is answered with gpg, or with spa-keys prove, and once', SKIP, (t) => {
  const { keys, mustKeys, person, roster, folder } = fleetOf(t);
  mustKeys('init', '--name', 'example', '--topology', 'mutual');
  const alice = person('alice');
  const bob = person('bob');
  const challenge = join(folder, 'challenge.txt');
  const answer = join(folder, 'answer');
  const enter = (name: string, file: string): Run =>
    keys('add', 'operator', name, '--import', file, '--answer', answer);
  const ask = (name: string): void => writeFileSync(challenge, mustKeys('challenge', name).stdout);

  ask('alice');
  writeFileSync(answer, bob.gpg(['--clearsign', '--output', '-', challenge]).stdout);
  t.match(enter('alice', alice.file), {
    status: 78,
    stderr: /requests\/alice\.txt: the answer proves nothing: /,
  });
  writeFileSync(answer, alice.gpg(['--clearsign', '--output', '-', challenge]).stdout);
  t.match(enter('alice', alice.file), { status: 0 });
  t.equal(existsSync(`${roster}/requests/alice.txt`), false, 'it is used up');

  t.match(enter('bob', bob.file), {
    status: 78,
    stderr: /there is no open challenge; run spa-keys challenge bob/,
  });
  ask('bob');
  t.match(enter('bob', bob.file), { status: 78 }, "the answer to alice's challenge is none to bob's");
  writeFileSync(answer, mustKeys('prove', challenge, '--gnupg-home', bob.home).stdout);
  t.match(enter('bob', bob.file), { status: 0 });
  writeFileSync(challenge, 'I owe Mallory 100 pounds\n');
  t.match(keys('prove', challenge, '--gnupg-home', bob.home), {
    status: 78,
    stderr: /is no challenge of spa-keys/,
  });
  t.end();
});

t.test('a setting that is wrong leaves no secret behind, and two runs at once do not mix', async (t) => {
  const { mustKeys, keys, roster, secrets, start } = fleetOf(t);
  mustKeys('init', '--name', 'example', '--make-authority', 'A "quoted" name <org@example.org>');
  const secretFiles = (): readonly string[] => readdirSync(`${secrets}/keys`);
  const before = secretFiles();
  const wrong = keys('add', 'bastion', 'b1', '--make', '--region', 'r', '--host', 'h', '--hmac', 'c2VjcmV0');
  t.match(wrong, { status: 78, stderr: /bastions\.b1\.hmac: this is no place of a secret/ });
  t.notMatch(wrong.stderr, /c2VjcmV0/);
  t.same(secretFiles(), before);
  t.match(keys('init', '--name', 'my fleet', '--topology', 'mutual'), {
    status: 64,
    stderr: /is no name for a roster/,
  });

  const codes = await Promise.all(['p1', 'p2', 'p3'].map((name) => start('add', 'operator', name, '--make')));
  t.ok(codes.includes(0) && codes.every((code) => code === 0 || code === 75), `ended with ${codes}`);
  const { operators, version } = parse(readFileSync(`${roster}/roster.yaml`, 'utf8'));
  const entered = codes.filter((code) => code === 0).length;
  t.equal(Object.keys(operators).length, entered);
  t.equal(version, 1 + entered);
  t.equal(secretFiles().length, before.length + entered);
});
