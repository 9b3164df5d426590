import { lacking, until } from 'spa-lab';
import t from 'tap';
import { parseNftChain } from '../src/firewall/nft-place.ts';
import { createNftables } from '../src/firewall/nftables.ts';
import { client4, client6, grantOf, other4, policy, ssh, withRig } from './firewall-contract.ts';
import type { FirewallPlan } from './firewall-plan.ts';
import { preFilter, provesBeginnings, provesPreFilter } from './firewall-pre-filter.ts';
import { createRealRig, DEFAULT_DROP, type RealRig } from './firewall-rig.ts';
import { ageOf, sessions } from './firewall-sessions.ts';

t.setTimeout(180_000);

const skip = lacking('nft');
const own: FirewallPlan = { kind: 'nftables', placement: { mode: 'own', table: 'spa' } };

t.test('nftables, own table, with faults', { skip }, async (t) => {
  const test = withRig(t, () => createRealRig(own));

  test('a flush of all rules leaves the protected ports shut, and the doors open', async (t, rig) => {
    const firewall = rig.open();
    t.same(await firewall.install(policy, { flush: false, doors: [] }), []);
    await firewall.grant(grantOf());
    await firewall.grant(grantOf({ address: client6 }));
    await rig.pair.server.must(['nft', 'flush', 'ruleset']);
    t.match(await list(rig), /^table inet spa_guard_/, 'all that is left');
    t.notMatch(await list(rig), /table inet spa \{/);
    t.equal(await rig.reaches(other4, ssh), false);
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
    t.equal(await rig.reaches(client6, ssh, 5_000), true);
    t.equal(await firewall.isIntact(), false);
    await firewall.install(policy, { flush: false, doors: [] });
    t.equal(await firewall.isIntact(), true);
    t.equal(await rig.reaches(client4, ssh), false, 'shut with what was put back');
  });

  test('recorded doors are taken over without a listing, and the guard gets them afterwards', async (t, rig) => {
    const first = rig.open();
    await first.install(policy, { flush: false, doors: [] });
    await first.grant(grantOf());
    const mark = first.mark() ?? '';
    await first.close({ flush: false });
    const doors = [{ address: client4, port: ssh, timeoutSeconds: 30, grantId: grantOf().id }];

    const next = rig.open();
    t.same(await next.install(policy, { flush: false, doors: [], takeover: { mark, doors } }), []);
    t.equal(next.mark(), mark, 'the doors are in the same objects');
    await next.grant(grantOf({ address: client6, timeoutSeconds: 40 }));
    await until('the guard shuts', async () => /guard_.* drop/s.test(await list(rig)));
    await until('the rules stand', () => next.isIntact());
    await rig.pair.server.must(['nft', 'flush', 'ruleset']);
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
    t.equal(await rig.reaches(client6, ssh, 5_000), true);
    t.equal(await rig.reaches(other4, ssh), false);
  });

  test('a record of doors that were in another table opens none', async (t, rig) => {
    const first = rig.open();
    await first.install(policy, { flush: false, doors: [] });
    await first.grant(grantOf());
    const mark = first.mark() ?? '';
    await first.close({ flush: false });
    await rig.pair.server.must(['nft', 'delete', 'table', 'inet', 'spa']);
    const doors = [{ address: client4, port: ssh, timeoutSeconds: 30, grantId: grantOf().id }];

    const next = rig.open();
    await next.install(policy, { flush: false, doors: [], takeover: { mark, doors } });
    t.not(next.mark(), mark);
    t.same(await next.list(), []);
    t.equal(await rig.reaches(client4, ssh), false);
  });

  test('rules that are put anew while the guard is being filled have all doors', async (t, rig) => {
    const first = rig.open();
    await first.install(policy, { flush: false, doors: [] });
    await first.grant(grantOf());
    const mark = first.mark() ?? '';
    await first.close({ flush: false });
    const doors = [{ address: client4, port: ssh, timeoutSeconds: 30, grantId: grantOf().id }];

    const next = rig.open();
    const started = next.install(policy, { flush: false, doors: [], takeover: { mark, doors } });
    const again = next.install({ ...policy, preFilter }, { flush: false, doors: [] });
    await Promise.all([started, again]);
    t.equal(await next.isIntact(), true);
    await rig.pair.server.must(['nft', 'flush', 'ruleset']);
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
    t.equal(await rig.reaches(other4, ssh), false);
  });

  test('nobody else can change the guard, and it goes with its session', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    const guard = /spa_guard_\w+/.exec(await list(rig))?.[0] ?? '';
    t.not((await rig.pair.server.run(['nft', 'delete', 'table', 'inet', guard])).status, 0);
    t.not((await rig.pair.server.run(['nft', 'flush', 'chain', 'inet', guard, 'input'])).status, 0);
    await firewall.close({ flush: false });
    t.notMatch(await list(rig), /spa_guard_/);
    t.equal(await rig.reaches(client4, ssh), false, 'our own table is still there');
  });

  test('a session that is killed while it has nothing to do is replaced at once, with its guard', async (t, rig) => {
    const told: string[] = [];
    const firewall = open(rig, { warn: (line) => told.push(line) });
    await firewall.install(policy, { flush: false, doors: [] });
    await firewall.grant(grantOf());
    const [pid] = sessions(rig.pair.server.pid);
    // One that dies right after its start is not replaced before it is needed.
    await until('the session is old enough', () => ageOf(Number(pid)) > 1_200);
    process.kill(Number(pid), 'SIGKILL');
    await until('another session', () => {
      const [now] = sessions(rig.pair.server.pid);
      return now !== undefined && now !== pid;
    });
    await until('another guard, with the door', async () => /guard[^}]*\b10\./s.test(await list(rig)));
    t.match(told, [/^the session with .*nft has ended \(signal SIGKILL\); another takes over$/]);
    t.equal(await firewall.isIntact(), true);
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
    await firewall.close({ flush: false });
  });

  test('no grant is lost or doubled when sessions are killed in the middle of bursts', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    const outcomes: Promise<PromiseSettledResult<unknown>[]>[] = [];
    const confirmed: string[] = [];
    let kills = 0;
    for (let wave = 0; kills < 8; wave++) {
      const grants = Array.from({ length: 60 }, (_, index) => {
        const id = `w${wave}i${index}`;
        const address = `10.${20 + wave}.0.${index}` as typeof client4;
        return firewall.grant(grantOf({ id, address })).then(() => confirmed.push(id));
      });
      outcomes.push(Promise.allSettled(grants));
      // Sooner or later after the burst has begun.
      await new Promise((resolve) => setTimeout(resolve, wave));
      for (const pid of sessions(rig.pair.server.pid)) {
        process.kill(pid, 'SIGKILL');
        kills += 1;
      }
    }
    await Promise.all(outcomes);
    t.ok(confirmed.length > 0);
    t.equal(await firewall.isIntact(), true, 'what was in doubt is settled');
    const open = (await firewall.list()).map((door) => door.grantId);
    t.same([...open].sort(), [...confirmed].sort(), 'as many doors as confirmed grants, and the same');
    const guarded = (await list(rig)).split('table inet spa_guard')[1]?.match(/expires/g) ?? [];
    t.equal(guarded.length, confirmed.length, 'the guard has the same');
    await firewall.close({ flush: false });
  });

  test('every change of ours by somebody else is noticed, and undone', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install({ ...policy, preFilter }, { flush: false, doors: [] });
    const meddling: readonly string[] = [
      'flush ruleset',
      'delete table inet spa',
      'flush chain inet spa input',
      'flush chain inet spa filter',
      'insert rule inet spa input tcp dport 22 accept',
      'add chain inet spa input { policy drop; }',
      'add chain inet spa other',
    ];
    for (const line of meddling) {
      await rig.pair.server.must(['nft', line]);
      t.equal(await firewall.isIntact(), false, line);
      await firewall.install({ ...policy, preFilter }, { flush: false, doors: [] });
      if (!line.includes('other')) t.equal(await firewall.isIntact(), true);
    }
  });

  test('doors of long ago that somebody brings back with saved rules are shut again', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    await firewall.grant(grantOf());
    const saved = await rig.pair.server.must(['nft', 'list', 'table', 'inet', 'spa']);
    await firewall.flush();
    t.equal(await firewall.isIntact(), true);
    await rig.pair.server.must(['nft', '-f', '-'], `flush ruleset\n${saved}`);
    t.equal((await firewall.list()).length, 1, 'it is in our table');
    t.equal(await rig.reaches(client4, ssh), false, 'but not in the guard');
    t.equal(await firewall.isIntact(), false, 'the table is not the one that we made');
    await firewall.install(policy, { flush: false, doors: [] });
    t.same(await firewall.list(), []);
  });

  test('at no moment is a port open to everyone while rules are flushed and put back', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    let rounds = 0;
    let isOver = false;
    const meddle = async (): Promise<void> => {
      for (; rounds < 25; rounds++) {
        await rig.pair.server.must(['nft', 'flush', 'ruleset']);
        await firewall.install(policy, { flush: false, doors: [] });
      }
      isOver = true;
    };
    const knock = async (): Promise<number> => {
      let reached = 0;
      while (!isOver) if (await rig.reaches(other4, ssh, 30)) reached += 1;
      return reached;
    };
    const [, reached] = await Promise.all([meddle(), knock()]);
    t.equal(reached, 0);
  });

  test('the guard of a session that hangs is pointed out', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install(policy, { flush: false, doors: [] });
    const [pid] = sessions(rig.pair.server.pid);
    process.kill(Number(pid), 'SIGSTOP');
    const next = rig.open();
    t.match(await next.install(policy, { flush: false, doors: [] }), [
      /^table inet spa_guard_\w+ belongs to another daemon's nft/,
    ]);
    process.kill(Number(pid), 'SIGKILL');
    await next.grant(grantOf());
    await until('the door is open', () => rig.reaches(client4, ssh));
    t.same(await next.install(policy, { flush: false, doors: [] }), []);
  });

  test('without owner tables there is no guard, and one warning', async (t, rig) => {
    const firewall = open(rig, {
      command: [
        'sh',
        '-c',
        'case "$1" in -i) sed -u "s/flags owner/flags none/" | nft "$@";; *) exec nft "$@";; esac',
        'nft',
      ],
    });
    t.match(await firewall.install(policy, { flush: false, doors: [] }), [/there are no owner tables/]);
    await firewall.grant(grantOf());
    t.notMatch(await list(rig), /guard/);
    t.equal(await rig.reaches(client4, ssh, 5_000), true);
    t.equal(await firewall.isIntact(), true);
    await rig.wipe();
    t.equal(await firewall.isIntact(), false);
    await firewall.close({ flush: false });
  });

  test('where nft cannot read our files, it is typed', async (t, rig) => {
    const firewall = open(rig, { command: ['sh', '-c', 'exec 3<&-; exec nft "$@"', 'nft'] });
    t.same(await firewall.install({ ...policy, preFilter }, { flush: false, doors: [] }), []);
    await Promise.all([client4, other4, client6].map((address) => firewall.grant(grantOf({ address }))));
    t.equal((await firewall.list()).length, 3);
    t.equal(await firewall.isIntact(), true);
    await firewall.close({ flush: false });
  });

  test('a session is replaced after so many lines, and its guard before it ends', async (t, rig) => {
    const firewall = open(rig, { linesPerSession: 10 });
    await firewall.install(policy, { flush: false, doors: [] });
    const [first] = sessions(rig.pair.server.pid);
    for (let index = 1; index < 40; index++) {
      await firewall.grant(grantOf({ id: `r${index}`, address: `10.30.0.${index}` as typeof client4 }));
    }
    t.notOk(sessions(rig.pair.server.pid).includes(first ?? 0));
    const guarded =
      (await list(rig))
        .split('table inet spa_guard')
        .at(-1)
        ?.match(/expires/g) ?? [];
    t.equal(guarded.length, 39);
    t.equal(await firewall.isIntact(), true);
    await firewall.close({ flush: false });
  });
});

t.test('the pre-filter of nftables', { skip }, async (t) => {
  const attach: FirewallPlan = {
    kind: 'nftables',
    placement: { mode: 'attach', chain: parseNftChain('inet filter input') ?? never() },
  };
  for (const [name, makeRig] of [
    ['own', () => createRealRig(own)],
    ['attached', () => createRealRig(attach, DEFAULT_DROP)],
  ] as const) {
    const test = withRig(t, makeRig);

    test(`${name}: impossible lengths and floods of one source are dropped and counted`, async (t, rig) => {
      await provesPreFilter(t, rig, rig.open(), [1, 139, 1501]);
      t.equal(await rig.answersUdp(client4, 62201), true, 'of any length');
    });

    test(`${name}: what no packet begins like is dropped and counted`, async (t, rig) => {
      await provesBeginnings(t, rig, rig.open());
    });
  }

  const test = withRig(t, () => createRealRig(own));

  test('when there are more sources than it can remember, they are let through', async (t, rig) => {
    const firewall = rig.open();
    await firewall.install({ ...policy, preFilter }, { flush: false, doors: [] });
    const range = Array.from({ length: 128 }, (_, high) =>
      Array.from({ length: 256 }, (_, low) => `172.20.${high}.${low} timeout 10m`).join(', '),
    );
    for (const sources of range)
      await rig.pair.server.must(['nft', '-f', '-'], `add element inet spa rate4 { ${sources} }\n`);
    t.not(
      (await rig.pair.server.run(['nft', 'add element inet spa rate4 { 172.21.0.1 }'])).status,
      0,
      'it is full',
    );
    t.equal(await rig.answersPackets(client4, { text: 'x'.repeat(200), count: 1 }), true);
    await rig.answersPackets(client4, { text: 'x'.repeat(200), count: 300 });
    const dropped = (await firewall.counters()).filter(({ packets }) => packets > 0);
    t.same(dropped, [], 'none of 300');
  });
});

function open(
  rig: RealRig,
  { command = ['nft'], ...more }: Partial<Parameters<typeof createNftables>[0]>,
): ReturnType<typeof createNftables> {
  const prefix = rig.pair.server.enter;
  return createNftables({
    command: [...prefix, ...command],
    placement: { mode: 'own', table: 'spa' },
    now: Date.now,
    ...more,
  });
}

function list(rig: RealRig): Promise<string> {
  return rig.pair.server.must(['nft', 'list', 'ruleset', 'inet']);
}

function never(): never {
  throw new TypeError();
}
