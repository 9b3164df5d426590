import { lacking } from 'spa-lab';
import t from 'tap';
import { type NftChain, parseNftChain } from '../src/firewall/nft-place.ts';
import { createNftables } from '../src/firewall/nftables.ts';
import { client4, client6, grantOf, policy, ssh, testFirewall, withRig } from './firewall-contract.ts';
import type { FirewallPlan } from './firewall-plan.ts';
import { createRealRig, DEFAULT_DROP, rejection } from './firewall-rig.ts';

t.setTimeout(180_000);

const skip = lacking('nft');
const attached = (chain: string): FirewallPlan => ({
  kind: 'nftables',
  placement: { mode: 'attach', chain: chainOf(chain) },
});

t.test('nftables, attached', { skip }, async (t) => {
  testFirewall(t, () => createRealRig(attached('inet filter input'), DEFAULT_DROP));

  const test = withRig(t, () => createRealRig(attached('inet filter input'), DEFAULT_DROP));

  test("only doors and SPA packets pass; the operator's rules decide the rest, and nothing of ours stays", async (t, rig) => {
    const before = await rig.pair.server.must(['nft', 'list', 'ruleset']);
    const firewall = rig.open();
    t.same(await firewall.install(policy, { flush: false, doors: [] }), []);
    t.equal(await rig.answersUdp(client4, 62201), true);
    t.equal(await rig.answersUdp(client4, 5353), false);
    t.equal(await rig.reaches(client4, { protocol: 'tcp', port: 8080 }), false);
    await firewall.grant(grantOf());
    await firewall.close({ flush: true });
    t.equal(await rig.pair.server.must(['nft', 'list', 'ruleset']), before);
    t.equal(await rig.answersUdp(client4, 62201), false);
  });

  test('a chain to which the operator jumps himself will do', async (t, rig) => {
    const { server } = rig.pair;
    await server.must(
      ['nft', '-f', '-'],
      'add chain inet filter services\nadd rule inet filter input jump services\n',
    );
    const firewall = createNftables({
      command: [...server.enter, 'nft'],
      placement: { mode: 'attach', chain: chainOf('inet filter services') },
      now: Date.now,
    });
    t.same(
      await firewall.install(policy, { flush: false, doors: [] }),
      [],
      'the chain above it does its part',
    );
    await firewall.grant(grantOf());
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
    await firewall.close({ flush: true });
  });

  test('there is one jump, at the top, however often it is installed', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    await rig.pair.server.must(['nft', 'insert rule inet filter input tcp dport 22 drop']);
    await rig.open().install(policy, { flush: true, doors: [] });
    const rules = await rig.pair.server.must(['nft', 'list', 'chain', 'inet', 'filter', 'input']);
    t.equal(rules.match(/jump spa_doors/g)?.length, 1);
    t.ok(rules.indexOf('jump spa_doors') < rules.indexOf('tcp dport 22 drop'), 'first');
  });

  test('it is back after the operator has loaded his rules again', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    await rig.pair.server.must(['nft', '-f', '-'], `flush ruleset\n${DEFAULT_DROP.input}`);
    await t.rejects(firewall.grant(grantOf()), { name: 'FirewallError' });
    await firewall.install(policy, { flush: false, doors: [] });
    await firewall.grant(grantOf());
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
    await rig.pair.server.must(['nft', 'flush', 'ruleset']);
    await firewall.close({ flush: true });
  });

  test('rules under which doors are pointless or sessions die are pointed out', async (t, rig) => {
    await rig.pair.server.must(
      ['nft', '-f', '-'],
      'flush ruleset\ntable inet filter { chain input { type filter hook input priority 0; }; }\n',
    );
    const warnings = await rig.open().install(policy, { flush: false, doors: [] });
    t.match(warnings, [/lets everything through/, /ct state established,related accept/]);
  });

  test('a chain that is not there is an error that names those that are', async (t, rig) => {
    const make = (chain: string) =>
      createNftables({
        command: [...rig.pair.server.enter, 'nft'],
        placement: { mode: 'attach', chain: chainOf(chain) },
        now: Date.now,
      });
    const missing = await rejection(
      make('inet filter incoming').install(policy, { flush: false, doors: [] }),
    );
    t.match(missing.message, /there is no chain inet filter incoming; .* are: inet filter input/);
    await rig.pair.server.must(
      ['nft', '-f', '-'],
      'flush ruleset\ntable ip x { chain o { type filter hook output priority 0; }; }\n',
    );
    const wrong = await rejection(make('ip x o').install(policy, { flush: false, doors: [] }));
    t.match(wrong.message, /has hook output; .*NFT_MODE own is right/);
  });

  test('a table of one family has doors of that family, and says what it lacks', async (t, rig) => {
    const families = [
      { family: 'ip', fits: client4, lacks: client6, warning: /no doors for IPv6/ },
      { family: 'ip6', fits: client6, lacks: client4, warning: /no doors for IPv4/ },
    ];
    for (const { family, fits, lacks, warning } of families) {
      const nd = family === 'ip6' ? 'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept;' : '';
      const rules = `ct state established,related accept; ${nd}`;
      await rig.pair.server.must(
        ['nft', '-f', '-'],
        `flush ruleset\ntable ${family} edge { chain incoming { type filter hook input priority 0; policy drop; ${rules} }; }\n`,
      );
      const firewall = createNftables({
        command: [...rig.pair.server.enter, 'nft'],
        placement: { mode: 'attach', chain: chainOf(`${family} edge incoming`) },
        now: Date.now,
      });
      t.match(await firewall.install(policy, { flush: false, doors: [] }), [warning]);
      t.equal(await rig.reaches(fits, ssh), false);
      await firewall.grant(grantOf({ address: fits }));
      t.equal(await rig.reaches(fits, ssh, 5_000), true);
      t.match(await firewall.list(), [{ address: fits }]);
      t.match(await rejection(firewall.grant(grantOf({ address: lacks }))), { name: 'FirewallError' });
      await firewall.close({ flush: true });
    }
  });
});

t.test('the name of a chain has a family, a table and a chain', async (t) => {
  t.same(parseNftChain(' inet filter  input '), { family: 'inet', table: 'filter', chain: 'input' });
  for (const wrong of [
    'filter input',
    'arp filter input',
    'inet filter in;put',
    'inet filter input x',
    'inet "a" b',
  ]) {
    t.equal(parseNftChain(wrong), null, wrong);
  }
});

function chainOf(text: string): NftChain {
  const chain = parseNftChain(text);
  if (chain === null) throw new TypeError(text);
  return chain;
}
