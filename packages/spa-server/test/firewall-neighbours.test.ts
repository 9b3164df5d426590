import { lacking } from 'spa-lab';
import t, { type Test } from 'tap';
import { chooseFirewall } from '../src/firewall/choose.ts';
import type { DoorChange } from '../src/firewall/firewall.ts';
import { parseNftChain } from '../src/firewall/nft-place.ts';
import { client4, client6, grantOf, other4, policy, ssh, withRig } from './firewall-contract.ts';
import type { FirewallPlan } from './firewall-plan.ts';
import { createRealRig, type OperatorRules, type RealRig } from './firewall-rig.ts';

t.setTimeout(180_000);

const skip = lacking('nft', 'iptables-nft', 'ip6tables-nft');
const own: FirewallPlan = { kind: 'nftables', placement: { mode: 'own', table: 'spa' } };
const iptables: FirewallPlan = { kind: 'iptables', variant: 'nft', ipset: false };
const preFilter = { minBytes: 1, maxBytes: 1500, beginnings: null, ratePerSource: 100 };
const install = { ...policy, preFilter };

/** What Docker keeps in iptables: nothing of it concerns packets for the host. */
const DOCKER = `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
`;

/** firewalld's table, as a reload writes it; ssh and the SPA port are let through in its zone. */
const FIREWALLD = `
table inet firewalld
delete table inet firewalld
table inet firewalld {
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_INPUT_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_INPUT_ZONES {
    goto filter_IN_public
  }
  chain filter_IN_public {
    jump filter_IN_public_deny
    jump filter_IN_public_allow
    meta l4proto { icmp, ipv6-icmp } accept
  }
  chain filter_IN_public_deny {
  }
  chain filter_IN_public_allow {
    tcp dport 22 accept
    tcp dport 8443 accept
    udp dport 62201 accept
  }
}
`;

/** ufw's rules for one family, as it is enabled: all that comes in is denied. */
function ufw(prefix: 'ufw' | 'ufw6', icmp: string): string {
  return `*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:${prefix}-before-input - [0:0]
:${prefix}-user-input - [0:0]
:${prefix}-after-input - [0:0]
:${prefix}-reject-input - [0:0]
-A INPUT -j ${prefix}-before-input
-A INPUT -j ${prefix}-after-input
-A INPUT -j ${prefix}-reject-input
-A ${prefix}-before-input -i lo -j ACCEPT
-A ${prefix}-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ${prefix}-before-input -m conntrack --ctstate INVALID -j DROP
-A ${prefix}-before-input -p ${icmp} -j ACCEPT
-A ${prefix}-before-input -j ${prefix}-user-input
-A ${prefix}-user-input -p tcp -m tcp --dport 8080 -j ACCEPT
COMMIT
`;
}

const docker: OperatorRules = { command: ['iptables-nft-restore'], input: DOCKER };
const firewalld: OperatorRules = { command: ['nft', '-f', '-'], input: FIREWALLD };
const ufw4: OperatorRules = { command: ['iptables-nft-restore'], input: ufw('ufw', 'icmp') };
const ufw6: OperatorRules = { command: ['ip6tables-nft-restore'], input: ufw('ufw6', 'ipv6-icmp') };

t.test("beside others' rules", { skip }, async (t) => {
  const beside = (plan: FirewallPlan, ...rules: readonly OperatorRules[]) =>
    withRig(t, () => createRealRig(plan, ...rules));

  beside(own, docker)("Docker's: our own table, which its restart leaves alone", async (t, rig) => {
    t.equal(await choice(rig), 'nftables');
    const firewall = rig.open();
    t.same(await firewall.install(install, { flush: false, doors: [] }), []);
    await doorsWork(t, rig, firewall);
    await firewall.grant(grantOf());
    await rig.pair.server.must(docker.command, docker.input);
    t.equal(await firewall.isIntact(), true);
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
    t.equal(await rig.reaches(other4, ssh), false);
  });

  beside(own, firewalld)("firewalld's: our own table, which its reload leaves alone", async (t, rig) => {
    t.equal(await choice(rig), 'nftables');
    const firewall = rig.open();
    t.same(
      await firewall.install(install, { flush: false, doors: [] }),
      [],
      'its zone lets our ports through',
    );
    await doorsWork(t, rig, firewall);
    await firewall.grant(grantOf());
    await rig.pair.server.must(firewalld.command, firewalld.input);
    t.equal(await firewall.isIntact(), true);
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
    t.equal(await rig.reaches(other4, ssh), false);
    await rig.pair.server.must(['nft', 'flush', 'chain', 'inet', 'firewalld', 'filter_IN_public_allow']);
    t.match(await firewall.install(install, { flush: false, doors: [] }), [
      /--add-port=22\/tcp|--add-port=62201\/udp/,
    ]);
  });

  const chain = parseNftChain('inet firewalld filter_INPUT') ?? never();
  const attached: FirewallPlan = { kind: 'nftables', placement: { mode: 'attach', chain } };
  beside(attached, firewalld)("firewalld's, attached: its reload is noticed and undone", async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(install, { flush: false, doors: [] });
    await rig.pair.server.must(['nft', 'flush', 'chain', 'inet', 'firewalld', 'filter_IN_public_allow']);
    await doorsWork(t, rig, firewall);
    await comesBack(t, rig, firewall, [firewalld]);
  });

  beside(
    iptables,
    ufw4,
    ufw6,
  )("ufw's: a chain at the top of INPUT, put back after its reload", async (t, rig) => {
    t.equal(await choice(rig), 'iptables');
    const firewall = rig.open();
    t.same(await firewall.install(install, { flush: false, doors: [] }), []);
    await doorsWork(t, rig, firewall);
    t.equal(await rig.reaches(other4, { protocol: 'tcp', port: 8080 }, 5_000), true, "ufw's own rules count");
    await comesBack(t, rig, firewall, [ufw4, ufw6]);
  });

  beside(iptables, ufw4, ufw6, { ...docker, command: ['iptables-nft-restore', '--noflush'] })(
    "ufw's and Docker's: containers start and stop without disturbing us",
    async (t, rig) => {
      const firewall = rig.open();
      await firewall.install(install, { flush: false, doors: [] });
      await firewall.grant(grantOf());
      const { server } = rig.pair;
      await server.must(['iptables-nft', '-F', 'DOCKER']);
      await server.must(['iptables-nft', '-I', 'FORWARD', '1', '-j', 'DOCKER-USER']);
      await server.must(['iptables-nft', '-t', 'nat', '-F', 'DOCKER']);
      t.equal(await firewall.isIntact(), true);
      t.equal(await rig.reaches(client4, ssh, 5_000), true);
    },
  );
});

type Opened = ReturnType<RealRig['open']>;

async function choice(rig: RealRig): Promise<string> {
  const { enter } = rig.pair.server;
  return (await chooseFirewall({ firewall: 'auto', ownTable: 'spa', prefix: enter })).kind;
}

/** Doors open and close, of both families, for one address; SPA packets arrive. */
async function doorsWork(t: Test, rig: RealRig, firewall: Opened): Promise<void> {
  for (const address of [client4, client6]) {
    t.equal(await rig.reaches(address, ssh), false, 'shut');
    await firewall.grant(grantOf({ address }));
    t.equal(await rig.reaches(address, ssh, 5_000), true, 'open');
    await firewall.adjust([{ address, port: ssh, timeoutSeconds: null, grantId: null }]);
    t.equal(await rig.reaches(address, ssh), false, 'shut again');
  }
  t.equal(await rig.reaches(other4, ssh), false, 'for another address');
  t.equal(await rig.answersUdp(client4, 62201), true);
}

/** What others have loaded takes our rules away; they come back with the doors. */
async function comesBack(
  t: Test,
  rig: RealRig,
  firewall: Opened,
  reload: readonly OperatorRules[],
): Promise<void> {
  for (const { command, input } of reload) await rig.pair.server.must(command, input);
  t.equal(await firewall.isIntact(), false);
  const doors: readonly DoorChange[] = [client4, client6].map((address) => {
    return { address, port: ssh, timeoutSeconds: 30, grantId: null };
  });
  await firewall.install(install, { flush: false, doors });
  t.equal(await firewall.isIntact(), true);
  for (const address of [client4, client6]) t.equal(await rig.reaches(address, ssh, 5_000), true);
}

function never(): never {
  throw new TypeError();
}
