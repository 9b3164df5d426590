import { readFileSync } from 'node:fs';
import {
  createHosts,
  createScratch,
  dropEverything,
  type Hosts,
  joinByCable,
  lacking,
  type Namespace,
  PROGRAMS,
  reach,
  type Scratch,
  startSpaServer,
  startSshd,
  until,
} from 'spa-lab';
import t from 'tap';
import { FIREWALLS } from './firewalls.ts';
import { createSecrets } from './packets.ts';

t.setTimeout(120_000);

/**
 * Towards the bastion the operator's packets leave from other addresses than towards the rest of the world, and IPv4 is
 * translated: only what the bastion sees opens its door.
 *
 *     operator ────────────────── router ──┬── 198.51.100.22, 2001:db8:1::22  bastion
 *       10.90.0.2  → 198.51.100.1          └── 203.0.113.80, 2001:db8:2::80   web: resolvers
 *       10.90.0.3  → 198.51.100.3 (towards the bastion)
 *       fd90::2, and towards the bastion fd90::3
 */
const BASTION = { 4: '198.51.100.22', 6: '2001:db8:1::22' } as const;
const WEB = { 4: '203.0.113.80', 6: '2001:db8:2::80' } as const;
const SEEN = { 4: '198.51.100.3', 6: 'fd90::3' } as const;

const TRANSLATION = `
table ip nat {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr 10.90.0.2 snat to 198.51.100.1
    ip saddr 10.90.0.3 snat to 198.51.100.3
  }
}
`;

const NFTABLES = FIREWALLS.find(({ rules }) => rules === 'nftables');

interface Network {
  readonly operator: Namespace;
  readonly bastion: Namespace;
  readonly web: Namespace;
}

async function createNetwork(hosts: Hosts): Promise<Network> {
  const operator = await hosts.add({ device: 'veth0' });
  const router = await hosts.add({ device: 'veth1' });
  const bastion = await hosts.add({ device: 'veth2' });
  const web = await hosts.add({ device: 'veth3' });
  await joinByCable(
    { host: router, device: 'veth1', addresses: ['10.90.0.1', 'fd90::1'] },
    { host: operator, device: 'veth0', addresses: ['10.90.0.2', '10.90.0.3', 'fd90::2', 'fd90::3'] },
  );
  await joinByCable(
    { host: router, device: 'outer', addresses: [SEEN[4].replace(/3$/, '1'), SEEN[4], '2001:db8:1::1'] },
    { host: bastion, device: 'veth2', addresses: [BASTION[4], BASTION[6]] },
  );
  await joinByCable(
    { host: router, device: 'world', addresses: ['203.0.113.1', '2001:db8:2::1'] },
    { host: web, device: 'veth3', addresses: [WEB[4], WEB[6]] },
  );
  const routes = (host: Namespace, ...lines: readonly string[]): Promise<string> =>
    host.must(['ip', '-batch', '-'], lines.map((line) => `route add ${line}\n`).join(''));
  await routes(
    operator,
    ...['default via 10.90.0.1', 'default via fd90::1'],
    `${BASTION[4]} via 10.90.0.1 src 10.90.0.3`,
    `${BASTION[6]} via fd90::1 src ${SEEN[6]}`,
  );
  await routes(bastion, 'default via 198.51.100.1', 'default via 2001:db8:1::1');
  await routes(web, 'default via 203.0.113.1', 'default via 2001:db8:2::1');
  await router.must(['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
  await router.must(['nft', '-f', '-'], TRANSLATION);
  await dropEverything(bastion, 'nftables');
  return { operator, bastion, web };
}

/** Two resolvers that say what they see, and one that lies; both families each. */
async function startResolvers(web: Namespace, scratch: Scratch): Promise<{ readonly certificate: string }> {
  const [key, certificate] = [scratch.path('web.key'), scratch.path('web.pem')];
  const names = `subjectAltName=IP:${WEB[4]},IP:${WEB[6]}`;
  const make = ['openssl', 'req', '-x509', '-nodes', '-days', '2', '-subj', '/CN=web', '-addext', names];
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-keyout', key, '-out', certificate];
  await web.must([...make, ...ec]);
  const script = `
    const [key, cert] = JSON.parse(process.argv[1]);
    const answer = (body) => require('node:https').createServer({ key, cert }, (request, response) =>
      response.end(body ?? request.socket.remoteAddress)).on('tlsClientError', () => {});
    let open = 3;
    const ready = () => { if (--open === 0) process.stdout.write('ready'); };
    answer().listen(443, '::', ready);
    answer().listen(444, '::', ready);
    answer('192.0.2.66').listen(445, '::', ready);`;
  const pair = JSON.stringify([readFileSync(key, 'utf8'), readFileSync(certificate, 'utf8')]);
  const server = web.spawn([process.execPath, '-e', script, pair], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => server.stdout?.once('data', resolve));
  return { certificate };
}

t.test('behind NAT', { skip: lacking('sshd', 'ssh', 'nft', 'openssl', 'sysctl') }, async (t) => {
  const scratch = createScratch();
  const hosts = createHosts();
  t.teardown(async () => {
    await hosts.dispose();
    scratch.remove();
  });
  const { operator, bastion, web } = await createNetwork(hosts);
  const sshd = await startSshd(bastion, scratch);
  const { certificate } = await startResolvers(web, scratch);
  const secrets = createSecrets();
  const daemon = await startSpaServer(bastion, scratch, {
    server: NFTABLES?.server ?? [],
    access: [
      'SOURCE ANY',
      secrets.access.key,
      secrets.access.hmac,
      'OPEN_PORTS tcp/22',
      'REQUIRE_SOURCE_ADDRESS Y',
      'FW_ACCESS_TIMEOUT 2',
    ],
  });
  const client = (
    program: string,
    family: 4 | 6,
    ...args: readonly string[]
  ): ReturnType<Namespace['run']> => {
    const host = family === 4 ? WEB[4] : `[${WEB[6]}]`;
    const urls = ['445', '443', '444'].map((port) => `https://${host}:${port}/`).join(',');
    const rc = [
      '[b]',
      'ACCESS tcp/22',
      'ALLOW_IP resolve',
      `SPA_SERVER ${BASTION[family]}`,
      `RESOLVE_URL ${urls}`,
    ];
    const keys = [secrets.access.key, secrets.access.hmac];
    return operator
      .must(['tee', scratch.path('rc')], `${[...rc, ...keys].join('\n')}\n`)
      .then(() => operator.must(['chmod', '600', scratch.path('rc')]))
      .then(() =>
        operator.run([
          ...['env', `NODE_EXTRA_CA_CERTS=${certificate}`, `HOME=${scratch.path()}`, process.execPath],
          ...[program, '--rc-file', scratch.path('rc'), ...args],
        ]),
      );
  };

  await t.test('a packet that names no address opens nothing where the bastion wants one', async (t) => {
    t.match(await client(PROGRAMS.spaClient, 4, '-n', 'b', '-s'), { status: 0 });
    await daemon.logged(/denied .* from 198\.51\.100\.3/);
    t.equal(await reach(operator, BASTION[4]), 'silent');
  });

  for (const family of [4, 6] as const) {
    await t.test(`over IPv${family} the bastion opens for the address that it sees`, async (t) => {
      const sent = await client(PROGRAMS.spaClient, family, '-n', 'b', '-R', '-v');
      t.match(sent, { status: 0, stderr: `${SEEN[family]} is your address: 2 of 3 asked say so` });
      await until('the door opens', async () => (await reach(operator, BASTION[family])) === 'open');
      const address = `${sshd.user}@${BASTION[family]}`;
      const seen = await operator.must(['ssh', ...sshd.clientOptions, address, 'echo $SSH_CONNECTION']);
      t.equal(seen.split(' ')[0], SEEN[family]);
      await until('the door closes', async () => (await reach(operator, BASTION[family])) === 'silent');
    });
  }

  await t.test('sshbh resolves as its region says, and is in', async (t) => {
    const command = ['-v', ...sshd.clientOptions, `${sshd.user}@b`, '--', 'echo $SSH_CONNECTION'];
    const login = await client(PROGRAMS.sshbh, 4, ...command);
    t.match(login, { status: 0, stderr: `${SEEN[4]} is your address` });
    t.equal(login.stdout.split(' ')[0], SEEN[4]);
  });

  await t.test('without a majority nothing is sent', async (t) => {
    const since = daemon.log().length;
    const sent = await client(
      PROGRAMS.spaClient,
      4,
      ...['-n', 'b', '-R', '--resolve-url', `https://${WEB[4]}:443/,https://${WEB[4]}:445/`],
    );
    t.match(sent, {
      status: 1,
      stderr: /:445\/ says 192\.0\.2\.66.*2 must agree \(asked from 10\.90\.0\.3\)/,
    });
    t.match(sent.stderr, `//${WEB[4]}/ says ${SEEN[4]}`);
    // Doors of before may end meanwhile, nothing else happens.
    const lines = daemon.log().slice(since).split('\n').slice(0, -1);
    t.same(
      lines.filter((line) => !/^(Removed rule \d+ from |ended tcp\/22 for )/.test(line)),
      [],
    );
  });
});
