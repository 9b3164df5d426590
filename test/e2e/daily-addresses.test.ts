import { addresses, arrivals, lacking, reach, regionAddresses } from 'spa-lab';
import t from 'tap';
import { DAILY_PROGRAMS, dailyLab, isOnePacket } from './daily.ts';

t.setTimeout(120_000);

const { client4, client6, server4, server6 } = addresses;

t.test('a host with several addresses:', { skip: lacking(...DAILY_PROGRAMS) }, async (t) => {
  const lab = await dailyLab(t, {
    others: ['v6dead', 'v4dead', 'two'].flatMap((name) => [`[${name}]`, `SPA_SERVER ${name}.test`]),
  });
  const { operator } = lab;
  const goTo = (region: string, ...options: readonly string[]) =>
    lab.during(() => operator.run(['sshbh', ...options, region, '--', 'echo $SSH_CONNECTION']));
  const cases = [
    { region: 'v6dead', says: 'IPv6 is dead: ssh goes over IPv4', way: `${client4} \\d+ ${server4} 22` },
    { region: 'v4dead', says: 'IPv4 is dead: ssh goes over IPv6', way: `${client6} \\d+ ${server6} 22` },
    { region: 'two', says: 'one of two IPv4 addresses is dead', way: `${client4} \\d+ ${server4} 22` },
  ];
  for (const { region, says, way } of cases) {
    await t.test(says, async (t) => {
      const { result, packets } = await goTo(region);
      t.match(result, { status: 0, stdout: new RegExp(`^${way}\\n$`), stderr: /^$/ });
      t.ok(isOnePacket(packets), 'one packet arrives, at the address that ssh uses');
      await lab.closeDoors();
    });
  }

  await t.test('-4 and -6 keep to one family, in packet and connection', async (t) => {
    const before = await arrivals(lab.bastion);
    t.match((await goTo('us-east-1', '-4')).result, { status: 0, stdout: new RegExp(`^${client4} `) });
    const after4 = await arrivals(lab.bastion);
    t.ok(isOnePacket(after4.packets4 - before.packets4));
    t.equal(after4.packets6, before.packets6);
    t.equal(await reach(operator, server6), 'silent');
    t.match((await goTo('us-east-1', '-6')).result, { status: 0, stdout: new RegExp(`^${client6} `) });
    const after6 = await arrivals(lab.bastion);
    t.ok(isOnePacket(after6.packets6 - after4.packets6));
    t.equal(after6.packets4, after4.packets4);
    await lab.closeDoors();
  });

  await t.test(
    'an IPv6 host with several addresses connects from the one that it knocked from',
    async (t) => {
      // From now on the system would take the other one by itself.
      const lifetime = (address: string, seconds: string) =>
        operator.must([
          'ip',
          'address',
          'change',
          `${address}/64`,
          'dev',
          operator.device,
          'preferred_lft',
          seconds,
        ]);
      await lifetime(addresses.other6, 'forever');
      await lifetime(client6, '0');
      t.teardown(() => Promise.all([lifetime(client6, 'forever'), lifetime(addresses.other6, '0')]));
      const { result } = await goTo('us-east-1', '-6');
      t.match(result, { status: 0, stdout: new RegExp(`^${addresses.other6} `) });
    },
  );
});

t.test('a region with two bastions:', { skip: lacking(...DAILY_PROGRAMS) }, async (t) => {
  const { operatorToSecond4, second4 } = regionAddresses;
  const lab = await dailyLab(t, {
    region: ['FALLBACK us-east-1b'],
    others: [
      ...['[us-east-1b]', 'SPA_SERVER second.test'],
      ...['[dark]', 'SPA_SERVER dead.test', 'FALLBACK us-east-1b'],
    ],
  });
  const { operator } = lab;
  const where = (region: string) => operator.run(['sshbh', region, '--', 'echo $SSH_CONNECTION']);
  const second = await lab.startDaemon(lab.second, 'second');

  await t.test('the first is taken while it works, and the second hears nothing', async (t) => {
    t.match(await where('us-east-1'), { status: 0, stdout: / (10\.77\.0\.|fd77::)2 22\n$/ });
    t.same(await arrivals(lab.second), { packets4: 0, packets6: 0, lost: 0, packetsToNobody: 0, syns: 0 });
  });

  await t.test('the second is taken when the first is down', async (t) => {
    const way = new RegExp(`^${operatorToSecond4} \\d+ ${second4} 22\\n$`);
    t.match(await where('dark'), { status: 0, stdout: way });
    await second.logged('opened tcp/22 for 10.79.0.1');
    await lab.daemon().stop();
    t.equal(await reach(operator, server6), 'silent');
    t.match(await where('us-east-1'), { status: 0, stdout: way });
  });
});
