import { rmSync } from 'node:fs';
import { readCertificates, readSecretKeys, type Sealing } from 'spa-core';
import {
  addresses,
  createGnupgHome,
  createLab,
  doorCloses,
  doorOpens,
  lacking,
  reach,
  sendDatagram,
  startSpaServer,
} from 'spa-lab';
import t, { type Test } from 'tap';
import { FIREWALLS } from './firewalls.ts';
import { startSession, tell } from './guarding.ts';
import { createSecrets, seal } from './packets.ts';

t.setTimeout(240_000);

const OWN = {
  name: 'nftables, own table',
  rules: 'nftables',
  server: ['FIREWALL nftables'],
  programs: ['nft'],
} as const;

for (const firewall of [OWN, ...FIREWALLS]) {
  const skip = lacking('sshd', 'ssh', 'conntrack', 'ss', ...firewall.programs);
  t.test(`${firewall.name}:`, { skip }, async (t) => {
    const lab = await createLab(firewall.rules);
    t.teardown(lab.dispose);
    if (firewall === OWN) await lab.bastion.must(['nft', 'flush', 'ruleset']);
    const secrets = createSecrets();
    const daemon = await startSpaServer(lab.bastion, lab.scratch, {
      server: firewall.server,
      access: [
        'SOURCE ANY',
        secrets.access.key,
        secrets.access.hmac,
        'OPEN_PORTS tcp/22',
        'MAX_FW_TIMEOUT 300',
      ],
    });
    const knock = async (username: string, clientTimeoutSeconds: number, address: string): Promise<void> => {
      const since = daemon.log().length;
      const packet = await seal(secrets, { username, clientTimeoutSeconds, address });
      await sendDatagram(lab.operator, addresses.server4, packet);
      await daemon.logged(/opened tcp/, since);
    };
    const { client4, other4, server4, client6, server6 } = addresses;

    await t.test('a door is listed with all who hold it, and stays for who is left', async (t) => {
      await knock('alice', 200, client4);
      await knock('bob', 100, client4);
      await knock('carol', 50, other4);
      const { stdout } = await tell(lab, daemon, '--fw-list');
      t.match(stdout, /^Doors that are open in .*: 2\n/);
      t.match(
        stdout,
        /^tcp\/22 from 10\.77\.0\.1, (19\d|200) s left: user alice, not signed, stanza #1, grant \w{16}$/m,
      );
      t.match(
        stdout,
        /^tcp\/22 from 10\.77\.0\.1, (9\d|100) s left: user bob, not signed, stanza #1, grant \w{16}$/m,
      );
      t.match(stdout, /^tcp\/22 from 10\.77\.0\.3, (4\d|50) s left: user carol/m);

      const revoked = await tell(lab, daemon, '--revoke', 'user=alice');
      t.match(revoked, { status: 0, stderr: '' });
      t.match(
        revoked.stdout,
        /^Revoked 1 grant of user=alice\.\nStill open for others, (9\d|100) s more: tcp\/22 for 10\.77\.0\.1: user bob, not signed, stanza #1, grant \w{16}\.\n$/,
      );
      await daemon.logged(
        /revoked 1 grant of user=alice; closed no door; others still hold open tcp\/22 for 10\.77\.0\.1/,
      );
      t.equal(await reach(lab.operator, server4), 'open');
      t.notMatch(
        (await tell(lab, daemon, '--fw-list')).stdout,
        /alice|1\d\d s left/,
        'not longer than bob has it',
      );

      t.match(await tell(lab, daemon, '--revoke', `address=${client4}`), {
        status: 0,
        stdout:
          /^Revoked 1 grant of address=10\.77\.0\.1\.\nClosed tcp\/22 for 10\.77\.0\.1\.\nConnections that were made/,
      });
      t.equal(await reach(lab.operator, server4), 'silent');
      const id = /carol.*grant (\w{16})/.exec(stdout)?.[1];
      t.equal(await reach(lab.operator, server4, { localAddress: other4 }), 'open');
      t.match(await tell(lab, daemon, '--revoke', `grant=${id}`), {
        status: 0,
        stdout: /Closed tcp\/22 for 10\.77\.0\.3/,
      });
      t.equal(await reach(lab.operator, server4, { localAddress: other4 }), 'silent');
      t.match(await tell(lab, daemon, '--revoke', 'user=carol'), {
        status: 0,
        stdout: 'There is no live grant of user=carol.\n',
      });
    });

    for (const [version, client, server] of [
      ['IPv4', client4, server4],
      ['IPv6', client6, server6],
    ] as const) {
      await t.test(
        `--cut ends a session over ${version}, one that talks and one that is silent`,
        async (t) => {
          await knock('alice', 200, client);
          await doorOpens(lab, server);
          const [talking, silent] = [
            await startSession(lab, server),
            await startSession(lab, server, { silent: true }),
          ];
          t.match(await tell(lab, daemon, '--revoke', 'user=alice'), { status: 0, stdout: /Closed tcp\/22/ });
          t.equal(await reach(lab.operator, server), 'silent');
          await talking.goesOn();
          t.pass('a session outlives its door');
          const cut = await tell(lab, daemon, '--revoke', `address=${client}`, '--cut');
          t.match(
            cut,
            { status: 0, stdout: /There is no live grant[\s\S]*Ended \d connections?\.\n$/ },
            cut.stderr,
          );
          t.not(await talking.ended, 0);
          t.not(await silent.ended, 0);

          await knock('alice', 200, client);
          await doorOpens(lab, server);
          const again = await startSession(lab, server);
          t.match(await tell(lab, daemon, '--revoke', 'user=alice', '--cut'), {
            status: 0,
            stdout: /^Revoked 1 grant of user=alice\.\nClosed tcp\/22 for .*\nEnded [1-9] connections?\.\n$/,
          });
          t.not(await again.ended, 0, 'with its door');
          await daemon.logged(/warning|cut \d connection/);
          t.equal(await connectionsOf(lab), '');
        },
      );
    }

    await t.test('connections of others, through a door that stays, are not cut', async (t) => {
      await knock('alice', 200, client4);
      await knock('bob', 200, client4);
      await knock('bob', 200, other4);
      const [shared, bobs] = [
        await startSession(lab, server4),
        await startSession(lab, server4, { from: other4 }),
      ];
      t.match(await tell(lab, daemon, '--revoke', 'user=alice', '--cut'), {
        status: 0,
        stdout: /Ended 0 connections/,
      });
      await shared.goesOn();
      await bobs.goesOn();
      t.match(await tell(lab, daemon, '--revoke', `address=${client4}`, '--cut'), { status: 0 });
      t.not(await shared.ended, 0);
      await bobs.goesOn();
      t.match(await tell(lab, daemon, '--revoke', 'user=bob', '--cut'), { status: 0 });
      t.not(await bobs.ended, 0);
    });

    await t.test('--fw-flush closes all doors, and nobody holds one any more', async (t) => {
      await knock('alice', 200, client4);
      await knock('bob', 200, other4);
      t.match(await tell(lab, daemon, '--fw-flush'), { status: 0, stdout: /^Closed all doors: 2\.\n/ });
      t.equal(await reach(lab.operator, server4), 'silent');
      t.match(await tell(lab, daemon, '--fw-list'), { status: 0, stdout: /: 0\n$/ });
    });

    await t.test(
      'after a kill -9 all this works without the daemon, and the next one knows of it',
      async (t) => {
        await knock('alice', 200, client4);
        await knock('bob', 100, client4);
        await knock('carol', 200, other4);
        await daemon.stop('SIGKILL');
        t.match(await tell(lab, daemon, '--status'), { status: 1 });
        const { status, stdout } = await tell(lab, daemon, '--fw-list');
        t.equal(status, 0);
        t.match(stdout, /user alice/);
        t.match(stdout, /user bob/);
        t.match(await tell(lab, daemon, '--revoke', 'user=alice'), {
          status: 0,
          stdout: /Still open for others, (9\d|100) s more/,
        });
        t.match(await tell(lab, daemon, '--revoke', 'user=carol'), {
          status: 0,
          stdout: /Closed tcp\/22 for 10\.77\.0\.3/,
        });
        t.equal(await reach(lab.operator, server4), 'open');
        t.equal(await reach(lab.operator, server4, { localAddress: other4 }), 'silent');

        const keep = [...firewall.server, 'FLUSH_IPT_AT_INIT N'];
        const access = ['SOURCE ANY', secrets.access.key, secrets.access.hmac, 'OPEN_PORTS tcp/22'];
        const next = await startSpaServer(lab.bastion, lab.scratch, { server: keep, access });
        const listed = (await tell(lab, next, '--fw-list')).stdout;
        t.match(
          listed,
          /: 1\ntcp\/22 from 10\.77\.0\.1, \d\d s left: user bob, .*\n$/,
          'bob, and not longer',
        );
        await next.stop('SIGKILL');
        rmSync(lab.scratch.path('run', 'spa-server.grants'));
        const third = await startSpaServer(lab.bastion, lab.scratch, { server: keep, access });
        t.match(
          (await tell(lab, third, '--fw-list')).stdout,
          /: 1\ntcp\/22 .* left: operator unknown, grant \w{16}\n$/,
        );
        t.match(await tell(lab, third, '--revoke', `address=${client4}`), { status: 0, stdout: /Closed/ });
        t.equal(await reach(lab.operator, server4), 'silent');
        t.equal(await third.stop(), 0);
      },
    );
  });
}

t.test(
  'an operator is revoked by fingerprint and by key ID',
  { skip: lacking('gpg', 'nft', 'sshd', 'ssh', 'ss') },
  async (t) => {
    const lab = await createLab('nftables');
    t.teardown(lab.dispose);
    await lab.bastion.must(['nft', 'flush', 'ruleset']);
    const { alice, sealing, access } = await openpgpOf(t, lab.scratch.path('gnupg'));
    const daemon = await startSpaServer(lab.bastion, lab.scratch, { server: OWN.server, access });
    const knock = async (): Promise<void> => {
      await sendDatagram(lab.operator, addresses.server4, await seal({ encryption: sealing, hmac: null }));
      await doorOpens(lab);
    };
    await knock();
    t.match((await tell(lab, daemon, '--fw-list')).stdout, new RegExp(`operator ${alice}, stanza #1`));
    t.match(await tell(lab, daemon, '--revoke', `operator=${'A'.repeat(40)}`), { stdout: /no live grant/ });
    t.match(await tell(lab, daemon, '--revoke', `operator=${alice.toLowerCase()}`), {
      stdout: /Closed tcp\/22/,
    });
    await doorCloses(lab);
    await knock();
    t.match(await tell(lab, daemon, '--revoke', `operator=0x${alice.slice(-16)}`), {
      stdout: /Closed tcp\/22/,
    });
    await doorCloses(lab);
    t.equal(await daemon.stop(), 0);
  },
);

function connectionsOf(lab: {
  readonly bastion: { must(command: readonly string[]): Promise<string> };
}): Promise<string> {
  return lab.bastion.must(['ss', '-Htn', 'state', 'established', 'sport', '=', '22']);
}

async function openpgpOf(
  t: Test,
  folder: string,
): Promise<{ readonly alice: string; readonly sealing: Sealing; readonly access: readonly string[] }> {
  const [bastion, alice] = [
    await createGnupgHome(`${folder}-bastion`, 'bastion', 'ecc'),
    await createGnupgHome(`${folder}-alice`, 'alice', 'ecc'),
  ];
  t.teardown(bastion.close);
  t.teardown(alice.close);
  await bastion.certify(alice);
  const [recipient] = await readCertificates(Buffer.from(await bastion.exportCertificate()));
  const [signer] = await readSecretKeys(Buffer.from(await alice.exportSecretKey()));
  if (recipient === undefined || signer === undefined) throw new Error('keys');
  return {
    alice: alice.fingerprint,
    sealing: { kind: 'openpgp', signer, recipient },
    access: [
      'SOURCE ANY',
      `GPG_HOME_DIR ${bastion.path}`,
      `GPG_DECRYPT_ID ${bastion.fingerprint}`,
      'GPG_ALLOW_NO_PW Y',
      `GPG_FINGERPRINT_ID ${alice.fingerprint}`,
      'OPEN_PORTS tcp/22',
    ],
  };
}
