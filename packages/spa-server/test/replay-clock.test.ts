import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { openReplayStore } from '../src/replay/lmdb.ts';
import type { ReplayStore } from '../src/replay/replay-store.ts';
import { withSteadyFloor } from '../src/replay/steady-floor.ts';
import { openTwoStores } from '../src/replay/two-stores.ts';
import { idOf } from './replay-contract.ts';

const MEMORY = '/dev/shm';
const hasMemory = statfsSync(MEMORY).type === 0x01021994;
const MAX_AGE_SECONDS = 120;

/** What happens to a host, one thing after the other. */
type Step =
  | { readonly kind: 'new message'; readonly stampedAhead: number }
  | { readonly kind: 'message again'; readonly which: number }
  | { readonly kind: 'time passes'; readonly seconds: number }
  | { readonly kind: 'clock steps'; readonly seconds: number }
  | { readonly kind: 'old ones are forgotten' }
  | { readonly kind: 'restart' }
  | { readonly kind: 'killed' }
  | { readonly kind: 'clean reboot' }
  | { readonly kind: 'crash of the host' }
  | { readonly kind: 'run folder lost' };

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('new message'),
        stampedAhead: fc.integer({ min: -130, max: 130 }),
      }),
    },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('message again'), which: fc.nat(100) }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('time passes'), seconds: fc.integer({ min: 1, max: 200 }) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('clock steps'),
        seconds: fc.integer({ min: -500, max: 500 }),
      }),
    },
    { weight: 2, arbitrary: fc.constant({ kind: 'old ones are forgotten' }) },
    ...(['restart', 'killed', 'clean reboot', 'crash of the host', 'run folder lost'] as const).map(
      (kind) => ({
        weight: 1,
        arbitrary: fc.constant({ kind }),
      }),
    ),
  ) as fc.Arbitrary<Step>,
  { minLength: 10, maxLength: 40 },
);

t.test(
  'whatever happens to process, host and clock, in whatever order, no message is accepted twice',
  { skip: !hasMemory },
  async (t) => {
    await fc.assert(
      fc.asyncProperty(steps, async (schedule) => {
        const host = await createHost();
        try {
          for (const step of schedule) await host.take(step);
          for (let which = 0; which < 100; which++) await host.take({ kind: 'message again', which });
          return [...host.accepted.values()].every((times) => times <= 1);
        } finally {
          await host.dispose();
        }
      }),
      { numRuns: 25 },
    );
    t.pass();
  },
);

t.test('a clock that is ahead for some minutes locks nobody out', { skip: !hasMemory }, async (t) => {
  const host = await createHost();
  t.teardown(() => host.dispose());
  const enter = (): Promise<boolean> => host.take({ kind: 'new message', stampedAhead: 0 });
  const pass = async (seconds: number): Promise<void> => {
    await host.take({ kind: 'time passes', seconds });
    await host.take({ kind: 'old ones are forgotten' });
  };
  await host.take({ kind: 'clock steps', seconds: 86_400 });
  for (let i = 0; i < 10; i++) await pass(30);
  await host.take({ kind: 'clock steps', seconds: -86_400 });
  t.equal(await enter(), true);
  await pass(30);
  await host.take({ kind: 'crash of the host' });
  t.equal(await enter(), false);
  await pass(36);
  t.equal(await enter(), true);
});

t.test('a clock that stays ahead is believed after ten minutes', { skip: !hasMemory }, async (t) => {
  const host = await createHost();
  t.teardown(() => host.dispose());
  await host.take({ kind: 'clock steps', seconds: 86_400 });
  const before = host.floorSeconds;
  for (let i = 0; i < 25; i++) {
    await host.take({ kind: 'time passes', seconds: 30 });
    await host.take({ kind: 'old ones are forgotten' });
  }
  t.ok(host.floorSeconds > before + 86_400 - MAX_AGE_SECONDS);
});

interface Host {
  /** How often each message was accepted. */
  readonly accepted: ReadonlyMap<string, number>;
  readonly floorSeconds: number;
  /** Of a message: true if it was accepted. */
  take(step: Step): Promise<boolean>;
  dispose(): Promise<void>;
}

/** A host with the real stores, whose clock is a number. What a kill leaves is what is in the files at that moment. */
async function createHost(): Promise<Host> {
  const roots = {
    disk: mkdtempSync(join(tmpdir(), 'replay-')),
    memory: mkdtempSync(join(MEMORY, 'replay-')),
  };
  const left: ReplayStore[] = [];
  const accepted = new Map<string, number>();
  const stamps: number[] = [];
  let life = 0;
  let clock = 1_000_000;
  let steady = 0;
  let store = await open();

  function foldersOf(which: number): Readonly<Record<'disk' | 'memory', string>> {
    return { disk: join(roots.disk, String(which)), memory: join(roots.memory, String(which)) };
  }

  async function open(): Promise<ReplayStore> {
    const { disk, memory } = foldersOf(life);
    const both = await openTwoStores({
      durable: await openReplayStore(disk, clock),
      openVolatile: (nowSeconds) => openReplayStore(memory, nowSeconds),
      now: () => clock,
    });
    return withSteadyFloor(both, { steadySeconds: () => steady, maxAgeSeconds: MAX_AGE_SECONDS });
  }

  /** The next life begins with what this one has in its files. */
  async function begin(end: { readonly isClean: boolean; readonly keepsMemory: boolean }): Promise<void> {
    if (end.isClean) await store.close();
    else left.push(store);
    const before = foldersOf(life);
    life += 1;
    const after = foldersOf(life);
    keep(before.disk, after.disk);
    if (end.keepsMemory) keep(before.memory, after.memory);
    store = await open();
  }

  async function send(which: number): Promise<boolean> {
    const stamped = stamps[which];
    if (stamped === undefined || Math.abs(stamped - clock) > MAX_AGE_SECONDS) return false;
    const name = String(which);
    if ((await store.claim({ id: idOf(name), timestampSeconds: stamped })) !== 'claimed') return false;
    accepted.set(name, (accepted.get(name) ?? 0) + 1);
    return true;
  }

  async function take(step: Step): Promise<boolean> {
    switch (step.kind) {
      case 'new message':
        return send(stamps.push(clock + step.stampedAhead) - 1);
      case 'message again':
        return send(step.which);
      case 'time passes':
        clock += step.seconds;
        steady += step.seconds;
        return false;
      case 'clock steps':
        clock += step.seconds;
        return false;
      case 'old ones are forgotten':
        await store.raiseFloor(clock - MAX_AGE_SECONDS);
        return false;
      case 'restart':
        await begin({ isClean: true, keepsMemory: true });
        return false;
      case 'killed':
        await begin({ isClean: false, keepsMemory: true });
        return false;
      case 'clean reboot':
        await begin({ isClean: true, keepsMemory: false });
        return false;
      case 'crash of the host':
      case 'run folder lost':
        await begin({ isClean: false, keepsMemory: false });
        return false;
    }
  }

  return {
    accepted,
    get floorSeconds() {
      return store.floorSeconds;
    },
    take,
    dispose: async () => {
      await Promise.all([store, ...left].map((one) => one.close()));
      for (const root of Object.values(roots)) rmSync(root, { recursive: true, force: true });
    },
  };
}

function keep(from: string, to: string): void {
  mkdirSync(to);
  const file = join(from, 'data.mdb');
  if (existsSync(file)) copyFileSync(file, join(to, 'data.mdb'));
}
