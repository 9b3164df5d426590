import { spawnSync } from 'node:child_process';
import { lacking } from 'spa-lab';
import type { Test } from 'tap';
import { type DoorChange, FirewallError } from '../src/firewall/firewall.ts';
import { createIptables } from '../src/firewall/iptables.ts';
import { DEFAULT_IPTABLES_CHAIN } from '../src/firewall/iptables-chain.ts';
import { client4, client6, grantOf, policy, ssh, testFirewall, web, withRig } from './firewall-contract.ts';
import { preFilter, provesPreFilter } from './firewall-pre-filter.ts';
import { createRealRig, type OperatorRules, type RealRig, rejection } from './firewall-rig.ts';

/** All tests of iptables, as tests of `t`: of one of its two kinds, with doors in a set of ipset or in rules. */
export function testIptables(t: Test, variant: 'nft' | 'legacy', ipset: boolean): void {
  const programs = [`iptables-${variant}`, `ip6tables-${variant}`, ...(ipset ? ['ipset'] : [])];
  const skip = lacking(...programs) || unsupported(`iptables-${variant}`);

  t.test(`iptables-${variant}, ${ipset ? 'with ipset' : 'without ipset'}`, { skip }, async (t) => {
    const [rules4, rules6] = operatorRules(variant);
    const makeRig = (): Promise<RealRig> =>
      createRealRig({ kind: 'iptables', variant, ipset }, rules4, rules6);
    const save = (rig: RealRig, from = 'iptables'): Promise<string> =>
      rig.pair.server.must([`${from}-${variant}-save`, '-t', 'filter']).then(withoutComments);

    testFirewall(t, makeRig);

    const test = withRig(t, makeRig);

    test("only doors and SPA packets pass; the operator's rules decide the rest, and nothing of ours stays", async (t, rig) => {
      const before = await save(rig);
      const firewall = rig.open();
      t.same(await firewall.install(policy, { flush: false, doors: [] }), []);
      t.equal(await rig.answersUdp(client4, 62201), true);
      t.equal(await rig.answersUdp(client4, 5353), false);
      t.equal(await rig.reaches(client4, { protocol: 'tcp', port: 8080 }), false);
      await firewall.grant(grantOf());
      await firewall.grant(grantOf({ address: client6 }));
      await firewall.close({ flush: true });
      t.equal(await save(rig), before);
      t.notMatch(await save(rig, 'ip6tables'), /FWKNOP/);
    });

    const testRules = ipset ? () => {} : test;
    const testSet = ipset ? test : () => {};

    testRules("rules carry fwknop's comment, and end in the kernel a second before it", async (t, rig) => {
      const firewall = rig.open();
      await firewall.install(policy, { flush: false, doors: [] });
      const { expiresAt } = await firewall.grant(grantOf({ id: 'f00' }));
      const lastSecond = new Date(expiresAt - 1000).toISOString().slice(0, 19);
      const rule = `-A FWKNOP_INPUT -s ${client4}/32 -p tcp -m tcp --dport 22 -m time --datestop ${lastSecond} -m comment --comment _exp_${expiresAt / 1000}_f00 -j ACCEPT`;
      t.ok((await save(rig)).includes(rule));
    });

    testRules('expired rules are swept, while what others put into the chain stays', async (t, rig) => {
      const firewall = rig.open();
      await firewall.install(policy, { flush: false, doors: [] });
      const foreign = '-A FWKNOP_INPUT -s 10.9.9.9/32 -j ACCEPT';
      await rig.pair.server.must([`iptables-${variant}`, ...foreign.split(' ')]);
      await firewall.grant(grantOf({ timeoutSeconds: 1 }));
      for (let tries = 0; (await save(rig)).includes('_exp_'); tries++) {
        if (tries > 200) throw new Error('not swept');
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      t.ok((await save(rig)).includes(foreign));
    });

    test("doors of a stock fwknopd are taken over, and get the kernel's end that they lacked", async (t, rig) => {
      const end = Math.floor(Date.now() / 1000) + 50;
      const rule = (port: number, seconds: number): string =>
        `-A FWKNOP_INPUT -s ${client4}/32 -p tcp --dport ${port} -m comment --comment _exp_${seconds} -j ACCEPT`;
      await rig.pair.server.must(
        [`iptables-${variant}-restore`, '--noflush'],
        `*filter\n:FWKNOP_INPUT - [0:0]\n-I INPUT 1 -j FWKNOP_INPUT\n${rule(22, end)}\n${rule(8443, end - 100)}\nCOMMIT\n`,
      );
      const firewall = rig.open();
      await firewall.install(policy, { flush: false, doors: [] });
      t.match(await firewall.list(), [{ address: client4, port: ssh, grantId: null }]);
      const saved = await save(rig);
      t.equal(saved.match(/--datestop/g)?.length ?? 0, ipset ? 0 : 1);
      t.equal(saved.match(/-A INPUT -j FWKNOP_INPUT/g)?.length, 1);
      t.equal(await rig.reaches(client4, ssh, 5_000), true);
      t.equal(await rig.reaches(client4, web), false, 'left open by a crash, shut now');
    });

    test('chain and jump come back with the next grant after somebody has flushed the table', async (t, rig) => {
      const firewall = rig.open();
      await firewall.install(policy, { flush: false, doors: [] });
      const { command, input } = rules4;
      await rig.pair.server.must(command, input);
      t.notMatch(await save(rig), /FWKNOP/);
      await firewall.grant(grantOf());
      t.equal(await rig.reaches(client4, ssh, 5_000), true);
      t.equal(await rig.answersUdp(client4, 62201), true);
    });

    test('the jump stands where it should, once, and at the end of a chain that is shorter', async (t, rig) => {
      const make = (position: number) =>
        createIptables({
          iptables: [...rig.pair.server.enter, `iptables-${variant}`],
          ip6tables: null,
          chain: { ...DEFAULT_IPTABLES_CHAIN, position },
          now: Date.now,
        });
      for (const [position, expected] of [
        [2, 1],
        [99, 2],
        [1, 0],
      ] as const) {
        await make(position).install(policy, { flush: false, doors: [] });
        const rules = (await save(rig)).split('\n').filter((line) => line.startsWith('-A INPUT '));
        t.same(
          rules.map((rule) => rule.endsWith('-j FWKNOP_INPUT')),
          [0, 1, 2].map((index) => index === expected),
        );
      }
    });

    test('without IPv6 the rest works on, and the operator is told', async (t, rig) => {
      for (const ip6tables of [null, [...rig.pair.server.enter, 'false']]) {
        const firewall = createIptables({
          iptables: [...rig.pair.server.enter, `iptables-${variant}`],
          ip6tables,
          now: Date.now,
        });
        t.match(await firewall.install(policy, { flush: false, doors: [] }), [/^no doors for IPv6: /]);
        await firewall.grant(grantOf());
        t.match(await firewall.list(), [{ address: client4 }]);
        await t.rejects(firewall.grant(grantOf({ address: client6 })), FirewallError);
        await firewall.close({ flush: true });
      }
    });

    test('what others take away of ours is noticed and put back, with the doors', async (t, rig) => {
      const firewall = rig.open();
      await firewall.install({ ...policy, preFilter }, { flush: false, doors: [] });
      await firewall.grant(grantOf());
      await firewall.grant(grantOf({ address: client6 }));
      t.equal(await firewall.isIntact(), true);
      const doors: readonly DoorChange[] = [client4, client6].map((address) => {
        return { address, port: ssh, timeoutSeconds: 30, grantId: null };
      });
      const meddling: readonly (readonly [command: readonly string[], input?: string])[] = [
        [[`iptables-${variant}`, '-F']],
        [[`iptables-${variant}`, '-F', 'FWKNOP_INPUT']],
        [[`iptables-${variant}`, '-D', 'INPUT', '-j', 'FWKNOP_INPUT']],
        [[`ip6tables-${variant}`, '-D', 'FWKNOP_INPUT', '1']],
        [rules4.command, rules4.input],
        [rules6.command, rules6.input],
      ];
      for (const [command, input] of meddling) {
        await rig.pair.server.must(command, input);
        t.equal(await firewall.isIntact(), false, command.join(' '));
        await firewall.install({ ...policy, preFilter }, { flush: false, doors });
        t.equal(await firewall.isIntact(), true);
      }
      t.equal(await rig.reaches(client4, ssh, 5_000), true);
      t.equal(await rig.reaches(client6, ssh, 5_000), true);
      t.equal((await firewall.list()).length, 2);
    });

    test('impossible lengths and floods of one source are dropped and counted', async (t, rig) => {
      const firewall = rig.open();
      await provesPreFilter(t, rig, firewall, [139, 1501]);
      t.match(await firewall.list(), [{ address: client4 }]);
    });

    testSet('doors are members of a set that ends with its daemon', async (t, rig) => {
      const firewall = rig.open();
      await firewall.install(policy, { flush: false, doors: [] });
      await firewall.grant(grantOf({ id: 'f00' }));
      const set = await rig.pair.server.must(['ipset', 'save']);
      t.match(set, new RegExp(`add spa_doors4 ${client4},tcp:22 timeout (59|60) comment "f00"`));
      t.notMatch(await save(rig), /_exp_/);
      await firewall.close({ flush: true });
      t.equal(await rig.pair.server.must(['ipset', 'save']), '');
    });

    testSet('another process sees and shuts doors in the set', async (t, rig) => {
      await rig.open().install(policy, { flush: false, doors: [] });
      await rig.open().grant(grantOf({ ports: [ssh, web] }));
      const other = rig.open();
      t.equal((await other.list()).length, 2);
      await other.adjust([{ address: client4, port: web, timeoutSeconds: null, grantId: null }]);
      t.match(await rig.open().list(), [{ port: ssh }]);
      await other.flush();
      t.equal(await rig.reaches(client4, ssh), false);
    });

    testSet('where ipset does not work, doors are rules', async (t, rig) => {
      for (const ipset of [[...rig.pair.server.enter, 'false'], ['/nowhere/ipset']]) {
        const firewall = createIptables({
          iptables: [...rig.pair.server.enter, `iptables-${variant}`],
          ip6tables: null,
          ipset,
          now: Date.now,
        });
        await firewall.install(policy, { flush: false, doors: [] });
        await firewall.grant(grantOf());
        t.match(await save(rig), /_exp_/);
        t.equal(await rig.reaches(client4, ssh, 5_000), true);
        await firewall.close({ flush: true });
      }
    });

    test('rules under which doors are pointless or sessions die are pointed out', async (t, rig) => {
      const firewall = rig.open();
      for (const [rules, warning] of [
        ['', /lets everything through/],
        ['-A INPUT -p tcp --dport 22 -j DROP\n', /no rule accepts established connections/],
      ] as const) {
        for (const name of ['iptables', 'ip6tables']) {
          await rig.pair.server.must(
            [`${name}-${variant}-restore`],
            `*filter\n:INPUT ACCEPT [0:0]\n${rules}COMMIT\n`,
          );
        }
        const found = await firewall.install(policy, { flush: true, doors: [] });
        t.equal(found.length, 2, 'one for each family');
        t.match(found, [warning, warning]);
      }
    });

    t.test('a lack of privilege is told apart from other failures', async (t) => {
      const prefix = ['setpriv', '--bounding-set=-net_admin,-net_raw', '--inh-caps=-net_admin,-net_raw'];
      const firewall = createIptables({
        iptables: [...prefix, `iptables-${variant}`],
        ip6tables: null,
        now: Date.now,
      });
      for (const attempt of [
        () => firewall.install(policy, { flush: false, doors: [] }),
        () => firewall.grant(grantOf()),
      ]) {
        const error = await rejection(attempt());
        t.match(error, { notPermitted: true, message: /needs root or CAP_NET_ADMIN/ });
        t.notMatch(error.message, /\n/);
      }
    });
  });
}

/** A bastion's rules for both families: all is dropped that is not known. */
function operatorRules(variant: string): readonly [OperatorRules, OperatorRules] {
  const established = '-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n';
  const table = (more: string): string =>
    `*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n${established}${more}COMMIT\n`;
  return [
    { command: [`iptables-${variant}-restore`], input: table('-A INPUT -i lo -j ACCEPT\n') },
    { command: [`ip6tables-${variant}-restore`], input: table('-A INPUT -p ipv6-icmp -j ACCEPT\n') },
  ];
}

/** Newer kernels may be built without the legacy tables; then there is nothing to test, in CI neither. */
function unsupported(program: string): string | false {
  const probe = spawnSync('unshare', ['-n', '--', program, '-S', 'INPUT'], { encoding: 'utf8' });
  return probe.status === 0 ? false : `${program} does not work here: ${probe.stderr.trim()}`;
}

function withoutComments(saved: string): string {
  return saved
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .replaceAll(/\[\d+:\d+\]/g, '[0:0]');
}
