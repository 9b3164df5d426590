import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { fleetOf, SKIP } from './keys-support.ts';

// Each step is a run of the program or of gpg, and the machine may be busy.
t.setTimeout(120_000);

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
    const whole = readFileSync(file);
    writeFileSync(file, whole.subarray(0, -7));
    mustKeys('plan');
    t.same(readFileSync(file), whole, 'it is made anew');
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.end();
  },
);
