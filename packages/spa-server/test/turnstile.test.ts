import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { createTurnstile, type DropReason, type Lane, type Turnstile } from '../src/transport/turnstile.ts';
import { DATAGRAMS_PER_READ } from '../src/transport/udp-limits.ts';
import { addressOf } from './gate.ts';

/** Turns of the event loop, not one more than it takes. */
async function turnUntil(check: () => boolean): Promise<void> {
  for (let turns = 0; !check(); turns++) {
    if (turns > 1000) throw new Error('a thousand turns in vain');
    await turn();
  }
}

/** A turnstile whose clock and socket stand still unless they are moved or work takes its time, and what became of the work. */
function setUp({ workMs = 0 } = {}) {
  const world = { now: 0, arrived: 0 };
  const turnstile = createTurnstile({ now: () => world.now, arrived: () => world.arrived });
  const done: string[] = [];
  const dropped: string[] = [];
  return {
    world,
    turnstile,
    done,
    dropped,
    offer: offerTo(turnstile, done, dropped, () => {
      world.now += workMs;
    }),
  };
}

function offerTo(turnstile: Turnstile, done: string[], dropped: string[], takeTime = (): void => {}) {
  return (name: string, source: string, lane: Lane, proves = false): void => {
    const work = {
      source: addressOf(source),
      lane,
      run: async () => {
        done.push(name);
        takeTime();
        if (proves) turnstile.proved(work);
      },
      dropped: (reason: DropReason) => {
        dropped.push(`${name} ${reason}`);
      },
    };
    turnstile.offer(work);
  };
}

t.test('work is done between turns, the higher lane first', async (t) => {
  const { turnstile, done, offer } = setUp();
  offer('strange', '192.0.2.1', 2);
  offer('usual', '192.0.2.2', 1);
  offer('vouched', '192.0.2.3', 0);
  t.same(done, []);
  t.equal(turnstile.waiting, 3);
  await turnstile.close();
  t.same(done, ['vouched', 'usual', 'strange']);
});

t.test(
  'what takes little time is done in one turn, and the socket is read after a few milliseconds',
  async (t) => {
    const quick = setUp();
    const slow = setUp({ workMs: 1 });
    for (const { offer } of [quick, slow]) {
      for (let i = 0; i < 20; i++) offer('work', `192.0.2.${i}`, 1);
    }
    await turn();
    t.equal(quick.done.length, 20);
    t.equal(slow.done.length, 3);
    await Promise.all([quick.turnstile.close(), slow.turnstile.close()]);
  },
);

t.test('who floods waits for himself only', async (t) => {
  const { turnstile, done, offer } = setUp({ workMs: 3 });
  for (let i = 0; i < 100; i++) offer(`flood ${i}`, '192.0.2.1', 1);
  await turn();
  offer('operator', '192.0.2.2', 1);
  await turnUntil(() => done.includes('operator'));
  t.ok(done.length <= 4, `after ${done.length}`);
  await turnstile.close();
});

t.test(
  'a source that wastes its budget is dropped, an address of its IPv6 network too, others are not',
  async (t) => {
    const { world, turnstile, dropped, offer } = setUp();
    for (let i = 0; i < 256; i++) {
      offer('junk', '2001:db8::1', 1);
      if (i % 100 === 0) await turn();
    }
    t.same(dropped, []);
    offer('junk', '2001:db8::2', 1);
    t.same(dropped, ['junk budget']);
    offer('neighbour', '2001:db8:0:1::1', 1);
    world.now = 100;
    offer('junk', '2001:db8::1', 1);
    t.equal(dropped.length, 1, 'after a tenth of a second there is another token');
    offer('vouched', '2001:db8::1', 0);
    t.equal(dropped.length, 1, 'what an HMAC vouches for has a budget of its own');
    await turnstile.close();
  },
);

t.test('messages that nobody had before cost nothing', async (t) => {
  const { turnstile, done, dropped, offer } = setUp();
  for (let i = 0; i < 600; i++) {
    offer('good', '192.0.2.1', 1, true);
    await turnUntil(() => done.length === i + 1);
  }
  t.same(dropped, []);
  await turnstile.close();
});

t.test('whoever has proved himself comes before strangers', async (t) => {
  const { turnstile, done, offer } = setUp();
  offer('yesterday', '192.0.2.1', 1, true);
  await turnUntil(() => done.length === 1);
  offer('operator', '192.0.2.1', 1);
  for (let i = 0; i < 50; i++) offer('stranger', `198.51.100.${i}`, 1);
  await turn();
  await turnUntil(() => done.length >= 2);
  t.equal(done[1], 'operator');
  await turnstile.close();
});

t.test('when too many wait in a lane, the oldest of it give way, and none of another lane', async (t) => {
  const { turnstile, done, dropped, offer } = setUp();
  for (const [lane, name] of (['vouched', 'usual', 'strange'] as const).entries()) {
    for (let i = 0; i < 128; i++) offer(`${name} ${i}`, `10.${lane}.0.${i}`, lane as Lane);
  }
  t.same(dropped, []);
  offer('usual', '192.0.2.1', 1);
  offer('strange', '192.0.2.1', 2);
  t.same(dropped, ['usual 0 overload', 'strange 0 overload']);
  for (let i = 128; i < 1025; i++) offer(`vouched ${i}`, `10.${3 + (i >> 8)}.0.${i & 255}`, 0);
  t.same(dropped.slice(2), ['vouched 0 overload']);
  await turnstile.close();
  t.equal(done.length, 1024 + 128 + 128);
});

t.test('while the socket is full, work waits for its share of the time', async (t) => {
  const { world, turnstile, done } = setUp();
  const run = async (): Promise<void> => {
    done.push('work');
    world.now += 10;
  };
  const work = { lane: 0 as const, run, dropped: () => {} };
  for (let i = 1; i <= 3; i++) turnstile.offer({ ...work, source: addressOf(`192.0.2.${i}`) });
  await turnUntil(() => done.length === 1);
  for (let i = 0; i < 20; i++) {
    world.arrived += DATAGRAMS_PER_READ;
    await turn();
  }
  t.ok(done.length <= 2, 'datagrams go first');
  const before = done.length;
  world.now += 20;
  for (let i = 0; i < 5; i++) {
    world.arrived += DATAGRAMS_PER_READ;
    await turn();
  }
  t.equal(done.length, before + 1, 'but not for ever');
  await turnstile.close();
});

t.test('a turnstile that closes does what waits, but not for ever', async (t) => {
  const { world, turnstile, done, dropped, offer } = setUp({ workMs: 3 });
  for (let i = 0; i < 3; i++) offer('work', `192.0.2.${i}`, 1);
  const closed = turnstile.close();
  offer('late', '192.0.2.9', 0);
  t.same(dropped, ['late overload']);
  await turnUntil(() => done.length === 1);
  world.now += 3000;
  await closed;
  t.equal(done.length, 1);
  t.same(dropped.slice(1), ['work overload', 'work overload']);
  await createTurnstile({ now: () => 0, arrived: () => 0 }).close();
});
