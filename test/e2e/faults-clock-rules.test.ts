import { doorOpens, lacking } from 'spa-lab';
import t from 'tap';
import { createFaultSite, IPTABLES, provesSound } from './faults.ts';
import { createClock } from './faults-clock.ts';

t.setTimeout(180_000);

t.test('iptables without ipset:', { skip: lacking('sshd', 'faketime', ...IPTABLES.programs) }, async (t) => {
  const site = await createFaultSite(t, IPTABLES);
  const clock = createClock(site.lab.scratch);
  const { environment } = clock;
  const server = ['FLUSH_IPT_AT_INIT N'];
  // A door is a rule with an end on the kernel's clock. That one cannot be set for a test, so the daemon's is ahead at first.
  site.faulty.fail('refuse', { at: /^ipset/, times: 'always' });
  const restart = async (offsetSeconds: number): Promise<void> => {
    await site.daemon().stop('SIGKILL');
    clock.set(offsetSeconds);
    await site.start({ environment, server });
  };
  await restart(100);
  t.equal(await site.daemon().stop(), 0);
  await site.start({ environment, server });

  await t.test('the clock is set back: doors stay no longer', async (t) => {
    const knock = await site.make({ seconds: 4, offsetSeconds: 100 });
    await site.send(knock);
    await doorOpens(site.lab);
    t.match(await site.lab.bastion.must(['iptables-save']), /datestop/, 'it is a rule');
    const since = site.daemon().log().length;
    clock.set(0);
    await site.daemon().logged(/the clock jumped 100 s back; doors keep their time/, since);
    await provesSound(t, site, [knock]);
  });

  await t.test('the clock is set back while no daemon runs: doors stay no longer', async (t) => {
    await restart(100);
    const knock = await site.make({ seconds: 6, offsetSeconds: 100 });
    await site.send(knock);
    await doorOpens(site.lab);
    await restart(0);
    t.match(site.daemon().log(), /1 door would have stayed open longer than granted/, 'one line');
    await provesSound(t, site, [knock]);
  });
  t.equal(await site.daemon().stop(), 0);
});
