import { addresses, lacking, reach } from 'spa-lab';
import t from 'tap';
import { DAILY_PROGRAMS, dailyLab, isOnePacket } from './daily.ts';

t.setTimeout(120_000);

for (const style of ['match', 'proxy'] as const) {
  t.test(
    `plain ssh in the ${style} style sends no packet`,
    { skip: lacking(...DAILY_PROGRAMS) },
    async (t) => {
      const lab = await dailyLab(t, { region: ['SPA_SERVER four.test'] });
      const { operator } = lab;
      const hello = (host: string) => lab.during(() => operator.run(['ssh', host, 'echo hello']));

      await t.test('to a door that is open', async (t) => {
        await operator.must(['sshbh', 'config', '--style', style]);
        t.ok(isOnePacket((await hello('us-east-1')).packets), 'the first opens it');
        for (const host of ['us-east-1', 'db-3', 'four.test']) {
          const { result, packets } = await hello(host);
          t.match(result, { status: 0, stdout: 'hello\n', stderr: /^$/ }, host);
          t.equal(packets, 0);
        }
        await lab.closeDoors();
      });

      await t.test('while a connection can be shared, though the door is closed', async (t) => {
        await operator.must(['sshbh', 'config', '--style', style, '--control-persist', '60']);
        const first = await hello('us-east-1');
        t.match(first.result, { status: 0, stdout: 'hello\n' });
        t.ok(isOnePacket(first.packets), 'one packet');
        await lab.closeDoors();
        t.equal(await reach(operator, addresses.server4), 'silent');
        for (const host of ['us-east-1', 'db-3']) {
          const { result, packets } = await hello(host);
          t.match(result, { status: 0, stdout: 'hello\n', stderr: /^$/ }, host);
          t.equal(packets, 0);
        }
        const { result, packets } = await lab.during(() =>
          operator.run(['sshbh', 'us-east-1', '--', 'echo hello']),
        );
        t.match(result, { status: 0, stdout: 'hello\n', stderr: /^$/ }, 'sshbh itself shares it too');
        t.equal(packets, 0);
      });
    },
  );
}
