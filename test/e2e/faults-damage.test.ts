import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { lacking, until } from 'spa-lab';
import t from 'tap';
import { createFaultSite, hears, OWN, provesSound } from './faults.ts';

t.setTimeout(180_000);

/** What happens to the folder of the store, and what the next daemon says of it. */
const HARMS: readonly {
  readonly title: string;
  readonly whileAlive: boolean;
  readonly harm: (folder: string) => void;
  readonly line: RegExp;
  /** How far the packets' time is ahead: nothing older than what the store may have taken is accepted for two minutes. */
  readonly offsetSeconds: number;
}[] = [
  {
    title: 'it is removed while the daemon runs',
    whileAlive: true,
    harm: (folder) => rmSync(folder, { recursive: true }),
    // The daemon waits until there is something newer, which is no longer than a second.
    line: /listening/,
    offsetSeconds: 0,
  },
  {
    title: 'a bit of a message is flipped while the daemon is dead',
    whileAlive: false,
    harm: (folder) => flipMessageBit(`${folder}/data.mdb`),
    line: /data\.mdb .*; it is now data\.mdb\.damaged, and a new one begins/,
    offsetSeconds: 120,
  },
  {
    title: 'it is cut off while the daemon runs',
    whileAlive: true,
    harm: (folder) => cutOff(`${folder}/data.mdb`),
    line: /data\.mdb was cut off; it is now data\.mdb\.damaged, and a new one begins/,
    offsetSeconds: 120,
  },
];

t.test('the replay store is damaged:', { skip: lacking('sshd', ...OWN.programs) }, async (t) => {
  const site = await createFaultSite(t, OWN);

  for (const { title, whileAlive, harm, line, offsetSeconds } of HARMS) {
    await t.test(title, async (t) => {
      const knock = await site.make({ seconds: 2, offsetSeconds });
      await site.send(knock);
      await hears(site, knock);
      t.equal(site.timesOpened(knock), 1);
      const { process } = site.daemon();
      if (whileAlive) harm(site.lab.scratch.path('replay'));
      const another = await site.make({ seconds: 2, offsetSeconds });
      await site.send(another);
      await until('it is looked at, or has killed the daemon', () => {
        return site.log().includes(`user ${another.username},`) || process.signalCode !== null;
      });
      t.comment(`signal: ${process.signalCode}`);
      if (process.signalCode === null) t.equal(await site.daemon().stop('SIGKILL'), null);
      if (!whileAlive) harm(site.lab.scratch.path('replay'));
      const harmedAt = Date.now();
      await site.start();
      t.match(site.daemon().log(), line, 'one line');
      await until('there is something newer', () => Date.now() > harmedAt + 2_500);
      await provesSound(t, site, [knock, another], { offsetSeconds });
    });
  }
  t.equal(await site.daemon().stop(), 0);
});

function cutOff(path: string): void {
  const file = openSync(path, 'r+');
  ftruncateSync(file, 8192 + 100);
  closeSync(file);
}

/** Where the last message lies: its page is the last one that has octets. */
function flipMessageBit(path: string): void {
  const octets = readFileSync(path);
  let last = octets.length - 1;
  while (octets[last] === 0) last -= 1;
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.of((octets[last] ?? 0) ^ 1), 0, 1, last);
  closeSync(file);
}
