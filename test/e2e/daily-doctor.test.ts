import { lacking } from 'spa-lab';
import t from 'tap';
import { DAILY_PROGRAMS, dailyLab, regionsText } from './daily.ts';
import { createSecrets } from './packets.ts';

t.setTimeout(120_000);

/** The checks of a run, with their states. */
function states(stdout: string): Readonly<Record<string, string>> {
  const { findings } = JSON.parse(stdout) as {
    readonly findings: readonly { readonly check: string; readonly state: string }[];
  };
  return Object.fromEntries(findings.map(({ check, state }) => [check, state]));
}

t.test('sshbh doctor', { skip: lacking(...DAILY_PROGRAMS) }, async (t) => {
  const lab = await dailyLab(t);
  const { operator } = lab;

  await t.test('sees the packet leave, the door open and sshd behind it', async (t) => {
    const { result, log } = await lab.during(() => operator.run(['sshbh', 'doctor', 'us-east-1']));
    t.equal(result.status, 0, result.stdout + result.stderr);
    t.match(result.stdout, /^ok {4}dns {12}bastion\.test is \S+, \S+ \(.*\)$/m);
    t.match(
      result.stdout,
      /^ok {4}port {11}port 22 is closed before the packet: \S+ is silent, \S+ is silent$/m,
    );
    t.match(result.stdout, /^ok {4}door .* opened \d+ ms after the packet and says SSH-2\.0-OpenSSH\S+/m);
    t.match(log, /opened tcp\/22/);
    await lab.closeDoors();
  });

  await t.test('sends nothing with --no-packet', async (t) => {
    const argv = ['sshbh', 'doctor', '--no-packet', '--json', 'us-east-1'];
    const { result, packets } = await lab.during(() => operator.run(argv));
    t.equal(result.status, 0);
    t.match(states(result.stdout), { port: 'ok', packet: 'skipped', door: 'skipped' });
    t.equal(packets, 0);
  });

  await t.test('with another key than the bastion, finds nothing wrong here but the door', async (t) => {
    const { hmac } = createSecrets().access;
    lab.writeRegions(regionsText(lab.secrets, [hmac]));
    const argv = ['sshbh', 'doctor', '--wait', '1.5', '--json', 'us-east-1'];
    const { result, log } = await lab.during(() => operator.run(argv));
    t.equal(result.status, 1);
    const found = Object.entries(states(result.stdout)).filter(([, state]) => state === 'bad');
    t.same(found, [['door', 'bad']]);
    t.match(log, /\(hmac\)/, "and the bastion's log says the rest");

    const short = await operator.run(['sshbh', '--wait', '0.5', 'us-east-1']);
    t.equal(short.status, 255);
    t.match(short.stderr, /sshbh doctor us-east-1 says more\n$/);
  });
});
