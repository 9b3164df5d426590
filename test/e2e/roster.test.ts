import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BastionRoster,
  type EnrolledOperator,
  type Fingerprint,
  formatBastionRoster,
  parseProtoPorts,
} from 'spa-core';
import {
  addresses,
  createGnupgHome,
  createLab,
  doorCloses,
  doorOpens,
  type GnupgHome,
  type Lab,
  lacking,
  PROGRAMS,
  reach,
  startSpaServer,
  until,
} from 'spa-lab';
import t, { type Test } from 'tap';
import { tell } from './guarding.ts';

t.setTimeout(240_000);

const skip = lacking('gpg', 'nft', 'sshd', 'ssh');
const { client4, other4, server4 } = addresses;

t.test('a stanza that wants certified signers', { skip }, async (t) => {
  const { lab, people, knock, access } = await makePlace(t, ['alice', 'bob', 'carol', 'dave']);
  const { bastion, alice, bob, carol, dave } = people;
  await bastion.certify(alice);
  for (const other of [bob, carol, dave]) gpg(bastion, ['--import'], await other.exportCertificate());
  gpg(bastion, ['--yes', '--quick-sign-key', dave.fingerprint]);
  const signers = [alice, bob, carol, dave].map(({ fingerprint }) => fingerprint).join(', ');
  const daemon = await startSpaServer(lab.bastion, lab.scratch, {
    server: ['FIREWALL nftables'],
    access: [...access, `GPG_FINGERPRINT_ID ${signers}`, 'SPA_CERTIFIED_BY bastion'],
  });

  await t.test('lets in who is, for others or locally, and tells who is not', async (t) => {
    await daemon.logged(
      new RegExp(
        `SPA_CERTIFIED_BY: ${carol.fingerprint} \\(carol\\) is not let in: ${bastion.fingerprint} has not`,
      ),
    );
    for (const operator of [alice, dave]) {
      await knock(operator);
      await doorOpens(lab);
      t.match(await tell(lab, daemon, '--revoke', `operator=${operator.fingerprint}`), {
        stdout: /Closed tcp\/22/,
      });
      await doorCloses(lab);
    }
    await knock(carol);
    await daemon.logged(/denied tcp\/22 .*SPA_CERTIFIED_BY.*signed by/);
    t.equal(await reach(lab.operator, server4), 'silent');
  });

  await t.test('denies him whose certification has ended meanwhile, and counts it', async (t) => {
    gpg(bastion, ['--yes', '--default-cert-expire', 'seconds=15', '--quick-sign-key', bob.fingerprint]);
    const since = daemon.log().length;
    daemon.process.kill('SIGHUP');
    await daemon.logged(/The new configuration is in force/, since);
    await knock(bob);
    await daemon.logged(new RegExp(`opened tcp/22 .*signed by ${bob.fingerprint}`));
    const dump = (await tell(lab, daemon, '--dump-config')).stdout;
    const end = new RegExp(`\\(signer ${bob.fingerprint}\\): certified until (\\S+)`).exec(dump)?.[1] ?? '';
    t.match(end, /Z$/);
    await sleep(Math.max(0, Date.parse(end) - Date.now()));
    await knock(bob);
    await daemon.logged(new RegExp(`denied tcp/22 .*has expired .*signed by ${bob.fingerprint}`));
    await doorCloses(lab);
    t.match((await tell(lab, daemon, '--status')).stdout, /^ +1 denied: signer-expired$/m);
  });

  await t.test(
    'goes on without him after a start, and ends with the mistake of a stanza for nobody',
    async (t) => {
      const check = await tell(lab, daemon, '--exit-parse-config');
      t.match(check, { status: 0, stdout: /^configuration OK: 1 stanza/ });
      t.match(
        check.stderr,
        new RegExp(`${bob.fingerprint} \\(bob\\) is not let in: its certification .* ended`),
      );
      writeAccess(lab, [...access, `GPG_FINGERPRINT_ID ${carol.fingerprint}`, 'SPA_CERTIFIED_BY bastion']);
      t.match(await tell(lab, daemon, '--exit-parse-config'), {
        status: 78,
        stderr: /access.conf:\d+: SPA_CERTIFIED_BY: /,
      });
      await knock(alice);
      await doorOpens(lab);
      const since = daemon.log().length;
      daemon.process.kill('SIGHUP');
      await daemon.logged(/SPA_CERTIFIED_BY: .*; the old configuration stays in force/, since);
      t.equal(await reach(lab.operator, server4), 'open');
    },
  );

  await t.test('closes the door of him whose certification was taken back, at the reload', async (t) => {
    gpg(bastion, ['--quick-revoke-sig', alice.fingerprint, bastion.fingerprint]);
    writeAccess(lab, [...access, `GPG_FINGERPRINT_ID ${signers}`, 'SPA_CERTIFIED_BY bastion']);
    const since = daemon.log().length;
    daemon.process.kill('SIGHUP');
    await daemon.logged(/The new configuration is in force/, since);
    await daemon.logged(new RegExp(`closed tcp/22 for ${client4}`), since);
    await doorCloses(lab);
    await knock(alice);
    await daemon.logged(
      new RegExp(`denied tcp/22 .*SPA_CERTIFIED_BY.*signed by ${alice.fingerprint}`),
      since,
    );
    t.equal(await daemon.stop(), 0);
  });
});

t.test('a bastion that follows a roster', { skip }, async (t) => {
  const { lab, people, knock, access } = await makePlace(t, [
    'authority',
    'alice',
    'bob',
    'carol',
    'mallory',
  ]);
  const { bastion, authority, alice, bob, carol, mallory } = people;
  const rosterFile = lab.scratch.path('roster.json');
  const certificates = [bob, alice, carol].map((one) => one.exportCertificate());
  writeFileSync(lab.scratch.path('signers.asc'), (await Promise.all(certificates)).join(''), { mode: 0o644 });
  writeFileSync(lab.scratch.path('authority.asc'), await authority.exportCertificate(), { mode: 0o644 });

  const publish = (roster: BastionRoster, by = authority): void => {
    const draft = `${rosterFile}.new`;
    writeFileSync(draft, formatBastionRoster(roster), { mode: 0o644 });
    gpg(by, ['--yes', '--armor', '--output', `${draft}.asc`, '--detach-sign', draft]);
    renameSync(`${draft}.asc`, `${rosterFile}.asc`);
    renameSync(draft, rosterFile);
  };
  const rosterOf = (version: number, operators: readonly EnrolledOperator[]): BastionRoster => ({
    roster: 'example',
    version,
    issuedAtSeconds: nowSeconds(),
    bastion: { name: 'us-east-1a', fingerprints: [bastion.fingerprint as Fingerprint] },
    operators,
  });
  const a = enrolled('alice', alice);
  const b = enrolled('bob', bob);
  const config = {
    server: [
      'FIREWALL nftables',
      `SPA_ROSTER ${rosterFile}`,
      `SPA_ROSTER_SIGNER_CERT_FILE ${lab.scratch.path('authority.asc')}`,
      `SPA_ROSTER_SIGNER ${authority.fingerprint}`,
    ],
    access: [...access, `GPG_SIGNER_CERT_FILE ${lab.scratch.path('signers.asc')}`, 'MAX_FW_TIMEOUT 300'],
  };
  publish(rosterOf(5, [a, b]));
  let daemon = await startSpaServer(lab.bastion, lab.scratch, config);
  const reload = async (expected: RegExp): Promise<void> => {
    const since = daemon.log().length;
    daemon.process.kill('SIGHUP');
    await daemon.logged(expected, since);
    await daemon.logged(/in force/, since);
  };

  await t.test('lets in who is on it, by name, and denies who is not', async (t) => {
    await daemon.logged(`roster "example", version 5 of ${new Date().toISOString().slice(0, 4)}`);
    await knock(alice);
    await daemon.logged(new RegExp(`opened tcp/22 .*operator alice, signed by ${alice.fingerprint}`));
    await doorOpens(lab);
    await knock(carol);
    await daemon.logged(new RegExp(`denied tcp/22 .*is not on the roster.*signed by ${carol.fingerprint}`));
    const status = (await tell(lab, daemon, '--status')).stdout;
    t.match(
      status,
      new RegExp(
        `^Follows the roster "example", version 5 .* for "us-east-1a", 2 operators, signed by ${authority.fingerprint}, accepted \\S+Z\\.$`,
        'm',
      ),
    );
    t.match(status, /^ +1 denied: not-enrolled$/m);
    t.match((await tell(lab, daemon, '--dump-config')).stdout, /^\(roster\): example, version 5, /m);
    t.match((await tell(lab, daemon, '--exit-parse-config')).stdout, /^roster "example", version 5 /m);
  });

  await t.test('gives no more than the roster, however much the stanza would', async (t) => {
    await knock(bob, { port: 'tcp/2222', address: other4 });
    await daemon.logged(/denied tcp\/2222 .*the roster does not give/);
    await knock(bob, { timeout: 200, address: other4 });
    await daemon.logged(/opened tcp\/22 for \S+, 60 s until .*operator bob/);
    t.equal(await reach(lab.operator, server4, { localAddress: other4 }), 'open');
  });

  await t.test('takes a newer one, and doors stay open but those of who is no longer on it', async (t) => {
    t.equal(await reach(lab.operator, server4), 'open');
    t.equal(await reach(lab.operator, server4, { localAddress: other4 }), 'open');
    publish(rosterOf(6, [a, b, enrolled('carol', carol)]));
    await reload(/roster "example", version 6 /);
    t.equal(await reach(lab.operator, server4), 'open');
    t.equal(await reach(lab.operator, server4, { localAddress: other4 }), 'open');
    publish(rosterOf(7, [b, enrolled('carol', carol)]));
    await reload(new RegExp(`alice \\(${alice.fingerprint}\\) may not come in any more: closing the doors`));
    await daemon.logged(
      new RegExp(`revoked 1 grant of operator=${alice.fingerprint}; closed tcp/22 for ${client4}`),
    );
    await doorCloses(lab);
    t.equal(await reach(lab.operator, server4, { localAddress: other4 }), 'open', 'bob is still in');
    const since = daemon.log().length;
    await knock(alice);
    await daemon.logged(/denied tcp\/22 .*is not on the roster/, since);
    await knock(carol);
    await daemon.logged(/opened tcp\/22 .*operator carol/, since);
  });

  await t.test('refuses an older one and false ones, and keeps what it has', async (t) => {
    const good = readFileSync(rosterFile);
    const cases: readonly (readonly [change: () => void, said: RegExp])[] = [
      [
        () => publish(rosterOf(6, [a, b])),
        /SPA_ROSTER: version 6 is older than 7, which this host has had since /,
      ],
      [() => publish(rosterOf(7, [a, b])), /version 7 is not what this host has as version 7/],
      [() => publish(rosterOf(8, [a, b]), mallory), /is no valid signature of this file by /],
      [
        () =>
          publish({
            ...rosterOf(8, [a]),
            bastion: { name: 'other', fingerprints: [alice.fingerprint as Fingerprint] },
          }),
        /this roster is for "other" with the key/,
      ],
      [
        () => publish({ ...rosterOf(8, [a]), roster: 'staging' }),
        /this is the roster "staging", and this host follows "example"/,
      ],
      [() => writeFileSync(rosterFile, good.subarray(0, good.length / 2)), /is no valid signature/],
    ];
    for (const [change, said] of cases) {
      change();
      const since = daemon.log().length;
      await reload(said);
      await daemon.logged(/; the old configuration stays in force/, since);
      t.match(await tell(lab, daemon, '--exit-parse-config'), { status: 78, stderr: said });
      await knock(alice);
      await daemon.logged(/denied tcp\/22 .*is not on the roster/, since);
    }
    t.equal(await reach(lab.operator, server4, { localAddress: other4 }), 'open', 'bob is still in');
    t.match((await tell(lab, daemon, '--status')).stdout, /^Follows the roster "example", version 7 /m);
  });

  await t.test('does not start with an older one either, and knows the newest after a kill -9', async (t) => {
    await daemon.stop('SIGKILL');
    publish(rosterOf(6, [a, b]));
    const refused = await lab.bastion.run([
      ...[process.execPath, PROGRAMS.spaServer, '-f', '-c', daemon.configFile],
    ]);
    t.match(refused, { status: 78, stderr: /SPA_ROSTER: version 6 is older than 7/ });
    publish(rosterOf(8, [a]));
    daemon = await startSpaServer(lab.bastion, lab.scratch, {
      ...config,
      server: [...config.server, 'FLUSH_IPT_AT_INIT N'],
    });
    await daemon.logged(new RegExp(`closed tcp/22 for ${other4}`));
    t.equal(
      await reach(lab.operator, server4, { localAddress: other4 }),
      'silent',
      'bob was put out meanwhile',
    );
    await knock(alice);
    await daemon.logged(/opened tcp\/22 .*operator alice/);
  });

  await t.test('lets nobody in past his end, with no restart, and closes his door', async (t) => {
    const notAfterSeconds = nowSeconds() + 15;
    publish(rosterOf(9, [{ ...a, notAfterSeconds }, b]));
    await reload(/version 9 /);
    const since = daemon.log().length;
    await knock(alice, { address: other4 });
    await daemon.logged(/opened tcp\/22 for \S+, 1?\d s until .*operator alice/, since);
    await sleep(notAfterSeconds * 1000 - Date.now());
    await until('the door closes', async () => {
      return (await reach(lab.operator, server4, { localAddress: other4 })) === 'silent';
    });
    await knock(alice);
    await daemon.logged(/denied tcp\/22 .*is not on the roster.*operator alice/, since);
    t.match((await tell(lab, daemon, '--status')).stdout, /^ +\d+ denied: not-enrolled$/m);
  });

  await t.test('lets in nobody without a name', async (t) => {
    writeAccess(lab, [...config.access, 'SOURCE ANY', 'KEY_BASE64 c2VjcmV0LWtleS1vZi10aGUtdGVzdA==']);
    t.match(await tell(lab, daemon, '--exit-parse-config'), {
      status: 78,
      stderr: /access.conf:\d+: SOURCE: KEY lets in who does not sign/,
    });
    t.equal(await daemon.stop(), 0);
  });
});

interface Knock {
  readonly port?: string;
  readonly timeout?: number;
  readonly address?: string;
}

interface Place<Name extends string> {
  readonly lab: Lab;
  readonly people: Readonly<Record<Name | 'bastion', GnupgHome>>;
  /** The lines of a stanza, but for who may sign. */
  readonly access: readonly string[];
  /** Sends a packet with spa-client. */
  knock(operator: GnupgHome, wanted?: Knock): Promise<void>;
}

async function makePlace<Name extends string>(t: Test, names: readonly Name[]): Promise<Place<Name>> {
  const lab = await createLab('nftables');
  t.teardown(lab.dispose);
  await lab.bastion.must(['nft', 'flush', 'ruleset']);
  const homes = new Map<string, GnupgHome>();
  for (const name of ['bastion', ...names]) {
    const home = await createGnupgHome(lab.scratch.path(`g-${name}`), name, 'ecc');
    t.teardown(home.close);
    homes.set(name, home);
    writeFileSync(lab.scratch.path(`${name}.key`), await home.exportSecretKey(), { mode: 0o600 });
  }
  const people = Object.fromEntries(homes) as Record<Name | 'bastion', GnupgHome>;
  const { bastion } = people;
  const hmac = randomBytes(64).toString('base64');
  writeFileSync(lab.scratch.path('bastion.asc'), await bastion.exportCertificate());
  const nameOf = (operator: GnupgHome): string => [...homes].find(([, home]) => home === operator)?.[0] ?? '';
  return {
    lab,
    people,
    access: [
      'SOURCE ANY',
      `GPG_HOME_DIR ${bastion.path}`,
      `GPG_DECRYPT_ID ${bastion.fingerprint}`,
      'GPG_ALLOW_NO_PW Y',
      `HMAC_KEY_BASE64 ${hmac}`,
      'OPEN_PORTS tcp/22, tcp/2222',
      'REQUIRE_SOURCE_ADDRESS Y',
    ],
    knock: async (operator, { port = 'tcp/22', timeout, address = client4 } = {}) => {
      const rc = lab.scratch.path('rc');
      const lines = [
        ...['[default]', `SPA_SERVER ${server4}`, `ACCESS ${port}`, `ALLOW_IP ${address}`, 'USE_HMAC Y'],
        ...[`HMAC_KEY_BASE64 ${hmac}`, `GPG_SIGNER_KEY_FILE ${lab.scratch.path(`${nameOf(operator)}.key`)}`],
        ...[`GPG_RECIPIENT_KEY_FILE ${lab.scratch.path('bastion.asc')}`, 'USE_GPG Y'],
        ...(timeout === undefined ? [] : [`FW_TIMEOUT ${timeout}`]),
      ];
      writeFileSync(rc, `${lines.join('\n')}\n`, { mode: 0o600 });
      await lab.operator.must([process.execPath, PROGRAMS.spaClient, '--rc-file', rc]);
    },
  };
}

function enrolled(name: string, home: GnupgHome): EnrolledOperator {
  return {
    name,
    keys: [{ fingerprint: home.fingerprint as Fingerprint, notAfterSeconds: null }],
    notAfterSeconds: null,
    ports: parseProtoPorts('tcp/22') ?? [],
    timeoutSeconds: 60,
  };
}

function writeAccess(lab: Lab, lines: readonly string[]): void {
  writeFileSync(lab.scratch.path('access.conf'), `${lines.join('\n')}\n`, { mode: 0o600 });
}

function gpg(home: GnupgHome, args: readonly string[], input = ''): void {
  const common = ['--homedir', home.path, '--batch', '--quiet', '--no-tty', '--pinentry-mode', 'loopback'];
  execFileSync('gpg', [...common, '--passphrase', '', ...args], { input, stdio: ['pipe', 'pipe', 'pipe'] });
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
