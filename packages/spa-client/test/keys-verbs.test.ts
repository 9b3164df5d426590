import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { parse } from 'yaml';

const SPA_KEYS = fileURLToPath(new URL('../src/bin/spa-keys.cjs', import.meta.url));
const SKIP = { skip: lackingPrograms('gpg') };

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Fleet {
  readonly folder: string;
  readonly roster: string;
  readonly secrets: string;
  /** `spa-keys` with the fleet's folders. */
  readonly keys: (...argv: readonly string[]) => Run;
  /** The same, which must succeed. */
  readonly mustKeys: (...argv: readonly string[]) => Run;
  /** A GnuPG home of its own, with a key of that name; `gpg` runs there. */
  readonly person: (name: string, ...more: readonly string[]) => Person;
}

interface Person {
  readonly home: string;
  readonly fingerprint: string;
  /** A file with the certificate. */
  readonly file: string;
  readonly gpg: (argv: readonly string[], input?: string) => Run;
}

function run(program: string, argv: readonly string[], input = ''): Run {
  const { status, stdout, stderr } = spawnSync(program, argv, {
    encoding: 'utf8',
    input,
    env: { ...process.env, NO_COLOR: '1', XDG_DATA_HOME: '/nonexistent' },
  });
  return { status, stdout, stderr };
}

/** Short, because gpg-agent's socket has a path of 108 octets at most. */
function fleetOf(t: Test): Fleet {
  const folder = mkdtempSync(join(tmpdir(), 'sk-'));
  const homes: string[] = [];
  t.teardown(() => {
    for (const home of homes) spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    rmSync(folder, { recursive: true, force: true });
  });
  const roster = join(folder, 'fleet');
  const secrets = join(folder, 'secrets');
  const places = (verb: string): readonly string[] => [
    ...(verb === 'prove' ? [] : ['--roster', roster]),
    ...(verb === 'challenge' || verb === 'prove' ? [] : ['--secrets', secrets]),
  ];
  const keys: Fleet['keys'] = (verb = '', ...argv) =>
    run(process.execPath, [SPA_KEYS, verb, ...places(verb), ...argv]);
  return {
    folder,
    roster,
    secrets,
    keys,
    mustKeys: (...argv) => {
      const result = keys(...argv);
      t.equal(result.status, 0, `${argv.join(' ')}: ${result.stderr}`);
      return result;
    },
    person: (name, ...more) => {
      const home = join(folder, `gpg-${name}`);
      mkdirSync(home, { mode: 0o700 });
      homes.push(home);
      const gpg: Person['gpg'] = (argv, input) =>
        run(
          'gpg',
          ['--homedir', home, '--batch', '--pinentry-mode', 'loopback', '--passphrase', '', ...argv],
          input,
        );
      const userId = `${name} <${name}@example.org>`;
      const made = gpg([...more, '--quick-generate-key', userId, 'future-default', 'default', 'never']);
      t.equal(made.status, 0, made.stderr);
      const fingerprint =
        /^fpr:+([0-9A-F]{40}):/m.exec(gpg(['--with-colons', '--list-keys']).stdout)?.[1] ?? '';
      const file = join(folder, `${name}.asc`);
      writeFileSync(file, gpg(['--armor', '--export']).stdout);
      return { home, fingerprint, file, gpg };
    },
  };
}

function modesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => {
    const stats = statSync(join(folder, name));
    return `${stats.isDirectory() ? 'd' : 'f'}${(stats.mode & 0o777).toString(8)}`;
  });
}

t.test('from nothing to a roster with all certifications, which gpg finds good', SKIP, (t) => {
  const { roster, secrets, keys, mustKeys, folder } = fleetOf(t);
  mustKeys('init', '--name', 'example', '--make-authority', 'Example Org');
  t.match(keys('init', '--name', 'example', '--make-authority', 'X'), {
    status: 78,
    stderr: /is there already/,
  });
  mustKeys(
    'add',
    'operator',
    'alice',
    '--make',
    '--full-name',
    'Alice Liddell',
    '--email',
    'alice@example.org',
    '--role',
    'oncall',
  );
  mustKeys(
    'add',
    'bastion',
    'b1',
    '--make',
    '--region',
    'r1',
    '--host',
    'b1.example.org',
    '--capability',
    'spa-server',
  );
  const before = keys('plan');
  t.equal(before.status, 1);
  t.match(before.stdout, /missing {2}authority {2}its certification of alice, b1/);
  t.equal(keys('verify').status, 1);
  mustKeys('sign');
  t.match(mustKeys('plan').stdout, /3 of 3 keys and 2 of 2 certifications are right: nothing to do/);
  t.match(mustKeys('verify').stdout, /everything that is needed is there and valid/);
  t.match(
    mustKeys('audit').stdout,
    /authority {2}operator alice {2}\d{4}-\d\d-\d\d {2}\d{4}-\d\d-\d\d {2}exportable {2}valid/,
  );

  const report = JSON.parse(mustKeys('plan', '--json').stdout);
  t.match(report, { roster: 'example', version: 3, signature: 'good', clean: true, unwanted: [] });
  t.equal(report.keys.length, 3);

  const home = join(folder, 'check');
  mkdirSync(home, { mode: 0o700 });
  t.teardown(() => spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']));
  const gpg = (...argv: readonly string[]): Run => run('gpg', ['--homedir', home, '--batch', ...argv]);
  const files = ['authority', 'operators/alice', 'bastions/b1'].map(
    (name) => `${roster}/certificates/${name}.asc`,
  );
  t.equal(gpg('--import', ...files).status, 0);
  t.match(gpg('--check-sigs', 'alice').stdout, /sig! .*Example Org/);
  t.match(gpg('--verify', `${roster}/roster.yaml.asc`, `${roster}/roster.yaml`), { status: 0 });

  t.ok(
    modesIn(secrets).every((mode) => mode === 'd700' || mode === 'f600'),
    'secrets are for nobody else',
  );
  const everything = readdirSync(roster, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(roster, name)).isFile())
    .map((name) => readFileSync(join(roster, name), 'utf8'));
  t.notOk(
    everything.some((text) => text.includes('PRIVATE KEY')),
    'no secret is in the folder for git',
  );

  const schema = JSON.parse(readFileSync(`${roster}/roster.schema.json`, 'utf8'));
  const check = new Ajv({ strict: false }).compile(schema);
  t.equal(check(parse(readFileSync(`${roster}/roster.yaml`, 'utf8'))), true, JSON.stringify(check.errors));

  writeFileSync(
    `${roster}/roster.yaml`,
    readFileSync(`${roster}/roster.yaml`, 'utf8').replace('timeout: 30', 'timeout: 31'),
  );
  t.match(keys('verify'), { status: 1, stdout: /unsigned +roster\.yaml +it is not what was signed/ });
  t.end();
});

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

t.test('a GnuPG home is shown, and becomes a roster for those who are named in full', SKIP, (t) => {
  const { keys, mustKeys, person, roster } = fleetOf(t);
  const alice = person('alice');
  const bastion = person('bastion');
  alice.gpg(['--import'], readFileSync(bastion.file, 'utf8'));
  const shown = mustKeys('init', '--from-gnupg', alice.home);
  t.match(shown.stdout, `--operator alice=${alice.fingerprint}`);
  t.match(shown.stdout, /Nothing was written/);
  t.equal(existsSync(roster), false);
  const given = [
    '--operator',
    `alice=${alice.fingerprint}`,
    '--bastion',
    `b1=${bastion.fingerprint},r1,b1.example.org`,
  ];
  t.match(
    keys('init', '--from-gnupg', alice.home, '--topology', 'mutual', '--operator', 'alice=alice@example.org'),
    { status: 64 },
  );
  mustKeys('init', '--from-gnupg', alice.home, '--topology', 'mutual', ...given);
  t.match(mustKeys('sign', '--gnupg-home', alice.home, '--gnupg-home', bastion.home), { status: 0 });
  t.match(mustKeys('plan').stdout, /2 of 2 keys and 2 of 2 certifications are right: nothing to do/);
  t.end();
});

t.test("a host with fwknop becomes a roster with its stanzas' ports and times", SKIP, (t) => {
  const { mustKeys, person, roster, folder } = fleetOf(t);
  const alice = person('alice');
  const bob = person('bob');
  const host = person('host');
  for (const { file } of [alice, bob]) host.gpg(['--import'], readFileSync(file, 'utf8'));
  const fwknop = join(folder, 'fwknop');
  mkdirSync(fwknop);
  writeFileSync(join(fwknop, 'fwknopd.conf'), 'PCAP_FILTER  udp port 62222;\n');
  writeFileSync(
    join(fwknop, 'access.conf'),
    `# a host
SOURCE              ANY
OPEN_PORTS          tcp/2222
FW_ACCESS_TIMEOUT   60
GPG_HOME_DIR        ${host.home}
GPG_DECRYPT_ID      ${host.fingerprint}
GPG_FINGERPRINT_ID  ${alice.fingerprint}
SOURCE              ANY
GPG_HOME_DIR        ${host.home}
GPG_REMOTE_ID       ${bob.fingerprint.slice(-8)}
SOURCE              10.0.0.0/8
KEY                 not-openpgp
`,
  );
  const shown = mustKeys('init', '--from-fwknop', fwknop);
  t.match(
    shown.stdout,
    /access\.conf:10: GPG_REMOTE_ID: "[0-9A-F]{8}" is no full fingerprint; the key here that fits it is/,
  );
  t.match(shown.stdout, /access\.conf:11: this stanza has no OpenPGP signer, and is left out/);
  t.notMatch(shown.stdout + shown.stderr, /not-openpgp/);
  mustKeys(
    'init',
    ...['--from-fwknop', fwknop, '--topology', 'mutual'],
    ...['--operator', `alice=${alice.fingerprint}`, '--operator', `bob=${bob.fingerprint}`],
    ...['--bastion', `b1=${host.fingerprint},r1,b1.example.org`],
  );
  const { access, bastions } = parse(readFileSync(`${roster}/roster.yaml`, 'utf8'));
  t.equal(bastions.b1['spa-port'], 62_222);
  t.same(access, [
    { who: ['alice'], where: ['b1'], ports: ['tcp/2222'], timeout: 60 },
    { who: ['bob'], where: ['b1'], ports: ['tcp/22'], timeout: 30 },
  ]);
  t.end();
});

t.test(
  'a memory of verified signatures that is broken, or that others can write, is not believed',
  SKIP,
  (t) => {
    const { mustKeys, secrets } = fleetOf(t);
    mustKeys('init', '--name', 'example', '--make-authority', 'Example Org');
    const file = `${secrets}/cache/verified-signatures`;
    mustKeys('plan');
    const whole = readFileSync(file, 'utf8');
    writeFileSync(file, whole.slice(0, -7));
    mustKeys('plan');
    t.equal(readFileSync(file, 'utf8'), whole, 'it is made anew');
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.end();
  },
);

t.test('a verb that is mistyped is guessed, and every verb has help with an example', (t) => {
  t.match(run(process.execPath, [SPA_KEYS, 'plam']), { status: 64, stderr: 'did you mean plan?' });
  t.match(run(process.execPath, [SPA_KEYS]), { status: 64, stderr: /what is to be done\?/ });
  const { stdout } = run(process.execPath, [SPA_KEYS, '--help']);
  for (const verb of ['init', 'add', 'challenge', 'prove', 'plan', 'verify', 'audit']) {
    t.match(stdout, new RegExp(`^ {2}${verb} `, 'm'));
    const help = run(process.execPath, [SPA_KEYS, verb, '--help']);
    t.equal(help.status, 0);
    t.match(help.stdout, new RegExp(`^ {2}spa-keys ${verb}`, 'm'), `${verb} has an example`);
  }
  t.end();
});
