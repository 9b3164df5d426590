import { addresses, lacking, loseArrivals, until } from 'spa-lab';
import t from 'tap';
import { DAILY_PROGRAMS, dailyLab } from './daily.ts';

t.setTimeout(60_000);

const { client4, other4 } = addresses;

t.test('another network between the packet and ssh:', { skip: lacking(...DAILY_PROGRAMS) }, async (t) => {
  const lab = await dailyLab(t, { region: ['SPA_SERVER four.test'] });
  const { operator, bastion } = lab;
  const address = (verb: 'add' | 'del', ip: string) =>
    operator.must(['ip', 'address', verb, `${ip}/24`, 'dev', operator.device]);

  await t.test('a new packet asks for the new address, and ssh comes from there', async (t) => {
    // The door opens for the old address, but nothing gets to it before that is gone.
    await loseArrivals(bastion, 100, `ip saddr ${client4} tcp dport 22`);
    const run = operator.run(['sshbh', 'us-east-1', '--', 'echo $SSH_CONNECTION']);
    await lab.daemon().logged(`opened tcp/22 for ${client4}`);
    await address('del', client4);
    await until(
      'the old addresses are gone',
      async () => !(await operator.must(['ip', 'address'])).includes(client4),
    );
    await address('add', other4).catch(() => {});
    const result = await run;
    t.match(result, { status: 0, stderr: /^$/, stdout: new RegExp(`^${other4} `) });
    t.match(lab.daemon().log(), `opened tcp/22 for ${other4}`);
  });
});
