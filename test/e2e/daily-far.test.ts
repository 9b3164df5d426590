import { lacking } from 'spa-lab';
import t from 'tap';
import { DAILY_PROGRAMS, type Daily, dailyLab, isOnePacket } from './daily.ts';

t.setTimeout(120_000);

t.test(
  'a bastion that is 80 ms away:',
  { skip: lacking(...DAILY_PROGRAMS, 'perl', 'chrt', 'nstat') },
  async (t) => {
    const lab = await dailyLab(t, { delayMs: 40, region: ['SPA_SERVER four.test'] });
    const { operator } = lab;

    await t.test('one packet opens the door, and few attempts to connect get to sshd', async (t) => {
      const { result, packets, connections } = await seen(lab, ['sshbh', 'us-east-1', '--', 'echo hello']);
      t.match(result, { status: 0, stdout: 'hello\n', stderr: /^$/ });
      t.ok(isOnePacket(packets), 'no second one while the answer is under way');
      // The one that found the door open, and the login. On a busy machine more answers may come before the first is read.
      t.ok(connections >= 2 && connections <= 5, `${connections} connections`);
    });

    await t.test('a door that was opened from here a moment ago is found open', async (t) => {
      for (const command of [
        ['sshbh', 'us-east-1', '--', 'echo hello'],
        ['sshbh', 'open', '--if-needed', 'us-east-1'],
      ]) {
        const { result, packets } = await seen(lab, command);
        t.equal(result.status, 0);
        t.equal(packets, 0, command.slice(0, 2).join(' '));
      }
      await lab.closeDoors();
    });

    await t.test('as a proxy of ssh it passes on the connection that found the door open', async (t) => {
      await operator.must(['sshbh', 'config', '--style', 'proxy']);
      const { result, packets, connections } = await seen(lab, ['ssh', 'us-east-1', 'echo hello']);
      t.match(result, { status: 0, stdout: 'hello\n', stderr: /^$/ });
      t.ok(isOnePacket(packets), 'one packet');
      t.ok(connections >= 1 && connections <= 4, `${connections} connections`);
    });
  },
);

/** Runs a command of the operator's, and counts the connections that the bastion's sshd was handed meanwhile. */
async function seen(lab: Daily, command: readonly string[]) {
  const accepted = async (): Promise<number> => {
    const said = await lab.bastion.must(['nstat', '-asz', 'TcpPassiveOpens']);
    return Number(/TcpPassiveOpens\s+(\d+)/.exec(said)?.[1]);
  };
  const before = await accepted();
  const { result, packets } = await lab.during(() => lab.operator.run(command));
  return { result, packets, connections: (await accepted()) - before };
}
