import * as fc from 'fast-check';
import type { ProtoPort } from 'spa-core';
import t from 'tap';
import { doorKey } from '../src/firewall/doors.ts';
import { type Firewall, FirewallError, type Grant } from '../src/firewall/firewall.ts';
import { createMemoryFirewall, createMemoryKernel, type MemoryKernel } from '../src/firewall/memory.ts';
import { Doorkeeper, type GrantRecord } from '../src/grants/doorkeeper.ts';
import type { GrantSelector, LiveGrant } from '../src/grants/ledger.ts';
import type { LedgerFile } from '../src/grants/ledger-file.ts';
import { addressOf, createReadableLog, portsOf } from './gate.ts';

const POLICY = { spaPorts: portsOf('udp/62201'), protectedPorts: portsOf('tcp/22'), preFilter: null };
const ALICE = { operator: 'A'.repeat(40), username: 'alice', stanza: 1 };
const BOB = { operator: 'B'.repeat(40), username: 'bob', stanza: 1 };
const ALICES: GrantSelector = { by: 'operator', fingerprint: ALICE.operator };
const NO_CUT = { cut: null };
const SSH: ProtoPort = { protocol: 'tcp', port: 22 };

t.test('a grant that is being made when its operator is revoked opens nothing', async (t) => {
  const held = createHeldFirewall();
  const { keeper, kernel } = await startKeeper({ wrap: held.wrap });
  const granting = keeper.grant(grantOf('a1'), ALICE, keeper.epoch);
  const others = keeper.grant(grantOf('b1', '192.0.2.8'), BOB, keeper.epoch);
  const revoking = keeper.revoke(ALICES, NO_CUT);
  held.release();
  t.equal(await granting, null, 'its door may have been open for a moment');
  t.match(await others, { expiresAt: Number });
  t.match(await revoking, { grants: [{ id: 'a1' }], closed: [{ address: '192.0.2.7' }], kept: [] });
  t.same([...kernel.doors.keys()], ['192.0.2.8 tcp/22']);
});

t.test(
  'a packet that was looked at before a revocation gets nothing after it, a later one does',
  async (t) => {
    const { keeper, kernel } = await startKeeper({});
    const before = keeper.epoch;
    await keeper.revoke(ALICES, NO_CUT);
    t.equal(await keeper.grant(grantOf('a1'), ALICE, before), null);
    t.equal(kernel.doors.size, 0);
    t.match(await keeper.grant(grantOf('b1', '192.0.2.8'), BOB, before), { expiresAt: Number });
    t.match(await keeper.grant(grantOf('a2'), ALICE, keeper.epoch), { expiresAt: Number });
    t.equal(kernel.doors.size, 2);
  },
);

t.test(
  'a revoked door has exactly the time of who is left, and what nobody knows can be named by address',
  async (t) => {
    const { keeper, kernel, clock } = await startKeeper({});
    await keeper.grant(grantOf('a1', '192.0.2.7', 60), ALICE, keeper.epoch);
    await keeper.grant(grantOf('b1', '192.0.2.7', 20), BOB, keeper.epoch);
    t.match(await keeper.list(), [{ remainingSeconds: 60, grants: [{ id: 'a1' }, { id: 'b1' }] }]);
    clock.now += 5_000;
    t.match(await keeper.revoke(ALICES, NO_CUT), {
      closed: [],
      kept: [{ remainingSeconds: 15, grants: [{ username: 'bob' }] }],
    });
    t.match(await keeper.list(), [{ remainingSeconds: 15, grantId: 'b1', grants: [{ id: 'b1' }] }]);
    const stray = { address: addressOf('192.0.2.9'), port: SSH, grantId: null };
    kernel.doors.set(doorKey(stray), {
      ...stray,
      expiresAt: clock.now + clock.wall + 60_000,
    });
    const network = { address: stray.address, prefixLength: 32 };
    t.match(await keeper.list(), [{ grants: [{ id: 'b1' }] }, { address: '192.0.2.9', grants: [] }]);
    t.match(await keeper.revoke({ by: 'address', network }, NO_CUT), {
      grants: [],
      closed: [{ address: '192.0.2.9' }],
    });
  },
);

t.test(
  'the end of a grant is told once, of a hundred in a second each, and a revoked one has none',
  async (t) => {
    const { keeper, log, clock } = await startKeeper({});
    await keeper.grant(grantOf('a1', '192.0.2.7', 20), ALICE, keeper.epoch);
    await keeper.grant(grantOf('b1', '192.0.2.8', 20), BOB, keeper.epoch);
    await keeper.revoke({ by: 'user', name: 'bob' }, NO_CUT);
    const expiresAtSeconds = Math.floor((clock.now + clock.wall + 20_000) / 1000);
    clock.now += 19_000;
    await keeper.look();
    const ended = () => log.events.filter(({ event }) => event === 'ended');
    t.same(ended(), []);
    clock.now += 2_000;
    await keeper.look();
    await keeper.look();
    t.match(ended(), [
      { packet: 'a1', address: '192.0.2.7', ports: ['tcp/22'], username: 'alice', expiresAtSeconds },
    ]);
    t.equal(ended().length, 1);
    for (let i = 0; i < 102; i++)
      await keeper.grant(grantOf(`c${i}`, `198.51.100.${i}`, 20), BOB, keeper.epoch);
    clock.now += 21_000;
    await keeper.look();
    t.equal(ended().length, 101);
    t.equal(log.lines.at(-1), 'info: ended 2 more grants');
  },
);

t.test(
  'a revocation that the firewall fails is an error, and is done as soon as the firewall can',
  async (t) => {
    const broken = createBreakable(['adjust']);
    const { keeper, kernel, log, clock } = await startKeeper({ wrap: broken.wrap });
    await keeper.grant(grantOf('a1'), ALICE, keeper.epoch);
    broken.isBroken = true;
    await t.rejects(keeper.revoke(ALICES, NO_CUT), FirewallError);
    await keeper.look();
    t.equal(kernel.doors.size, 1);
    broken.isBroken = false;
    clock.now += 5_000;
    await keeper.look();
    t.equal(kernel.doors.size, 0);
    t.match(log.lines.slice(-2), [
      'error: nft: no answer (no exit status); trying again until it works',
      'warning: the firewall works again, after 5 s',
    ]);
  },
);

t.test('a grant whose outcome nobody knows leaves no door', async (t) => {
  const { keeper, kernel, clock } = await startKeeper({
    wrap: (firewall) => ({
      ...firewall,
      grant: async (wanted) => {
        await firewall.grant(wanted);
        throw new FirewallError('nft', null, 'no answer');
      },
    }),
  });
  await t.rejects(keeper.grant(grantOf('a1'), ALICE, keeper.epoch), FirewallError);
  t.equal(kernel.doors.size, 1, 'the firewall did it, and did not say so');
  clock.now += 1_000;
  await keeper.look();
  t.equal(kernel.doors.size, 0);
});

t.test(
  'rules that somebody swept away are put back once, with every door and what is left of its time',
  async (t) => {
    const { keeper, kernel, log, clock } = await startKeeper({});
    await keeper.grant(grantOf('a1', '192.0.2.7', 60), ALICE, keeper.epoch);
    await keeper.grant(grantOf('b1', '192.0.2.8', 10), BOB, keeper.epoch);
    clock.now += 15_000;
    kernel.policy = null;
    kernel.doors.clear();
    await Promise.all([keeper.look(), keeper.look()]);
    await keeper.look();
    t.match(await keeper.list(), [{ address: '192.0.2.7', remainingSeconds: 45, grants: [{ id: 'a1' }] }]);
    t.same(kernel.policy, POLICY);
    const lines = log.lines.filter((line) => line.startsWith('warning'));
    t.same(lines, ["warning: the firewall's rules were changed by somebody; put back with 1 open door"]);
  },
);

t.test(
  'a firewall that keeps failing is tried less and less often, told once, and nothing dies of it',
  async (t) => {
    const broken = createBreakable(['isIntact', 'install', 'grant']);
    const { keeper, log, clock } = await startKeeper({ wrap: broken.wrap });
    broken.isBroken = true;
    for (let second = 0; second < 60; second++) {
      await keeper.look();
      clock.now += 1_000;
    }
    t.ok(broken.calls < 20, `${broken.calls} calls in a minute`);
    t.equal(log.lines.length, 1);
    await t.rejects(keeper.grant(grantOf('a1'), ALICE, keeper.epoch), FirewallError);
    broken.isBroken = false;
    clock.now += 5_000;
    await keeper.look();
    t.match(log.lines.at(-1), /works again, after \d+ s/);
    t.match(await keeper.grant(grantOf('a2'), ALICE, keeper.epoch), { expiresAt: Number });
  },
);

t.test('a grant is tried again, also just after the watch has met a failure', async (t) => {
  const watch = createBreakable(['isIntact']);
  const grants = createBreakable(['grant']);
  const { keeper, log, clock } = await startKeeper({
    wrap: (firewall) => grants.wrap(watch.wrap(firewall)),
  });
  watch.isBroken = true;
  await keeper.look();
  watch.isBroken = false;
  grants.breakNext = 1;
  t.match(await keeper.grant(grantOf('a1'), ALICE, keeper.epoch), { expiresAt: Number });
  clock.now += 1_000;
  await keeper.look();
  t.match(log.lines, [/trying again until it works/, /trying again$/, /works again, after 1 s/]);
});

t.test('a door that opens late ends no later, and one whose time is over does not open', async (t) => {
  const clock = { now: 1_000_000, wall: 1_700_000_000_000 };
  const late = new Set<string>();
  const wrap = (firewall: Firewall): Firewall => ({
    ...firewall,
    grant: async (wanted) => {
      if (late.has(wanted.id)) return firewall.grant(wanted);
      late.add(wanted.id);
      clock.now += 5_020;
      throw new FirewallError('nft', null, 'no answer within 5000 ms');
    },
  });
  const { keeper, kernel } = await startKeeper({ clock, wrap });
  const begunAt = clock.now + clock.wall;
  const opened = await keeper.grant(grantOf('a1', '192.0.2.7', 20), ALICE, keeper.epoch);
  t.equal(opened?.expiresAt, begunAt + 5_020 + 14_000);
  t.match([...kernel.doors.values()], [{ expiresAt: begunAt + 19_020 }]);
  await t.rejects(keeper.grant(grantOf('b1', '192.0.2.8', 5), BOB, keeper.epoch), /no answer within/);
  t.equal(kernel.doors.size, 1);
});

t.test('a clock that jumps makes no door longer or shorter', async (t) => {
  const { keeper, kernel, log, clock } = await startKeeper({});
  await keeper.grant(grantOf('a1', '192.0.2.7', 60), ALICE, keeper.epoch);
  clock.wall -= 3_600_000;
  clock.now += 1_000;
  await keeper.look();
  t.match(log.lines.at(-1), 'the clock jumped 3600 s back; doors keep their time');
  const [door] = kernel.doors.values();
  t.equal(door?.expiresAt, clock.now + clock.wall + 59_000, 'the memory firewall goes by that clock');
});

t.test(
  'of what was revoked the next daemon closes what the last one did not, and adopts the rest',
  async (t) => {
    const kernel = createMemoryKernel();
    const record = createMemoryRecord();
    const { keeper, clock } = await startKeeper({ kernel, record });
    await keeper.grant(grantOf('a1', '192.0.2.7', 60), ALICE, keeper.epoch);
    await keeper.grant(grantOf('b1', '192.0.2.7', 30), BOB, keeper.epoch);
    await keeper.grant(grantOf('a2', '192.0.2.8', 60), ALICE, keeper.epoch);
    // It died after it had written down what to revoke.
    record.content.revoked.push(...record.content.grants.splice(2, 1), ...record.content.grants.splice(0, 1));
    const next = await startKeeper({ kernel, record, clock });
    t.match(await next.keeper.list(), [
      { address: '192.0.2.7', remainingSeconds: 30, grants: [{ id: 'b1' }] },
    ]);
    t.equal(kernel.doors.size, 1);
  },
);

t.test(
  'a clock that was set back while no daemon ran keeps no door open for longer than granted',
  async (t) => {
    const kernel = createMemoryKernel();
    const record = createMemoryRecord();
    const { keeper, clock } = await startKeeper({ kernel, record });
    await keeper.grant(grantOf('a1', '192.0.2.7', 60), ALICE, keeper.epoch);
    await keeper.grant(grantOf('b1', '192.0.2.8', 5), BOB, keeper.epoch);
    clock.now += 10_000;
    clock.wall -= 100_000;
    const next = await startKeeper({ kernel, record, clock });
    t.match(await next.keeper.list(), [
      { address: '192.0.2.7', remainingSeconds: 50, grants: [{ id: 'a1' }] },
    ]);
    t.equal(kernel.doors.size, 1);
    t.match(next.log.lines, [/2 doors would have stayed open longer than granted/]);
  },
);

t.test('with very many doors a start goes by the record, if they are still in the same place', async (t) => {
  const kernel = createMemoryKernel();
  const record = createMemoryRecord();
  const clock = { now: 1_000_000, wall: 1_700_000_000_000 };
  const live: readonly LiveGrant[] = Array.from({ length: 10_002 }, (_, index) => ({
    ...grantOf(`a${index}`, `10.0.${index >> 8}.${index & 255}`),
    ...ALICE,
    endsAt: clock.now + 60_000,
  }));
  const fill = (): void => {
    for (const { id, address, ports } of live) {
      for (const port of ports) {
        const expiresAt = clock.now + clock.wall + 60_000;
        kernel.doors.set(doorKey({ address, port }), { address, port, grantId: id, expiresAt });
      }
    }
    record.content.grants = live.slice(1);
    record.content.revoked = live.slice(0, 1);
    record.content.mark = 'here';
  };
  for (const [mark, listings] of [
    ['here', 0],
    ['elsewhere', 1],
  ] as const) {
    fill();
    let listed = 0;
    const wrap = (firewall: Firewall): Firewall => ({
      ...firewall,
      mark: () => mark,
      list: () => {
        listed += 1;
        return firewall.list();
      },
    });
    const { keeper } = await startKeeper({ kernel, record, clock, wrap });
    t.equal(listed, listings, mark);
    t.equal(record.content.mark, mark);
    t.equal(kernel.doors.size, live.length - 1, 'what was revoked is shut');
    const { grants, closed } = await keeper.revoke({ by: 'grant', id: 'a10001' }, { cut: null });
    t.match(grants, [{ operator: ALICE.operator }], 'whose a door is, is known');
    t.equal(closed.length, 1);
    keeper.close({ flush: true });
    t.equal(record.content.mark, null, 'after a flush the record says of no place what is open there');
  }
});

/** What happens, in any order, at once or one after the other. */
type Event =
  | { readonly kind: 'grant'; readonly of: 'alice' | 'bob'; readonly host: number; readonly seconds: number }
  | { readonly kind: 'revoke'; readonly of: 'alice' | 'bob' }
  | { readonly kind: 'sweep' }
  | { readonly kind: 'look' };

t.test(
  'whatever happens at once, the kernel ends up with the doors of live grants, each no longer than those',
  async (t) => {
    const events: fc.Arbitrary<Event> = fc.oneof(
      fc.record({
        kind: fc.constant('grant' as const),
        of: fc.constantFrom('alice' as const, 'bob' as const),
        host: fc.integer({ min: 1, max: 3 }),
        seconds: fc.integer({ min: 1, max: 30 }),
      }),
      fc.record({
        kind: fc.constant('revoke' as const),
        of: fc.constantFrom('alice' as const, 'bob' as const),
      }),
      fc.constant({ kind: 'sweep' as const }),
      fc.constant({ kind: 'look' as const }),
    );
    const property = fc.asyncProperty(
      fc.scheduler(),
      fc.array(events, { maxLength: 25 }),
      async (scheduler, happening) => {
        const { keeper, kernel, clock } = await scheduler.waitFor(
          startKeeper({ wrap: (firewall) => slowly(firewall, scheduler) }),
        );
        const granted = new Map<string, { readonly end: number; readonly of: string }>();
        let number = 0;
        const work = happening.map(async (event) => {
          if (event.kind === 'sweep') {
            kernel.policy = null;
            kernel.doors.clear();
          } else if (event.kind === 'look') {
            await keeper.look();
          } else if (event.kind === 'revoke') {
            await keeper.revoke({ by: 'user', name: event.of }, NO_CUT).catch(ignoreFirewall);
            for (const [key, door] of granted) if (door.of === event.of) granted.delete(key);
          } else {
            number += 1;
            const grant = grantOf(`grant${number}`, `192.0.2.${event.host}`, event.seconds);
            const end = clock.now + event.seconds * 1000;
            const holder = event.of === 'alice' ? ALICE : BOB;
            const opened = await keeper.grant(grant, holder, keeper.epoch).catch(ignoreFirewall);
            if (opened) granted.set(grant.id, { end, of: event.of });
          }
        });
        await scheduler.waitFor(Promise.all(work));
        clock.now += 10_000;
        await scheduler.waitFor(keeper.look());
        const doors = await scheduler.waitFor(keeper.list());
        const live = doors.flatMap(({ grants }) => grants);
        for (const { grants, remainingSeconds, address } of doors) {
          const longest = Math.max(0, ...grants.map(({ endsAt }) => endsAt));
          if (clock.now + remainingSeconds * 1000 > longest) throw new Error(`${address} is open too long`);
        }
        for (const [id, { end }] of granted) {
          if (end > clock.now + 1_000 && !live.some((grant) => grant.id === id))
            throw new Error(`${id} is lost`);
        }
        keeper.close();
      },
    );
    await fc.assert(property, { numRuns: 150 });
    t.pass();
  },
);

interface Clock {
  now: number;
  /** What the clock that can be set is ahead of the other. */
  wall: number;
}

interface KeeperSetup {
  readonly kernel?: MemoryKernel;
  readonly record?: GrantRecord;
  readonly clock?: Clock;
  readonly wrap?: (firewall: Firewall) => Firewall;
}

async function startKeeper(setup: KeeperSetup) {
  const { kernel = createMemoryKernel(), record = null, wrap = (firewall) => firewall } = setup;
  const clock = setup.clock ?? { now: 1_000_000, wall: 1_700_000_000_000 };
  const log = createReadableLog();
  const memory = createMemoryFirewall({ now: () => clock.now + clock.wall, kernel });
  const firewall = wrap(memory);
  const keeper = new Doorkeeper({
    ...{ firewall, log, record },
    now: () => clock.now,
    wallNow: () => clock.now + clock.wall,
    cut: async () => ({ connections: 0, problem: null }),
  });
  await memory.install(POLICY, { flush: false, doors: [] });
  await keeper.start(POLICY, { flush: false });
  return { keeper, kernel, clock, log };
}

/** Grants wait until they are released. */
function createHeldFirewall() {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const wrap = (firewall: Firewall): Firewall => ({
    ...firewall,
    grant: async (wanted) => {
      await held;
      return firewall.grant(wanted);
    },
  });
  return { wrap, release: () => release() };
}

/** A firewall of which some calls fail while it is broken. */
function createBreakable(names: readonly ('adjust' | 'grant' | 'install' | 'isIntact')[]) {
  const state = {
    isBroken: false,
    /** So many calls fail, and then none. */
    breakNext: 0,
    calls: 0,
    wrap: (firewall: Firewall): Firewall => {
      const fail = <Args extends readonly unknown[], Result>(call: (...args: Args) => Promise<Result>) => {
        return async (...args: Args): Promise<Result> => {
          if (!state.isBroken && state.breakNext === 0) return call(...args);
          state.breakNext = Math.max(0, state.breakNext - 1);
          state.calls += 1;
          throw new FirewallError('nft', null, 'no answer');
        };
      };
      return {
        ...firewall,
        ...(names.includes('adjust') ? { adjust: fail(firewall.adjust) } : {}),
        ...(names.includes('grant') ? { grant: fail(firewall.grant) } : {}),
        ...(names.includes('install') ? { install: fail(firewall.install) } : {}),
        ...(names.includes('isIntact') ? { isIntact: fail(firewall.isIntact) } : {}),
      };
    },
  };
  return state;
}

/** A firewall whose changes happen one after the other, each when the scheduler says. */
function slowly(firewall: Firewall, scheduler: fc.Scheduler): Firewall {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const result = last.then(() => scheduler.schedule(Promise.resolve())).then(work);
    last = result.catch(() => {});
    return result;
  };
  return {
    ...firewall,
    install: (policy, options) => inTurn(() => firewall.install(policy, options)),
    grant: (wanted) => inTurn(() => firewall.grant(wanted)),
    adjust: (changes) => inTurn(() => firewall.adjust(changes)),
    isIntact: () => inTurn(() => firewall.isIntact()),
    list: () => inTurn(() => firewall.list()),
  };
}

function createMemoryRecord(): GrantRecord & {
  readonly content: { grants: LiveGrant[]; revoked: LiveGrant[]; mark: string | null; damagedLines: number };
} {
  const content = {
    ...{ grants: [] as LiveGrant[], revoked: [] as LiveGrant[], damagedLines: 0 },
    mark: null as string | null,
  };
  const file: LedgerFile = {
    added: (grant) => content.grants.push(grant),
    revoked: () => {},
    marked: (mark) => {
      content.mark = mark;
    },
    close: () => {},
  };
  return {
    content,
    read: () => content,
    begin: (grants) => {
      content.grants = [...grants()];
      content.revoked = [];
      return file;
    },
    resume: () => file,
  };
}

function grantOf(id: string, address = '192.0.2.7', timeoutSeconds = 30): Grant {
  return { id, address: addressOf(address), ports: portsOf('tcp/22'), timeoutSeconds };
}

function ignoreFirewall(error: unknown): null {
  if (error instanceof FirewallError) return null;
  throw error;
}
