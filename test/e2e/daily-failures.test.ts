import { randomBytes } from 'node:crypto';
import { addresses, lacking, loseArrivals } from 'spa-lab';
import t from 'tap';
import { DAILY_PROGRAMS, dailyLab } from './daily.ts';

t.setTimeout(120_000);

t.test('when the door does not open:', { skip: lacking(...DAILY_PROGRAMS) }, async (t) => {
  const stanza = (name: string, ...lines: readonly string[]) => [
    `[${name}]`,
    'SPA_SERVER four.test',
    ...lines,
  ];
  const lab = await dailyLab(t, {
    others: [
      ...stanza('late', 'TIME_OFFSET -600'),
      ...stanza('stranger', `HMAC_KEY_BASE64 ${randomBytes(64).toString('base64')}`),
      ...stanza('plain'),
      ...['[nowhere]', 'SPA_SERVER nowhere.test'],
    ],
  });
  const { operator } = lab;
  const tryTo = (...args: readonly string[]) =>
    lab.during(() => operator.run(['sshbh', '--wait', '1.2', ...args, '--', 'echo never']));

  for (const region of ['late', 'stranger']) {
    await t.test(`${region}: the exit status is 255, and a line says who did not answer`, async (t) => {
      const { result, packets, log } = await tryTo(region);
      t.match(result, {
        status: 255,
        stdout: /^$/,
        stderr: `sshbh: ${region}: ${addresses.server4} port 22 `,
      });
      t.ok(packets >= 2, 'a second packet was tried');
      t.notMatch(log, 'replay', 'no packet came twice');
      t.notMatch(log, 'opened');
    });
  }

  await t.test('UDP does not get through', async (t) => {
    await loseArrivals(lab.bastion, 100);
    const { result, log } = await tryTo('plain');
    await loseArrivals(lab.bastion, 0);
    t.match(result, { status: 255, stdout: /^$/, stderr: `sshbh: plain: ${addresses.server4} port 22 ` });
    t.equal(log, '', 'the daemon has heard nothing');
  });

  await t.test('the name is not known', async (t) => {
    const { result, packets } = await tryTo('nowhere');
    t.match(result, { status: 255, stdout: /^$/, stderr: /nowhere\.test: no address found/ });
    t.equal(packets, 0);
  });

  await t.test('there is no network', async (t) => {
    await operator.must(['ip', 'link', 'set', operator.device, 'down']);
    const { result } = await tryTo('plain');
    await operator.must(['ip', 'link', 'set', operator.device, 'up']);
    t.match(result, { status: 255, stdout: /^$/, stderr: /four\.test|10\.77\.0\.2/ });
  });

  await t.test('and plain ssh, after sshbh config, gives up with the same line', async (t) => {
    await operator.must(['sshbh', 'config']);
    const { result } = await lab.during(() => operator.run(['ssh', 'stranger', 'echo never']));
    t.match(result, { status: 255, stdout: /^$/, stderr: `sshbh: stranger: ${addresses.server4} port 22 ` });
    t.match(result.stderr, /^(sshbh: .*\n)+$/, 'ssh itself adds nothing');
  });
});
