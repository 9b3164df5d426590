import { addresses, doorOpens, lacking, reach, sendDatagram } from 'spa-lab';
import t from 'tap';
import { DAILY_PROGRAMS, dailyLab, isOnePacket } from './daily.ts';
import { seal } from './packets.ts';

t.setTimeout(120_000);

t.test('no packet is sent', { skip: lacking(...DAILY_PROGRAMS) }, async (t) => {
  const lab = await dailyLab(t, { region: ['SPA_SERVER four.test'] });
  const { operator, home } = lab;
  const hello = (...args: readonly string[]) =>
    lab.during(() => operator.run(['sshbh', ...args, '--', 'echo hello']));

  await t.test('to a door that is open', async (t) => {
    t.ok(isOnePacket((await hello('us-east-1')).packets), 'the first opens it');
    for (const args of [['us-east-1'], ['us-east-1', 'db-3']]) {
      const { result, packets } = await hello(...args);
      t.match(result, { status: 0, stdout: 'hello\n' });
      t.equal(packets, 0, `sshbh ${args.join(' ')}`);
    }
    const { result, packets } = await lab.during(() =>
      operator.run(['sshbh', 'open', '--if-needed', 'us-east-1']),
    );
    t.match(result, { status: 0, stdout: /^$/ });
    t.equal(packets, 0, 'sshbh open --if-needed');
    await lab.closeDoors();
  });

  await t.test('to a door that somebody else has opened', async (t) => {
    for (let tries = 1; ; tries++) {
      await sendDatagram(operator, addresses.server4, await seal(lab.secrets));
      await doorOpens(lab, addresses.server4);
      await operator.must(['rm', '-rf', home.path('.local')]);
      const { result, packets } = await hello('us-east-1');
      t.match(result, { status: 0, stdout: 'hello\n' });
      await lab.closeDoors();
      // The door has a few milliseconds to answer; a busy machine may need more now and then.
      if (packets > 0 && tries < 5) continue;
      t.equal(packets, 0);
      break;
    }
  });

  await t.test('while a connection of ssh can be shared, though the door is closed', async (t) => {
    for (const host of ['us-east-1', 'db-3']) {
      const target = host === 'us-east-1' ? ['us-east-1'] : ['us-east-1', host];
      const share = ['-o', 'ControlMaster=auto', '-o', `ControlPath=${home.path(`${host}-%r`)}`];
      const first = await hello(...target, ...share, '-o', 'ControlPersist=60');
      t.match(first.result, { status: 0, stdout: 'hello\n' });
      t.ok(isOnePacket(first.packets), 'one packet');
      await lab.closeDoors();
      t.equal(await reach(operator, addresses.server4), 'silent');
      const { result, packets } = await hello(...target, ...share);
      t.match(result, { status: 0, stdout: 'hello\n' }, host);
      t.equal(packets, 0, `${host}: no packet`);
    }
  });

  await t.test('when the command line is wrong, or ssh refuses its options', async (t) => {
    for (const { args, status } of [
      { args: ['us-wset-1'], status: 78 },
      { args: ['us-east-1', 'two', 'hosts'], status: 64 },
      { args: ['us-east-1', '-o', 'NoSuchOption=1'], status: 255 },
    ]) {
      const { result, packets } = await lab.during(() => operator.run(['sshbh', ...args]));
      t.equal(result.status, status, args.join(' '));
      t.equal(packets, 0);
    }
  });
});
