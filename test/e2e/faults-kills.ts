import { readFileSync } from 'node:fs';
import { lacking, until } from 'spa-lab';
import t from 'tap';
import { createFaultSite, type FaultSetup, type FaultSite, type Knock, openDoors } from './faults.ts';

const PACKETS = 40;
const ROUNDS = 3;

/** Tests that nothing is lost or doubled if programs are killed while many packets are under way, each at another step. */
export function testKills(setup: FaultSetup): void {
  t.setTimeout(180_000);
  t.test(`${setup.name}:`, { skip: lacking('sshd', ...setup.programs) }, async (t) => {
    const site = await createFaultSite(t, setup);
    const daemonOptions = ['SPA_RATE_PER_SOURCE 0'];
    t.equal(await site.daemon().stop(), 0);
    await site.start({ server: daemonOptions });
    let network = 0;
    const burst = (): Promise<readonly Knock[]> => {
      network += 1;
      const addressesOfBurst = Array.from({ length: PACKETS }, (_, host) => `10.88.${network}.${host + 1}`);
      return Promise.all(addressesOfBurst.map((address) => site.make({ seconds: 5, address })));
    };
    const openedOf = (knocks: readonly Knock[]): number =>
      knocks.filter((knock) => site.timesOpened(knock) > 0).length;
    /** Sends packets, and waits until the daemon has looked at each. */
    const sendAll = async (knocks: readonly Knock[]): Promise<void> => {
      const last = await site.make({ seconds: 1, address: '10.88.255.1' });
      await site.send(...knocks, last);
      await until('all packets were looked at', () => site.timesOpened(last) === 1);
    };

    await t.test('the daemon is killed in the middle of a burst, again and again', async (t) => {
      for (let round = 0; round < ROUNDS; round++) {
        const knocks = await burst();
        const enough = Math.floor(Math.random() * PACKETS * 0.7);
        const sending = site.send(...knocks);
        await until('some doors are open', () => openedOf(knocks) >= enough, { everyMs: 1 });
        await site.daemon().stop('SIGKILL');
        await sending;
        const open = await openDoors(site, setup);
        const accepted = knocks.filter((knock) => site.timesOpened(knock) > 0 || open.has(knock.address));
        const before = accepted.map(site.timesOpened);
        const keep = round % 2 === 0 ? ['FLUSH_IPT_AT_INIT N'] : [];
        await site.start({ server: [...daemonOptions, ...keep] });
        t.match(site.daemon().log(), /the daemon before this one \(pid=\d+\) was killed/, 'one line');
        await sendAll(knocks);
        t.same(
          accepted.map(site.timesOpened),
          before,
          `${accepted.length} of ${PACKETS} packets were accepted before, and are not again`,
        );
        const after = knocks.map(site.timesOpened);
        t.notOk(
          after.some((times) => times > 1),
          'nor is any of the others twice',
        );
        await sendAll(knocks);
        t.same(knocks.map(site.timesOpened), after, 'and then none at all');
      }
    });

    await t.test("the firewall's programs are killed in the middle of bursts", async (t) => {
      for (let round = 0; round < ROUNDS; round++) {
        const knocks = await burst();
        // iptables' programs come and go; the session of nft is there all the time.
        const enough = setup.kind === 'iptables' ? 0 : Math.floor(Math.random() * PACKETS * 0.7);
        const since = site.daemon().log().length;
        const sending = site.send(...knocks);
        await until(
          'something is to be killed',
          () => {
            const opened = openedOf(knocks);
            return opened === PACKETS || (opened >= enough && firewallOf(site).length > 0);
          },
          { everyMs: 1 },
        );
        const killed = killFirewall(site);
        await sending;
        await until(`all doors are open, after ${killed} kills`, () => openedOf(knocks) === PACKETS).catch(
          (error: Error) => t.fail(`${error.message}: ${openedOf(knocks)} of ${PACKETS}; ${site.log()}`),
        );
        t.notOk(
          knocks.some((knock) => site.timesOpened(knock) > 1),
          'each once',
        );
        const lines =
          site
            .daemon()
            .log()
            .slice(since)
            .match(/trying again/g) ?? [];
        t.ok(lines.length <= killed, `${lines.length} lines about ${killed} kills`);
        await sendAll(knocks);
        t.equal(knocks.filter((knock) => site.timesOpened(knock) > 1).length, 0, 'and never again');
      }
    });

    await t.test('all doors close on their time, and nobody else got in', async (t) => {
      await until('no door is open', async () => (await openDoors(site, setup)).size === 0);
      t.equal(site.prober.gotIn(), 0, `a stranger tried ${site.prober.tried()} times`);
      t.equal(await site.daemon().stop(), 0);
    });
  });
}

/** The programs that the daemon has started and that still run. */
function firewallOf(site: FaultSite): readonly number[] {
  const pid = site.daemon().process.pid;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children === '' ? [] : children.split(' ').map(Number);
}

/** Kills them; returns how many. */
function killFirewall(site: FaultSite): number {
  return firewallOf(site).filter((pid) => {
    try {
      return process.kill(pid, 'SIGKILL');
    } catch (error) {
      // It ended meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      return false;
    }
  }).length;
}
