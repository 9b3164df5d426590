import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import {
  addresses,
  createRegionLab,
  folderIn,
  lacking,
  reach,
  regionAddresses,
  startFwknopd,
  until,
} from 'spa-lab';
import t from 'tap';
import { DAILY_PROGRAMS, dailyLab, isOnePacket, regionsText } from './daily.ts';
import { createSecrets } from './packets.ts';

t.setTimeout(120_000);

const WHO_IS_THERE = 'echo $SSH_CONNECTION';

t.test('sshbh REGION', { skip: lacking(...DAILY_PROGRAMS) }, async (t) => {
  const lab = await dailyLab(t);
  const { operator } = lab;

  await t.test('is a shell on the bastion, which answered nobody before', async (t) => {
    t.equal(await reach(operator, addresses.server6), 'silent');
    const { result, packets } = await lab.during(() =>
      operator.run(['sshbh', 'us-east-1', '-T'], `${WHO_IS_THERE}; exit 7\n`),
    );
    t.match(result, { status: 7, stderr: /^$/ });
    const way = (from: string, to: string) => new RegExp(`^${from} \\d+ ${to} 22\\n$`);
    t.ok(isOnePacket(packets), 'one packet');
    // The other family has its turn a quarter of a second later, which is soon on a busy machine.
    if (packets === 1) {
      t.match(
        result.stdout,
        way(addresses.client6, addresses.server6),
        'over IPv6, which the system prefers',
      );
      t.equal(await reach(operator, addresses.server4), 'silent', 'the other family stays closed');
    }
    await lab.closeDoors();
  });

  await t.test('runs a command with the standard input, output and exit status of ssh', async (t) => {
    const command = ['sshbh', 'us-east-1', '--', 'cat; echo err >&2; exit 41'];
    t.same(await operator.run(command, 'through\n'), { status: 41, stdout: 'through\n', stderr: 'err\n' });
    await lab.closeDoors();
  });

  for (const host of ['db-3', regionAddresses.private4]) {
    await t.test(`reaches ${host}, which only the bastion can, with the operator's own key`, async (t) => {
      const { result, packets } = await lab.during(() =>
        operator.run(['sshbh', 'us-east-1', host, '--', `${WHO_IS_THERE} agent=$SSH_AUTH_SOCK; exit 3`]),
      );
      t.match(result, { status: 3, stderr: '' });
      t.match(result.stdout, /^10\.78\.0\.1 \d+ 10\.78\.0\.5 22 agent=\n$/);
      t.ok(isOnePacket(packets), 'one packet');
      await lab.closeDoors();
    });
  }

  await t.test(
    "passes ssh's options on, before and after the region, with users for both hosts",
    async (t) => {
      const { user } = lab;
      const child = operator.spawn(
        [
          ...['sshbh', '-o', 'ExitOnForwardFailure=yes', `${user}@us-east-1`, `${user}@db-3`],
          ...['-L', '5022:127.0.0.1:22', '-T', '--', 'echo', 'there;', 'sleep', '60'],
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      await new Promise((resolve) => child.stdout?.once('data', resolve));
      const banner = await operator.must([
        'bash',
        '-c',
        'read -r line < /dev/tcp/127.0.0.1/5022; echo "$line"',
      ]);
      t.match(banner, /^SSH-2\.0-/, 'the private host answers at the forwarded port');
      child.kill();
      await lab.closeDoors();
    },
  );

  await t.test('forwards no agent unless it is asked to', async (t) => {
    const agent = lab.scratch.path('agent');
    operator.spawn(['ssh-agent', '-D', '-a', agent], { stdio: 'ignore' });
    await until('the agent listens', () => existsSync(agent));
    const ask = (...options: readonly string[]) =>
      operator.must([
        ...['env', `SSH_AUTH_SOCK=${agent}`, 'sshbh', 'us-east-1', 'db-3', ...options],
        ...['--', 'test -n "$SSH_AUTH_SOCK" && echo there || echo none'],
      ]);
    t.equal(await ask(), 'none\n');
    t.equal(await ask('-A'), 'there\n');
  });
});

t.test('what ssh_config says of the bastion holds', { skip: lacking(...DAILY_PROGRAMS) }, async (t) => {
  const lab = await dailyLab(t, {
    others: [
      ...['[alias]', 'SPA_SERVER my-bastion'],
      ...['[proxied]', 'SPA_SERVER behind-a-proxy'],
      ...['[v4]', 'SPA_SERVER four.test'],
    ],
  });
  const { operator, home } = lab;
  writeFileSync(home.path('proxy.cjs'), PROXY);
  const hosts = [
    ...['Host my-bastion', 'HostName bastion.test', 'AddressFamily inet'],
    ...['Host behind-a-proxy', 'HostName four.test'],
    `ProxyCommand ${process.execPath} ${home.path('proxy.cjs')} %h %p`,
  ];
  writeFileSync(home.path('.ssh', 'config'), `${hosts.join('\n')}\n`, { mode: 0o600 });
  const config = home.path('.ssh', 'config');

  for (const { region, says } of [
    { region: 'alias', says: 'an alias with one family' },
    { region: 'proxied', says: 'a proxy: the packet goes all the same' },
  ]) {
    await t.test(says, async (t) => {
      for (const command of [
        ['sshbh', region, '--', WHO_IS_THERE],
        ['ssh', region, WHO_IS_THERE],
      ]) {
        const { result, packets } = await lab.during(() => operator.run(command));
        t.match(
          result,
          { status: 0, stderr: /^$/, stdout: /^10\.77\.0\.1 \d+ 10\.77\.0\.2 22\n$/ },
          command.join(' '),
        );
        t.ok(isOnePacket(packets), 'one packet');
        await lab.closeDoors();
        await operator.must(['sshbh', 'config']);
      }
    });
  }
  t.match(readFileSync(config, 'utf8'), hosts.join('\n'));

  await t.test('a firewall that refuses, and does not drop, is no obstacle', async (t) => {
    await lab.bastion.must(['nft', 'add rule inet filter input meta l4proto tcp reject with tcp reset']);
    t.equal(await reach(operator, addresses.server4), 'refused');
    const { result, packets } = await lab.during(() => operator.run(['sshbh', 'v4', '--', 'echo hello']));
    t.match(result, { status: 0, stdout: 'hello\n', stderr: /^$/ });
    t.ok(isOnePacket(packets), 'one packet');
  });
});

/** What a company's proxy might be. */
const PROXY = `const [host, port] = process.argv.slice(2);
const socket = require('node:net').connect(Number(port), host);
process.stdin.pipe(socket).pipe(process.stdout);
`;

t.test(
  'sshbh opens the door of stock fwknopd',
  { skip: lacking(...DAILY_PROGRAMS, 'fwknopd', 'iptables') },
  async (t) => {
    const lab = await createRegionLab('iptables');
    t.teardown(lab.dispose);
    const secrets = createSecrets();
    lab.writeRegions(regionsText(secrets, ['SPA_SERVER four.test']));
    const access = [
      'SOURCE ANY',
      secrets.access.key,
      secrets.access.hmac,
      'OPEN_PORTS tcp/22',
      'FW_ACCESS_TIMEOUT 60',
    ];
    await startFwknopd(lab.bastion, folderIn(lab.scratch, 'daemon'), { access });
    const result = await lab.operator.run(['sshbh', 'us-east-1', 'db-3', '--', WHO_IS_THERE]);
    t.match(result, { status: 0, stdout: /^10\.78\.0\.1 / });
  },
);
