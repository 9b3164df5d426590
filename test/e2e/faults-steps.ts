import { addresses, doorCloses, lacking, reach, until } from 'spa-lab';
import t from 'tap';
import { createFaultSite, type FaultSetup, hears, OPENING, provesSound } from './faults.ts';
import type { FirewallFault } from './faulty-firewall.ts';

const KILLS: readonly { readonly title: string; readonly fault: FirewallFault; readonly isOpen: boolean }[] =
  [
    {
      title: 'the daemon is killed before the kernel hears of a grant',
      fault: 'kill-daemon-before',
      isOpen: false,
    },
    {
      title: 'the daemon is killed before it hears that a door is open',
      fault: 'kill-daemon-after',
      isOpen: true,
    },
  ];

const DEATHS: readonly { readonly title: string; readonly fault: FirewallFault }[] = [
  { title: "the firewall's program is killed before it has opened a door", fault: 'die-before' },
  { title: "the firewall's program is killed when it has opened a door", fault: 'die-after' },
];

/** Tests what becomes of a grant if something is killed on its way to the kernel, or back. */
export function testSteps(setup: FaultSetup): void {
  t.setTimeout(180_000);
  t.test(`${setup.name}:`, { skip: lacking('sshd', ...setup.programs) }, async (t) => {
    const site = await createFaultSite(t, setup);
    const at = OPENING[setup.kind];

    for (const { title, fault, isOpen } of KILLS) {
      await t.test(title, async (t) => {
        site.faulty.fail(fault, { at, times: 'once' });
        const knock = await site.make({ seconds: 3 });
        const { process } = site.daemon();
        await site.send(knock);
        await until('the daemon is dead', () => process.signalCode === 'SIGKILL');
        site.faulty.mend();
        t.equal(await reach(site.lab.operator, addresses.server4), isOpen ? 'open' : 'silent', 'the door');
        await doorCloses(site.lab);
        await site.start({ server: ['FLUSH_IPT_AT_INIT N'] });
        t.match(site.daemon().log(), /the daemon before this one \(pid=\d+\) was killed/, 'one line');
        t.equal(site.timesOpened(knock), 0, 'nobody could log it');
        await provesSound(t, site, [knock]);
      });
    }

    for (const { title, fault } of DEATHS) {
      await t.test(title, async (t) => {
        const since = site.daemon().log().length;
        site.faulty.fail(fault, { at, times: 'once' });
        const knock = await site.make({ seconds: 3 });
        await site.send(knock);
        await hears(site, knock);
        t.equal(site.timesOpened(knock), 1, 'another opens it');
        t.equal(await reach(site.lab.operator, addresses.server4), 'open', 'the door');
        if (setup.kind === 'nftables') await site.daemon().logged(/the session with .* has ended/, since);
        await provesSound(t, site, [knock]);
      });
    }
    t.equal(await site.daemon().stop(), 0);
  });
}
