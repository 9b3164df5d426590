import { mkdirSync } from 'node:fs';
import { lacking, until } from 'spa-lab';
import t from 'tap';
import {
  createFaultSite,
  type FaultSite,
  hears,
  type Knock,
  OWN,
  openDoors,
  provesSound,
  withPrivateMounts,
} from './faults.ts';

t.setTimeout(180_000);

t.test(
  'a file system is full, and then it is not:',
  { skip: lacking('sshd', 'mount', ...OWN.programs) },
  async (t) => {
    const site = await createFaultSite(t, OWN);
    const { lab } = site;
    for (const [title, name] of [
      ['of the replay store', 'replay'],
      ['of the run folder', 'run'],
    ] as const) {
      await t.test(title, async (t) => {
        t.equal(await site.daemon().stop(), 0);
        const host = await withPrivateMounts(lab.bastion);
        const folder = lab.scratch.path(name);
        mkdirSync(folder, { recursive: true });
        await host.must(['mount', '-t', 'tmpfs', '-o', 'size=2m', 'spa', folder]);
        await site.start({ host });
        const first = await site.make({ seconds: 2 });
        await site.send(first);
        await hears(site, first);
        t.equal(site.timesOpened(first), 1);
        await host.run(['dd', 'if=/dev/zero', `of=${folder}/filler`, 'bs=4k']);
        const since = site.daemon().log().length;
        const full = await refusedWhenFull(site);
        t.match(
          site.daemon().log().slice(since),
          /could not open .*its file system is full; make room/,
          'one line',
        );
        t.equal((await openDoors(site, OWN)).size, full.length - 1, 'the others were opened');
        const { process } = site.daemon();
        process.kill('SIGKILL');
        await until('it is dead', () => process.signalCode !== null);
        const [started] = await Promise.allSettled([site.start({ host })]);
        t.comment(started?.status === 'fulfilled' ? site.daemon().log() : String(started?.reason));
        await host.must(['rm', `${folder}/filler`]);
        if (started?.status === 'rejected') {
          t.match(String(started.reason), /its file system is full|ENOSPC/, 'one line');
          await site.start({ host });
        }
        await provesSound(t, site, [first, ...full.slice(0, -1)]);
        const [last = first] = full.slice(-1);
        await site.send(last, last);
        await hears(site, last);
        t.equal(site.timesOpened(last), 1, 'what was not accepted may come again, and is accepted once');
        t.equal(await site.daemon().stop(), 0);
        await host.must(['umount', folder]);
        await site.start();
      });
    }

    t.equal(await site.daemon().stop(), 0);
  },
);

/** Packets until one is refused: the store may have pages of its own left. */
async function refusedWhenFull(site: FaultSite): Promise<readonly Knock[]> {
  const sent: Knock[] = [];
  const since = site.daemon().log().length;
  while (!site.daemon().log().includes('could not open', since)) {
    const knock = await site.make({ seconds: 20, address: `10.88.9.${sent.length + 1}` });
    await site.send(knock);
    await hears(site, knock);
    sent.push(knock);
  }
  return sent;
}
