import { readdirSync } from 'node:fs';
import { addresses, doorCloses, doorOpens, lacking, reach, until } from 'spa-lab';
import t from 'tap';
import { createFaultSite, type FaultSetup, hears, OPENING, provesSound } from './faults.ts';
import type { FirewallFault } from './faulty-firewall.ts';

/** The firewall does not what it should, whatever is tried; is the door open all the same, for a moment? */
const FAILURES: readonly { readonly title: string; readonly fault: FirewallFault; readonly line: RegExp }[] =
  [
    { title: 'refuses', fault: 'refuse', line: /could not open tcp\/22 .*this was asked for/ },
    {
      title: 'says nonsense and opens nothing',
      fault: 'garble-before',
      line: /could not open tcp\/22 .*nonsense/,
    },
    {
      title: 'says nonsense and opens the door',
      fault: 'garble-after',
      line: /could not open tcp\/22 .*nonsense/,
    },
  ];

const HANGS: readonly { readonly title: string; readonly fault: FirewallFault }[] = [
  { title: 'hangs before it has opened a door', fault: 'hang-before' },
  { title: 'hangs when it has opened a door', fault: 'hang-after' },
];

/** Tests what becomes of grants if the firewall's program is missing, fails, or talks nonsense. */
export function testPrograms(setup: FaultSetup): void {
  t.setTimeout(180_000);
  t.test(`${setup.name}:`, { skip: lacking('sshd', 'prlimit', ...setup.programs) }, async (t) => {
    const site = await createFaultSite(t, setup);
    const at = OPENING[setup.kind];

    for (const { title, fault, line } of FAILURES) {
      await t.test(
        `the program ${title}: what it may have opened is closed when it works again`,
        async (t) => {
          const since = site.daemon().log().length;
          site.faulty.fail(fault, { at, times: 'always' });
          const knock = await site.make({ seconds: 300 });
          await site.send(knock);
          await hears(site, knock);
          t.match(site.daemon().log().slice(since), line, 'one line');
          site.faulty.mend();
          await doorCloses(site.lab);
          await until('nothing is in doubt', () => {
            const lines = site.daemon().log().slice(since);
            return lines.includes('trying again until') === lines.includes('works again');
          });
          t.equal(site.timesOpened(knock), 0);
          await provesSound(t, site, [knock]);
        },
      );
    }

    await t.test('the program is gone, and comes back', async (t) => {
      const since = site.daemon().log().length;
      site.faulty.remove();
      if (setup.kind === 'nftables') site.faulty.fail('die-before', { at, times: 'once' });
      const knock = await site.make({ seconds: 300 });
      await site.send(knock);
      await hears(site, knock);
      t.match(
        site.daemon().log().slice(since),
        /could not open tcp\/22 .*not installed or not in PATH/,
        'one line',
      );
      t.equal(await reach(site.lab.operator, addresses.server4), 'silent');
      await site.daemon().logged(/not in PATH.*; trying again until it works/, since);
      site.faulty.restore();
      await site.daemon().logged(/the firewall works again, after \d+ s/, since);
      await provesSound(t, site, [knock]);
    });

    await t.test('no descriptor is left', async (t) => {
      const since = site.daemon().log().length;
      const pid = site.daemon().process.pid;
      const limit = (
        await site.lab.bastion.must(['prlimit', '--pid', `${pid}`, '--nofile', '-o', 'SOFT', '--noheadings'])
      ).trim();
      const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
      const free = Array.from({ length: used.size + 1 }, (_, descriptor) => descriptor).find(
        (descriptor) => !used.has(descriptor),
      );
      await site.lab.bastion.must(['prlimit', '--pid', `${pid}`, `--nofile=${free}:`]);
      if (setup.kind === 'nftables') site.faulty.fail('die-before', { at, times: 'once' });
      const knock = await site.make({ seconds: 3 });
      await site.send(knock);
      await hears(site, knock);
      t.match(site.daemon().log().slice(since), /could not open tcp\/22 .*EMFILE/, 'one line');
      await site.lab.bastion.must(['prlimit', '--pid', `${pid}`, `--nofile=${limit}:`]);
      await provesSound(t, site, [knock]);
    });

    await t.test('the program is missing when the daemon starts', async (t) => {
      t.equal(await site.daemon().stop(), 0);
      site.faulty.remove();
      await t.rejects(
        site.start({ server: [`FIREWALL_EXE ${site.faulty.folder}/${setup.programs[0]}`] }),
        /faulty\/\w+: not found; .* or write its path as FIREWALL_EXE/,
        'one line',
      );
      site.faulty.restore();
      await site.start();
      await provesSound(t, site, []);
      t.equal(await site.daemon().stop(), 0);
    });
  });
}

/** Tests what becomes of grants if it hangs, which takes its time. */
export function testHangs(setup: FaultSetup): void {
  t.setTimeout(180_000);
  t.test(`${setup.name}:`, { skip: lacking('sshd', ...setup.programs) }, async (t) => {
    const site = await createFaultSite(t, setup);
    const at = OPENING[setup.kind];

    for (const { title, fault } of HANGS) {
      await t.test(`the program ${title}: it is given up, and another opens it`, async (t) => {
        const since = site.daemon().log().length;
        site.faulty.fail(fault, { at, times: 'once' });
        const knock = await site.make({ seconds: 9 });
        await site.send(knock);
        await doorOpens(site.lab);
        await hears(site, knock);
        t.match(site.daemon().log().slice(since), /no answer within 5000 ms/, 'one line');
        t.equal(site.timesOpened(knock), 1);
        await provesSound(t, site, [knock]);
      });
    }
    t.equal(await site.daemon().stop(), 0);
  });
}
