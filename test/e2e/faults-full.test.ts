import { mkdirSync } from 'node:fs';
import { lacking, type Namespace, until } from 'spa-lab';
import t, { type Test } from 'tap';
import {
  createFaultSite,
  type FaultSite,
  hears,
  type Knock,
  OWN,
  provesSound,
  withPrivateMounts,
} from './faults.ts';

t.setTimeout(180_000);

/** Too little for a store to begin with, and enough for that but for no message. */
const TINY = { nothing: '100k', begun: '300k' } as const;

const options = { skip: lacking('sshd', 'mount', ...OWN.programs) };

t.test('the file system of the replay store is full, and it goes on with what it has', options, async (t) => {
  const site = await createFaultSite(t, OWN);
  t.equal(await site.daemon().stop(), 0);
  const host = await withPrivateMounts(site.lab.bastion);
  const disk = await mountStore(site, host, '4m');
  await site.start({ host });
  t.not((await host.run(['dd', 'if=/dev/zero', `of=${disk}/filler`, 'bs=4k'])).status, 0, 'no room is left');
  const knock = await site.make({ seconds: 2 });
  await mustOpen(t, site, knock);
  await site.daemon().stop('SIGKILL');
  await site.start({ host });
  await provesSound(t, site, [knock]);
  t.equal(await site.daemon().stop(), 0);
});

t.test('it is full before the store has what it needs, and then it is not', options, async (t) => {
  const site = await createFaultSite(t, OWN);
  t.equal(await site.daemon().stop(), 0);
  const host = await withPrivateMounts(site.lab.bastion);
  const folder = await mountStore(site, host, TINY.nothing);
  await t.rejects(site.start({ host }), /its file system is full; make room/, 'no daemon, and one line');

  await host.must(['mount', '-o', `remount,size=${TINY.begun}`, folder]);
  await site.start({ host });
  const knock = await site.make({ seconds: 2 });
  await site.send(knock);
  await site.daemon().logged(/could not open .*its file system is full; make room/);
  t.equal(site.timesOpened(knock), 0);

  await host.must(['mount', '-o', `remount,size=4m`, folder]);
  await mustOpen(t, site, knock);
  await site.daemon().stop('SIGKILL');
  await site.start({ host });
  await provesSound(t, site, [knock]);
  t.equal(await site.daemon().stop(), 0);
});

/** A file system for the replay store alone: as it is in memory, there is no other store. Resolves to its path. */
async function mountStore(site: FaultSite, host: Namespace, size: string): Promise<string> {
  const folder = site.lab.scratch.path('replay');
  mkdirSync(folder, { recursive: true });
  await host.must(['mount', '-t', 'tmpfs', '-o', `size=${size}`, 'spa', folder]);
  return folder;
}

/** What was refused may come again, and is accepted once. */
async function mustOpen(t: Test, site: FaultSite, knock: Knock): Promise<void> {
  await site.send(knock, knock);
  await until('it opened its door', () => site.timesOpened(knock) > 0);
  const last = await site.make({ seconds: 1, address: '10.88.9.1' });
  await site.send(last);
  await hears(site, last);
  t.equal(site.timesOpened(knock), 1, 'once');
}
