import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { lacking, until } from 'spa-lab';
import t from 'tap';
import { createFaultSite, type FaultSite, type Knock, OWN, openDoors, provesSound } from './faults.ts';

const PACKETS = 100;
/** Between two of them. */
const JUNK = 30;
/** What the process still gets, in bytes, round by round: after that the system refuses. */
const ROUNDS = [0, 256 * 1024, 4 * 1024 * 1024] as const;

t.setTimeout(180_000);

t.test(
  'no more memory is to be had: the daemon goes on or dies, and no door stays open, no packet is accepted twice',
  { skip: lacking('sshd', 'prlimit', ...OWN.programs) },
  async (t) => {
    const site = await createFaultSite(t, OWN);
    t.equal(await site.daemon().stop(), 0);
    const server = ['SPA_RATE_PER_SOURCE 0', 'FLUSH_IPT_AT_INIT N'];
    await site.start({ server });
    for (const [round, left] of ROUNDS.entries()) {
      const knocks = await Promise.all(
        Array.from({ length: PACKETS }, (_, host) =>
          site.make({ seconds: 3, address: `10.88.${round}.${host + 1}` }),
        ),
      );
      await limitMemory(site, `${addressSpaceOf(site) + left}`);
      await site.send(...knocks.flatMap((knock) => [...Array.from({ length: JUNK }, junk), knock]));
      await untilAllWasLookedAt(site);
      const seen = await openDoors(site, OWN);
      const accepted = knocks.filter((knock) => site.timesOpened(knock) > 0 || seen.has(knock.address));
      if (isAlive(site)) {
        await limitMemory(site, 'unlimited');
      } else {
        await site.start({ server });
        t.match(
          site.daemon().log(),
          /the daemon before this one \(pid=\d+\) was killed, or crashed/,
          'one line',
        );
      }
      t.comment(`${accepted.length} of ${PACKETS} were let in`);
      await provesSound(t, site, accepted);
      t.equal(knocks.filter((knock) => site.timesOpened(knock) > 1).length, 0);
    }
    t.equal(await site.daemon().stop(), 0);
  },
);

/** Of the daemon that runs, and of the programs that it starts from now on. What is left of it is not to fill the disk. */
async function limitMemory(site: FaultSite, bytes: string): Promise<void> {
  const { pid } = site.daemon().process;
  await site.lab.bastion.must(['prlimit', '--pid', `${pid}`, '--core=0', `--as=${bytes}:`]);
}

/** In bytes. */
function addressSpaceOf(site: FaultSite): number {
  const status = readFileSync(`/proc/${site.daemon().process.pid}/status`, 'utf8');
  return Number(/^VmSize:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

function isAlive(site: FaultSite): boolean {
  const { exitCode, signalCode } = site.daemon().process;
  return exitCode === null && signalCode === null;
}

/** Or until the daemon is dead. */
async function untilAllWasLookedAt(site: FaultSite): Promise<void> {
  let last = await site.make({ seconds: 1, address: '10.88.255.1' });
  await until('a later packet opens a door', async () => {
    if (!isAlive(site) || site.timesOpened(last) > 0) return true;
    last = await site.make({ seconds: 1, address: '10.88.255.1' });
    await site.send(last);
    return false;
  });
}

/** As long as an OpenPGP packet. */
/** It begins like a packet: what does not is dropped by the kernel. */
function junk(): Knock {
  const packet = `9${randomBytes(800).toString('base64').replaceAll('=', '')}`;
  return { packet, username: '', address: '' };
}
