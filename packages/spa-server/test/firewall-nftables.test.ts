import { lacking } from 'spa-lab';
import t from 'tap';
import { type Firewall, FirewallError } from '../src/firewall/firewall.ts';
import { createNftables } from '../src/firewall/nftables.ts';
import { client4, grantOf, policy, ssh, testFirewall, web, withRig } from './firewall-contract.ts';
import type { FirewallPlan } from './firewall-plan.ts';
import { createRealRig, DEFAULT_DROP, rejection } from './firewall-rig.ts';
import { sessions } from './firewall-sessions.ts';

t.setTimeout(180_000);

const skip = lacking('nft');
const own: FirewallPlan = { kind: 'nftables', placement: { mode: 'own', table: 'spa' } };
t.test('nftables, own table', { skip }, async (t) => {
  testFirewall(t, () => createRealRig(own));

  const test = withRig(t, () => createRealRig(own));

  test('only the protected ports are shut, and they stay shut after the end', async (t, rig) => {
    const firewall = rig.open();
    t.same(await firewall.install(policy, { flush: false, doors: [] }), []);
    const other = { protocol: 'tcp', port: 8080 } as const;
    t.equal(await rig.reaches(client4, other, 5_000), true, 'a port that nobody protects is open');
    t.equal(await rig.answersUdp(client4, 5353), true);
    await firewall.grant(grantOf());
    await firewall.close({ flush: true });
    t.equal(await rig.reaches(client4, ssh), false);
    t.equal(await rig.reaches(client4, web), false);
  });

  test('a reload with other protected ports replaces the rules', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    await firewall.install({ ...policy, protectedPorts: [ssh] }, { flush: false, doors: [] });
    t.equal(await rig.reaches(client4, web, 5_000), true);
    t.equal(await rig.reaches(client4, ssh), false);
    await firewall.install({ ...policy, protectedPorts: [] }, { flush: false, doors: [] });
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
  });

  test('a grant fails while the table is gone, and works after another install', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    await firewall.grant(grantOf());
    await rig.pair.server.must(['nft', 'flush', 'ruleset']);
    const error = await rejection(firewall.grant(grantOf()));
    t.ok(error instanceof FirewallError);
    t.match(error, { notPermitted: false, message: /No such file or directory/ });
    t.notMatch(error.message, /\n/, 'one line');
    await firewall.install(policy, { flush: false, doors: [] });
    await firewall.grant(grantOf());
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
  });

  test('a session that is killed is replaced, whether idle or at work', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    await firewall.grant(grantOf({ timeoutSeconds: 5 }));
    const [pid] = sessions(rig.pair.server.pid);
    t.ok(pid);
    process.kill(Number(pid), 'SIGKILL');
    const grants = [20, 30, 40].map((timeoutSeconds) => firewall.grant(grantOf({ timeoutSeconds })));
    await Promise.all(grants);
    t.match(await firewall.list(), [{ address: client4 }]);
    t.notSame(sessions(rig.pair.server.pid), [pid], 'another process');
    await firewall.close({ flush: true });
  });

  t.test('a session that does not answer is given up', async (t) => {
    const firewall = createNftables({
      command: ['sh', '-c', 'exec sleep 60'],
      placement: { mode: 'own', table: 'spa' },
      now: Date.now,
      timeLimitMs: 100,
    });
    const error = await rejection(firewall.grant(grantOf()));
    t.match(error, { name: 'FirewallError', status: null, message: /no answer within 100 ms/ });
    await firewall.close({ flush: false });
  });

  test('another chain that will drop what we accept is named, with what to write', async (t, rig) => {
    await rig.pair.server.must(DEFAULT_DROP.command, DEFAULT_DROP.input);
    const firewall = rig.open();
    const advice =
      /chain inet filter input drops by default .*NFT_MODE attach and NFT_ATTACH_CHAIN inet filter input/;
    t.match(await firewall.install(policy, { flush: false, doors: [] }), [advice]);
    const accept = 'add rule inet filter input udp dport 62201 accept\nadd rule inet filter input';
    await rig.pair.server.must(
      ['nft', '-f', '-'],
      `${accept} tcp dport { 22, 8000-9000 } ct state new accept\n`,
    );
    t.same(await firewall.install(policy, { flush: false, doors: [] }), [], 'no obstacle any more');
    await rig.pair.server.must(
      ['nft', '-f', '-'],
      'flush chain inet filter input\nadd chain inet filter input { policy accept; }\nadd rule inet filter input counter reject\n',
    );
    t.match(
      await firewall.install(policy, { flush: false, doors: [] }),
      [advice],
      'a last rule that rejects counts as well',
    );
  });
});

t.test('nftables without privilege or program', { skip }, async (t) => {
  const make = (command: readonly string[]) =>
    createNftables({ command, placement: { mode: 'own', table: 'spa' }, now: Date.now });

  t.test('a lack of privilege is told apart from other failures', async (t) => {
    const firewall = make(['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin', 'nft']);
    for (const attempt of attempts(firewall)) {
      const error = await rejection(attempt());
      t.match(error, { notPermitted: true, message: /needs root or CAP_NET_ADMIN/ });
      t.notMatch(error.message, /\n/);
    }
    await firewall.close({ flush: false });
  });

  t.test('a missing nft is a FirewallError in every call', async (t) => {
    const firewall = make(['/nowhere/nft']);
    for (const attempt of attempts(firewall)) {
      t.match(await rejection(attempt()), { status: null, message: /nowhere\/nft is not installed/ });
    }
    await t.rejects(firewall.close({ flush: true }), FirewallError);
  });
});

function attempts(firewall: Firewall): readonly (() => Promise<unknown>)[] {
  return [
    () => firewall.install(policy, { flush: false, doors: [] }),
    () => firewall.grant(grantOf()),
    () => firewall.list(),
  ];
}
