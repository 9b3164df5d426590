import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type IpAddress, parseIpAddress } from 'spa-core';
import {
  createHosts,
  createInnerNetwork,
  type Hosts,
  innerAddresses,
  lacking,
  type Namespace,
  until,
} from 'spa-lab';
import t, { type Test } from 'tap';
import type { Firewall, GatePolicy, Grant } from '../src/firewall/firewall.ts';
import type { Forward } from '../src/firewall/forward.ts';
import { type FirewallPlan, makeFirewall } from './firewall-plan.ts';
import type { OperatorRules } from './firewall-rig.ts';
import { createNetworkProbe, type NetworkProbe, type ProbeAnswer } from './network-probe.ts';

t.setTimeout(240_000);

const CLIENT = { 4: address(innerAddresses.client4), 6: address(innerAddresses.client6) } as const;
const OTHER = address(innerAddresses.other4);
const BASTION = {
  4: address(innerAddresses.bastion4),
  6: address(innerAddresses.bastion6),
  inner: address(innerAddresses.inner4),
} as const;
const INSIDE = { 4: address(innerAddresses.inside4), 6: address(innerAddresses.inside6) } as const;
const ELSEWHERE = address(innerAddresses.elsewhere4);

const SSH = { protocol: 'tcp', port: 22 } as const;
const OUTER = { protocol: 'tcp', port: 2222 } as const;
const POLICY: GatePolicy = {
  spaPorts: [{ protocol: 'udp', port: 62201 }],
  protectedPorts: [SSH],
  preFilter: null,
  forwards: true,
};
const TO_INSIDE: Forward = {
  kind: 'nat',
  target: { address: INSIDE[4], port: 22 },
  translates: true,
  sourceAs: null,
  all: false,
};
const KEEP = { flush: false, doors: [] } as const;

/** A host whose operator lets nothing pass but answers, to it or through it. */
const NFT_DROPS: OperatorRules = {
  command: ['nft', '-f', '-'],
  input: `
table inet filter {
  chain input { type filter hook input priority 0; policy drop;
    ct state established,related accept
    iif lo accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  }
  chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; }
}
`,
};

const IPTABLES_DROPS = (variant: string): OperatorRules => ({
  command: ['sh', '-e'],
  input: ['iptables', 'ip6tables']
    .flatMap((program) => {
      const command = `${program}-${variant}`;
      const icmp = program === 'ip6tables' ? [`${command} -A INPUT -p icmpv6 -j ACCEPT`] : [];
      return [
        `${command} -P INPUT DROP`,
        `${command} -P FORWARD DROP`,
        `${command} -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT`,
        `${command} -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT`,
        ...icmp,
      ];
    })
    .join('\n'),
});

const FORWARD_CHAIN = { family: 'inet', table: 'filter', chain: 'forward' } as const;

const KINDS: readonly {
  readonly name: string;
  readonly plan: FirewallPlan;
  readonly rules: OperatorRules | null;
}[] = [
  {
    name: 'nftables, own table',
    plan: { kind: 'nftables', placement: { mode: 'own', table: 'spa' } },
    rules: null,
  },
  {
    name: 'nftables, attached',
    plan: {
      kind: 'nftables',
      placement: {
        ...{ mode: 'attach', chain: { ...FORWARD_CHAIN, chain: 'input' }, forwardChain: FORWARD_CHAIN },
      },
    },
    rules: NFT_DROPS,
  },
  ...(['nft', 'legacy'] as const).map((variant) => ({
    name: `iptables-${variant}`,
    plan: { kind: 'iptables', variant, ipset: false } as const,
    rules: IPTABLES_DROPS(variant),
  })),
];

for (const { name, plan, rules } of KINDS) {
  const programs = plan.kind === 'nftables' ? ['nft'] : [`iptables-${plan.variant}`];
  t.test(name, { skip: lacking('ip', 'sysctl', ...programs) }, async (t) => {
    const rig = await createRig(plan, rules);
    t.teardown(() => rig.hosts.dispose());
    await testForwards(t, rig, plan.kind === 'iptables' || plan.placement.mode === 'attach');
  });
}

interface Rig {
  readonly hosts: Hosts;
  readonly inside: Namespace;
  open(): Firewall;
  /** What the client meets at a port of the bastion, or of another host through it. */
  reach(port: number, options?: { readonly from?: IpAddress; readonly to?: IpAddress }): Promise<ProbeAnswer>;
  /** A connection that stays; resolves to a function that tells whether data still passes. */
  connect(port: number): Promise<() => Promise<boolean>>;
  grantAndDie(grant: Grant): Promise<void>;
  /** Somebody takes our translation away. */
  sweep(): Promise<void>;
  /** All rules of the bastion, as text. */
  rules(): Promise<string>;
}

async function testForwards(t: Test, rig: Rig, isShutBetween: boolean): Promise<void> {
  let firewall = rig.open();
  const grantOf = (forward: Forward, changes: Partial<Grant> = {}): Grant => {
    return {
      id: 'a1'.repeat(32),
      address: CLIENT[4],
      ports: [OUTER],
      timeoutSeconds: 60,
      forward,
      ...changes,
    };
  };
  const shut = (forward: Forward = TO_INSIDE): Promise<void> =>
    firewall.adjust([{ address: CLIENT[4], port: OUTER, timeoutSeconds: null, grantId: null, forward }]);

  await t.test(
    'a grant leads its address to the inner host, nobody else, and the list says where',
    async (t) => {
      t.match(await firewall.install(POLICY, KEEP), []);
      t.not(await rig.reach(2222), 'open', 'shut before');
      await firewall.grant(grantOf(TO_INSIDE));
      t.equal(await rig.reach(2222), 'open');
      t.not(await rig.reach(2222, { from: OTHER }), 'open', 'another address');
      t.not(await rig.reach(22), 'open', 'the protected port of the bastion');
      t.match(await firewall.list(), [
        { address: CLIENT[4], port: OUTER, forward: TO_INSIDE, grantId: 'a1'.repeat(32) },
      ]);
      t.equal(await firewall.isIntact(), true);
    },
  );

  await t.test(
    'a door that is shut lets no new connection through, and those that stand live on',
    async (t) => {
      const isAlive = await rig.connect(2222);
      await shut();
      t.not(await rig.reach(2222), 'open');
      t.equal(await isAlive(), true);
      t.same(await firewall.list(), []);
    },
  );

  await t.test('a door leads where its latest grant says', async (t) => {
    await firewall.grant(grantOf(TO_INSIDE));
    const elsewhere = { ...TO_INSIDE, target: { address: ELSEWHERE, port: 23 } };
    await firewall.grant(grantOf(elsewhere, { id: 'b2', timeoutSeconds: 30 }));
    t.equal(await rig.reach(2222), 'refused');
    t.match(await firewall.list(), [{ forward: elsewhere, grantId: 'b2' }]);
    await firewall.grant(grantOf(TO_INSIDE, { timeoutSeconds: 30 }));
    t.equal(await rig.reach(2222), 'open');
    t.equal((await firewall.list()).length, 1);
    await shut();
  });

  await t.test(
    'the inner host answers whoever it knows no way to, if it sees the bastion instead',
    async (t) => {
      await rig.inside.must(['ip', 'route', 'del', 'default']);
      await firewall.grant(grantOf(TO_INSIDE));
      t.equal(await rig.reach(2222), 'silent', 'no way back');
      await shut();
      for (const sourceAs of ['masquerade', BASTION.inner] as const) {
        await firewall.grant(grantOf({ ...TO_INSIDE, sourceAs }));
        t.equal(await rig.reach(2222), 'open', sourceAs);
        t.match(await firewall.list(), [{ forward: { sourceAs } }]);
        await shut();
      }
      await rig.inside.must(['ip', 'route', 'add', 'default', 'via', BASTION.inner]);
    },
  );

  await t.test('a door to another port of the bastion itself', async (t) => {
    const local = { ...TO_INSIDE, kind: 'local', target: { address: BASTION[4], port: 22 } } as const;
    await firewall.grant(grantOf(local));
    t.equal(await rig.reach(2222), 'open');
    t.not(await rig.reach(2222, { from: OTHER }), 'open');
    await shut(local);
    t.not(await rig.reach(2222), 'open');
  });

  await t.test('a door at one address of the bastion is none at its others', async (t) => {
    const at = (to: IpAddress): Forward => {
      return { ...TO_INSIDE, kind: 'local', target: { address: to, port: 22 }, translates: false };
    };
    const changes = { ports: [SSH] };
    await firewall.grant(grantOf(at(BASTION[4]), changes));
    t.equal(await rig.reach(22), 'open');
    t.not(await rig.reach(22, { to: BASTION.inner }), 'open');
    t.not(await rig.reach(22, { from: OTHER }), 'open');
    await firewall.grant(grantOf(at(BASTION.inner), { ...changes, id: 'b2' }));
    t.equal(await rig.reach(22, { to: BASTION.inner }), 'open');
    t.equal(await rig.reach(22), 'open', 'the other door is open still');
    t.equal((await firewall.list()).length, 2);
    await firewall.flush();
  });

  await t.test('without translation the inner host is reached by its own address', async (t) => {
    const routed = { ...TO_INSIDE, translates: false };
    await firewall.grant(grantOf(routed));
    t.equal(await rig.reach(22, { to: INSIDE[4] }), 'open');
    t.not(await rig.reach(2222), 'open');
    const others = await rig.reach(22, { to: INSIDE[4], from: OTHER });
    // Where nothing is shut there is nothing to open.
    t.equal(others === 'open', !isShutBetween);
    await shut(routed);
  });

  await t.test('all ports at once, to one host or wherever the client sends', async (t) => {
    await firewall.grant(grantOf({ ...TO_INSIDE, all: true }));
    t.equal(await rig.reach(22), 'open');
    t.equal(await rig.reach(8080), 'open');
    t.not(await rig.reach(8080, { from: OTHER }), 'open');
    const anywhere = { ...TO_INSIDE, target: null, all: true };
    await firewall.grant(grantOf(anywhere));
    t.not(await rig.reach(8080), 'open');
    t.equal(await rig.reach(8080, { to: INSIDE[4] }), 'open');
    t.equal((await firewall.list()).length, 1);
    await shut(anywhere);
  });

  await t.test('IPv6 as well', async (t) => {
    const forward = {
      ...TO_INSIDE,
      target: { address: INSIDE[6], port: 22 },
      sourceAs: 'masquerade',
    } as const;
    await firewall.grant(grantOf(forward, { address: CLIENT[6] }));
    t.equal(await rig.reach(2222, { from: CLIENT[6], to: BASTION[6] }), 'open');
    t.match(await firewall.list(), [{ address: CLIENT[6], forward }]);
    await firewall.flush();
    t.not(await rig.reach(2222, { from: CLIENT[6], to: BASTION[6] }), 'open');
    t.same(await firewall.list(), []);
  });

  await t.test(
    'the next daemon finds what is open, and it shuts in the kernel though nobody lives',
    async (t) => {
      await firewall.close({ flush: false });
      const masqueraded = { ...TO_INSIDE, sourceAs: 'masquerade' } as const;
      await rig.grantAndDie(grantOf(masqueraded, { timeoutSeconds: 3 }));
      const isAlive = await rig.connect(2222);
      firewall = rig.open();
      await firewall.install(POLICY, KEEP);
      t.match(await firewall.list(), [{ port: OUTER, forward: masqueraded, grantId: 'a1'.repeat(32) }]);
      // Another change writes them all anew.
      await firewall.grant(grantOf(TO_INSIDE, { id: 'c3', address: OTHER }));
      t.equal(await rig.reach(2222), 'open');
      await firewall.close({ flush: false });
      await until('the door shuts', async () => (await rig.reach(2222)) !== 'open');
      t.equal(await isAlive(), true, 'data still passes');
      t.equal(await rig.reach(2222, { from: OTHER }), 'open', 'another door is open still');
    },
  );

  await t.test('what somebody has swept away is put back, with its doors', async (t) => {
    firewall = rig.open();
    await firewall.install(POLICY, { flush: true, doors: [] });
    t.not(await rig.reach(2222, { from: OTHER }), 'open', 'a start with a flush leaves none');
    await firewall.grant(grantOf(TO_INSIDE));
    await rig.sweep();
    t.equal(await firewall.isIntact(), false);
    const door = { address: CLIENT[4], port: OUTER, forward: TO_INSIDE, grantId: 'd4', timeoutSeconds: 60 };
    await firewall.install(POLICY, { flush: false, doors: [door] });
    t.equal(await firewall.isIntact(), true);
    t.equal(await rig.reach(2222), 'open');
  });

  await t.test('without NAT there are no rules for it, and a grant says so', async (t) => {
    const { forwards: _, ...plain } = POLICY;
    await firewall.install(plain, KEEP);
    t.not(await rig.reach(2222), 'open');
    t.same(await firewall.list(), []);
    await t.rejects(firewall.grant(grantOf(TO_INSIDE)), { message: /no stanza allows NAT/ });
    t.notMatch(await rig.rules(), /dnat|DNAT|FWKNOP_FORWARD|forwards4/);
    await firewall.close({ flush: true });
  });
}

async function createRig(plan: FirewallPlan, rules: OperatorRules | null): Promise<Rig> {
  const hosts = createHosts();
  const { client, bastion, inside } = await createInnerNetwork(hosts);
  if (rules !== null) await bastion.must(rules.command, rules.input);
  const probes = { client: createNetworkProbe(client), inside: createNetworkProbe(inside) };
  await listen(createNetworkProbe(bastion), 22);
  await listen(probes.inside, 22, 8080);
  let connections = 0;
  const reach: Rig['reach'] = (port, { from = CLIENT[4], to = BASTION[4] } = {}) =>
    probes.client.ask({ kind: 'connect', from, to, port, timeLimitMs: 400 });
  return {
    hosts,
    inside,
    reach,
    open: () => makeFirewall(plan, bastion.enter),
    connect: async (port) => {
      const id = ++connections;
      const request = {
        kind: 'connect',
        from: CLIENT[4],
        to: BASTION[4],
        port,
        timeLimitMs: 5_000,
        id,
      } as const;
      const answer = await probes.client.ask(request);
      if (answer !== 'open') throw new Error(`no connection: ${answer}`);
      return async () => (await probes.client.ask({ kind: 'echo', id, timeLimitMs: 5_000 })) === 'open';
    },
    grantAndDie: async (grant) => {
      const script = fileURLToPath(new URL('firewall-process.js', import.meta.url));
      const task = JSON.stringify({ plan, policy: POLICY, grant });
      const child = bastion.spawn([process.execPath, script, task], { stdio: ['pipe', 'pipe', 'inherit'] });
      if (child.stdout === null) throw new TypeError('no pipe');
      await once(createInterface({ input: child.stdout }), 'line');
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
    sweep: async () => {
      const prefix = plan.kind === 'nftables' && plan.placement.mode === 'attach' ? 'filter spa_' : 'spa ';
      if (plan.kind === 'nftables') await bastion.must(['nft', `flush chain inet ${prefix}prerouting`]);
      else await bastion.must([`iptables-${plan.variant}`, '-t', 'nat', '-F']);
    },
    rules: () =>
      bastion.must(plan.kind === 'nftables' ? ['nft', 'list', 'ruleset'] : [`iptables-${plan.variant}-save`]),
  };
}

async function listen(probe: NetworkProbe, ...ports: readonly number[]): Promise<void> {
  for (const port of ports) await probe.ask({ kind: 'listenTcp', port });
}

function address(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  if (parsed === null) throw new TypeError(text);
  return parsed;
}
