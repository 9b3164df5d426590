import { identify, type MessageId } from 'spa-core';
import type { Test } from 'tap';
import type { Claim, ReplayStore } from '../src/replay/replay-store.ts';

/** The identity of a message that `name` stands for. */
export function idOf(name: string): MessageId {
  return identify(name);
}

/** What every replay store promises. `open` makes an empty one. */
export function testReplayStore(t: Test, open: (t: Test, nowSeconds: number) => Promise<ReplayStore>): void {
  const test = (title: string, body: (t: Test, store: ReplayStore) => Promise<void>): void => {
    t.test(title, async (t) => {
      const store = await open(t, 999);
      t.teardown(() => store.close());
      await body(t, store);
    });
  };
  const claim = (store: ReplayStore, name: string, timestampSeconds: number): Promise<Claim> =>
    store.claim({ id: idOf(name), timestampSeconds });

  test('an empty store refuses all that was made until now', async (t, store) => {
    t.equal(store.floorSeconds, 1000);
    t.equal(await claim(store, 'a', 999), 'before-floor');
    t.equal(await claim(store, 'a', 1000), 'claimed', 'what was refused is not burnt');
  });

  test('a message is claimed once', async (t, store) => {
    t.equal(await claim(store, 'a', 1000), 'claimed');
    t.equal(await claim(store, 'a', 1000), 'replayed');
    t.equal(await claim(store, 'b', 1000), 'claimed', 'another one of the same second');
    t.equal(await claim(store, 'c', 999_999_999_999), 'claimed', 'the latest time that a message can have');
    t.equal(await claim(store, 'c', 999_999_999_999), 'replayed');
  });

  test('of many claims of one message at once exactly one wins', async (t, store) => {
    const claims = await Promise.all(Array.from({ length: 50 }, () => claim(store, 'a', 1000)));
    t.equal(claims.filter((result) => result === 'claimed').length, 1);
    t.equal(claims.filter((result) => result === 'replayed').length, 49);
  });

  test('a raised floor refuses what is older, and leaves the rest as it was', async (t, store) => {
    for (const seconds of [1000, 1099, 1100, 1101]) await claim(store, `at ${seconds}`, seconds);
    await store.raiseFloor(1100);
    t.equal(store.floorSeconds, 1100);
    t.equal(await claim(store, 'at 1000', 1000), 'before-floor');
    t.equal(await claim(store, 'at 1099', 1099), 'before-floor');
    t.equal(await claim(store, 'late', 1099), 'before-floor');
    t.equal(await claim(store, 'at 1100', 1100), 'replayed');
    t.equal(await claim(store, 'at 1101', 1101), 'replayed');
    t.equal(await claim(store, 'new', 1100), 'claimed');
  });

  test('the floor never sinks', async (t, store) => {
    await store.raiseFloor(1100);
    await store.raiseFloor(1050);
    await Promise.all([store.raiseFloor(1200), store.raiseFloor(1150)]);
    t.equal(store.floorSeconds, 1200);
    t.equal(await claim(store, 'a', 1199), 'before-floor');
  });
}
