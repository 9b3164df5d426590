import { spawnSync } from 'node:child_process';
import { getPriority } from 'node:os';
import {
  addresses,
  createLab,
  doorCloses,
  doorOpens,
  lacking,
  reach,
  sendDatagram,
  startSpaServer,
  until,
} from 'spa-lab';
import t from 'tap';
import { FIREWALLS } from './firewalls.ts';
import { createSecrets, seal } from './packets.ts';

t.setTimeout(180_000);

for (const firewall of FIREWALLS) {
  t.test(`${firewall.name}:`, { skip: lacking('sshd', 'ssh', ...firewall.programs) }, async (t) => {
    const lab = await createLab(firewall.rules);
    t.teardown(lab.dispose);
    const secrets = createSecrets();
    const access = [
      'SOURCE ANY',
      secrets.access.key,
      secrets.access.hmac,
      'OPEN_PORTS tcp/22',
      'MAX_FW_TIMEOUT 300',
    ];
    const start = () => startSpaServer(lab.bastion, lab.scratch, { server: firewall.server, access });
    const knock = async (clientTimeoutSeconds: number, address?: string): Promise<string> => {
      const packet = await seal(secrets, {
        clientTimeoutSeconds,
        ...(address === undefined ? {} : { address }),
      });
      await sendDatagram(lab.operator, addresses.server4, packet);
      return packet;
    };

    await t.test('an IPv6 packet opens an IPv6 door, and no other', async (t) => {
      const daemon = await start();
      t.equal(getPriority(daemon.process.pid), mayComeFirst() ? -10 : getPriority(), 'before other programs');
      const packet = await seal(secrets, { clientTimeoutSeconds: 4 });
      await sendDatagram(lab.operator, addresses.server6, packet);
      await doorOpens(lab, addresses.server6);
      const peer = (await lab.login('echo $SSH_CONNECTION', addresses.server6)).split(' ')[0];
      t.equal(peer, addresses.client6, 'ssh logs in over IPv6');
      t.equal(await reach(lab.operator, addresses.server6, { localAddress: addresses.other6 }), 'silent');
      t.equal(await reach(lab.operator, addresses.server4), 'silent');
      await doorCloses(lab, addresses.server6);
      t.equal(await daemon.stop(), 0);
    });

    await t.test('a packet that was caught opens nothing for whoever sends it again', async (t) => {
      const daemon = await start();
      const packet = await knock(2);
      await doorOpens(lab);
      const since = daemon.log().length;
      await sendDatagram(lab.operator, addresses.server4, packet, { localAddress: addresses.other4 });
      await daemon.logged(/denied .*replay.* from 10\.77\.0\.3/, since);
      t.equal(await reach(lab.operator, addresses.server4, { localAddress: addresses.other4 }), 'silent');
      await doorCloses(lab);
      await sendDatagram(lab.operator, addresses.server4, packet);
      await daemon.logged(/denied .*replay.* from 10\.77\.0\.1/, since);
      t.equal(await reach(lab.operator, addresses.server4), 'silent');
      t.equal(await daemon.stop('SIGKILL'), null);
      const next = await start();
      await sendDatagram(lab.operator, addresses.server4, packet);
      await next.logged(/denied .*replay/);
      t.equal(await reach(lab.operator, addresses.server4), 'silent', 'nor after a kill -9 and a restart');
      t.equal(await next.stop(), 0);
    });

    await t.test(
      'a door closes after its time though the daemon was killed, and sessions live on',
      async (t) => {
        const daemon = await start();
        await knock(4);
        await doorOpens(lab);
        const session = lab.login('sleep 6; echo still here');
        await until('the session runs', async () => {
          return (await lab.bastion.must(['ss', '-Htn', 'state', 'established', 'sport', '=', '22'])) !== '';
        });
        await daemon.stop('SIGKILL');
        t.equal(await reach(lab.operator, addresses.server4), 'open', 'the door outlives the daemon');
        await doorCloses(lab);
        t.match(await session, 'still here');
        const next = await start();
        t.equal(await reach(lab.operator, addresses.server4), 'silent');
        await knock(2);
        await doorOpens(lab);
        t.equal(await next.stop(), 0, 'the next daemon works');
        t.equal(await reach(lab.operator, addresses.server4), 'silent', 'and closes its doors when it ends');
      },
    );

    await t.test(
      'SIGHUP reads the configuration again and leaves doors open; a typo changes nothing',
      async (t) => {
        const daemon = await start();
        await knock(300);
        await doorOpens(lab);
        const rewrite = (lines: readonly string[]) =>
          lab.bastion.must(['tee', lab.scratch.path('access.conf')], `${lines.join('\n')}\n`);
        await rewrite([...access, 'OPEN_PORT tcp/80']);
        daemon.process.kill('SIGHUP');
        await daemon.logged(/access\.conf:6: .*did you mean OPEN_PORTS/);
        t.equal(await reach(lab.operator, addresses.server4), 'open');
        await rewrite(access.map((line) => line.replace('tcp/22', 'tcp/2222')));
        const since = daemon.log().length;
        daemon.process.kill('SIGHUP');
        await until('the new configuration holds', async () => {
          await knock(5);
          return daemon.log().includes('(OPEN_PORTS)', since);
        });
        t.equal(await reach(lab.operator, addresses.server4), 'open', 'the door stays');
        t.equal(await daemon.stop(), 0);
      },
    );
  });
}

/** True if programs here may be given more of the processor. */
function mayComeFirst(): boolean {
  return Number(spawnSync('nice', ['-n', '-1', 'nice']).stdout) < getPriority();
}
