import { readdirSync, writeFileSync } from 'node:fs';
import { addresses, doorOpens, lacking, reach, type Scratch } from 'spa-lab';
import t from 'tap';
import {
  createFaultSite,
  type FaultSetup,
  type FaultSite,
  hears,
  type Knock,
  provesSound,
} from './faults.ts';

/** A clock that a daemon goes by, and that can be set. */
export interface Clock {
  readonly environment: Readonly<Record<string, string>>;
  /** How far it is from the real one. */
  set(offsetSeconds: number): void;
}

/** Tests what becomes of doors and packets if the daemon's clock is set. The kernel's stays as it is. */
export function testClock(setup: FaultSetup): void {
  t.setTimeout(180_000);
  t.test(`${setup.name}:`, { skip: lacking('sshd', 'faketime', ...setup.programs) }, async (t) => {
    const site = await createFaultSite(t, setup);
    const clock = createClock(site.lab.scratch);
    const { environment } = clock;
    const restart = async (): Promise<void> => {
      await site.daemon().stop('SIGKILL');
      await site.start({ environment, server: ['FLUSH_IPT_AT_INIT N'] });
    };
    await restart();

    for (const [title, step, line] of [
      ['ahead', 3_600, /the clock jumped 3600 s ahead; doors keep their time/],
      ['back', 0, /the clock jumped 3600 s back; doors keep their time/],
    ] as const) {
      await t.test(`the clock is set an hour ${title}, with an open door`, async (t) => {
        const offsetSeconds = 3_600 - step;
        // Long enough for all that happens before it is tried again, on a busy machine too.
        const knock = await site.make({ seconds: 8, offsetSeconds });
        await site.send(knock);
        await doorOpens(site.lab);
        const since = site.daemon().log().length;
        clock.set(step);
        await site.daemon().logged(line, since);
        const stays = await reach(site.lab.operator, addresses.server4, { limitMs: 2_000 });
        t.equal(stays, 'open', 'the door stays');
        await provesSound(t, site, [knock], { offsetSeconds: step });
      });
    }

    await t.test('the clock is set ahead and back, and again: no packet is accepted twice', async (t) => {
      const knocks: Knock[] = [];
      for (const offset of [0, 60, 3_600, 60, 0]) {
        clock.set(offset);
        knocks.push(await heard(site, offset));
      }
      t.same(knocks.map(site.timesOpened), [1, 1, 1, 1, 1]);
      await provesSound(t, site, knocks);
    });

    await t.test('when the next daemon starts, the clock is an hour ahead', async (t) => {
      const knock = await heard(site, 0);
      clock.set(3_600);
      await restart();
      const ahead = await heard(site, 3_600);
      t.equal(site.timesOpened(ahead), 1);
      clock.set(0);
      await restart();
      await provesSound(t, site, [knock, ahead]);
    });

    await t.test('when the next daemon starts, the clock is an hour back', async (t) => {
      const knock = await heard(site, 0);
      clock.set(-3_600);
      await restart();
      t.match(
        site.daemon().log(),
        /no packet made before .* is accepted: this host's clock was ahead; if it is right now/,
        'one line',
      );
      const tooEarly = await heard(site, -3_600);
      t.equal(site.timesOpened(tooEarly), 0, 'an hour ago it may have been accepted');
      clock.set(0);
      await restart();
      await provesSound(t, site, [knock, tooEarly]);
    });
    t.equal(await site.daemon().stop(), 0);
  });
}

async function heard(site: FaultSite, offsetSeconds: number): Promise<Knock> {
  const knock = await site.make({ seconds: 1, offsetSeconds });
  await site.send(knock);
  await hears(site, knock);
  return knock;
}

/** A clock of its own, that is right at first. */
export function createClock(scratch: Pick<Scratch, 'path'>): Clock {
  const file = scratch.path('clock');
  const set = (offsetSeconds: number): void =>
    writeFileSync(file, `${offsetSeconds < 0 ? '' : '+'}${offsetSeconds}s\n`);
  set(0);
  return {
    set,
    environment: {
      LD_PRELOAD: libfaketime(),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
  };
}

/** Debian puts it into a folder of the machine's kind. */
function libfaketime(): string {
  const folders = readdirSync('/usr/lib').filter((name) => name.includes('linux-gnu'));
  const paths = folders.flatMap((name) => {
    const folder = `/usr/lib/${name}`;
    return readdirSync(folder).includes('faketime') ? [`${folder}/faketime/libfaketime.so.1`] : [];
  });
  const [path] = paths;
  if (path === undefined) throw new Error('there is no libfaketime.so.1');
  return path;
}
