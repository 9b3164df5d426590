import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import {
  innerAddresses as at,
  createHosts,
  createInnerNetwork,
  createScratch,
  type Daemon,
  type InnerNetwork,
  lacking,
  type Namespace,
  PROGRAMS,
  type Scratch,
  startSpaServer,
  until,
} from 'spa-lab';
import t, { type Test } from 'tap';

t.setTimeout(180_000);

/** Hosts whose operators let nothing in or through but answers, one nothing out either, and what their daemons are told. */
const FIREWALLS = [
  {
    name: 'nftables',
    programs: ['nft'],
    rules: [
      'nft -f - <<END',
      'table inet filter {',
      '  chain input { type filter hook input priority 0; policy drop;',
      '    ct state established,related accept',
      '    iif lo accept; }',
      '  chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; }',
      '}',
      'END',
    ],
    server: [
      'FIREWALL nftables',
      'NFT_MODE attach',
      'NFT_ATTACH_CHAIN inet filter input',
      'NFT_ATTACH_FORWARD_CHAIN inet filter forward',
    ],
  },
  {
    name: 'iptables',
    programs: ['iptables', 'ip6tables'],
    rules: [
      ...['INPUT', 'FORWARD'].flatMap((chain) => [
        `iptables -P ${chain} DROP`,
        `iptables -A ${chain} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT`,
      ]),
      'iptables -P OUTPUT DROP',
    ],
    server: ['FIREWALL iptables', 'ENABLE_IPT_OUTPUT Y'],
  },
] as const;

for (const { name, programs, rules, server } of FIREWALLS) {
  const needed = ['fwknop', 'sysctl', 'conntrack', 'ssh', ...programs];
  t.test(`NAT with ${name}`, { skip: lacking(...needed) }, async (t) => {
    const scratch = createScratch();
    const hosts = createHosts();
    t.teardown(async () => {
      await hosts.dispose();
      scratch.remove();
    });
    const network = await createInnerNetwork(hosts);
    await network.bastion.must(['sh', '-e'], rules.join('\n'));
    await serve(network.inside, 22);
    await serve(network.bastion, 22);
    await testNat(t, network, scratch, server);
  });
}

async function testNat(
  t: Test,
  network: InnerNetwork,
  scratch: Scratch,
  firewall: readonly string[],
): Promise<void> {
  const { client, bastion } = network;
  const [asked, forced, gateway, routed] = [newKeys(), newKeys(), newKeys(), newKeys()];
  const server = [
    ...firewall,
    'ENABLE_IPT_FORWARDING Y',
    'ENABLE_IPT_LOCAL_NAT Y',
    `NAT_TARGETS ${at.inside4}:22`,
  ];
  const stanza = (keys: Keys, ...more: readonly string[]): readonly string[] => [
    ...['SOURCE ANY', ...keys.access, 'OPEN_PORTS tcp/22, tcp/2222', 'FW_ACCESS_TIMEOUT 60'],
    ...['REQUIRE_SOURCE_ADDRESS Y', ...more],
  ];
  const access = [
    ...stanza(asked),
    ...stanza(forced, `FORCE_NAT ${at.inside4} 22`, 'FORCE_MASQUERADE Y'),
    ...stanza(gateway, 'FORWARD_ALL Y', 'DISABLE_DNAT Y'),
    ...stanza(routed, 'DISABLE_DNAT Y'),
  ];
  let daemon = await startSpaServer(bastion, scratch, { server, access });
  t.notMatch(daemon.log(), /warn/i);
  const knock = async (program: readonly string[], keys: Keys, ...args: readonly string[]): Promise<void> => {
    const options = ['-a', at.client4, '-D', at.bastion4, '--no-rc-file', '--no-save-args', ...keys.options];
    await client.must([...program, ...options, ...args]);
  };
  await t.test('stock fwknop -N: the inner host sees the client, and nobody else gets there', async (t) => {
    await knock(STOCK, asked, '-A', 'tcp/22', '-N', `${at.inside4}:22`, '--nat-port', '2222');
    await daemon.logged(/tcp\/2222/);
    t.equal(await visit(client, 2222), `${at.inside4} saw ${at.client4}`);
    t.equal(await visit(client, 2222, { from: at.other4 }), 'silent');
    t.equal(await visit(client, 22), 'silent', "the bastion's own port");
    const session = await stay(client, 2222);
    t.match(await control(bastion, daemon, '--fw-list'), `tcp/2222 to ${at.inside4}:22 from ${at.client4}`);
    await control(bastion, daemon, '--fw-flush');
    t.equal(await visit(client, 2222), 'silent');
    t.equal(await session(), true, 'data still passes');
  });

  await t.test('spa-client -N does the same, and --revoke --cut ends it', async (t) => {
    await knock(OURS, asked, '-A', 'tcp/22', '-N', at.inside4, '--nat-port', '2222');
    await until('the door opens', async () => (await visit(client, 2222)).includes('saw'));
    const session = await stay(client, 2222);
    t.match(
      await control(bastion, daemon, '--revoke', `address=${at.client4}`, '--cut'),
      'Closed tcp/2222 to',
    );
    t.equal(await visit(client, 2222), 'silent');
    t.equal(await session(), false, 'the session is dead');
  });

  await t.test('sshbh goes to the NAT_PORT of its region', async (t) => {
    const rc = scratch.path('fwknoprc');
    const lines = [
      ...['[inside]', `SPA_SERVER ${at.bastion4}`, `ALLOW_IP ${at.client4}`, 'ACCESS tcp/22'],
      ...[`NAT_ACCESS ${at.inside4}`, 'NAT_PORT 2222', ...asked.access],
    ];
    writeFileSync(rc, `${lines.join('\n')}\n`, { mode: 0o600 });
    const opened = await client.must([...SSHBH, 'open', '--json', '--rc-file', rc, 'inside']);
    t.match(JSON.parse(opened), { state: 'open', address: at.bastion4, port: 2222 });
    t.equal(await visit(client, 2222), `${at.inside4} saw ${at.client4}`);
    await control(bastion, daemon, '--fw-flush');
  });

  await t.test('NAT_TARGETS: other ports and hosts are not reached', async (t) => {
    for (const target of [`${at.inside4}:23`, `${at.elsewhere4}:22`]) {
      const since = daemon.log().length;
      await knock(STOCK, asked, '-A', 'tcp/22', '-N', target, '--nat-port', '2222');
      await daemon.logged(/NAT_TARGETS/, since);
    }
    t.equal(await visit(client, 2222), 'silent');
  });

  await t.test('stock fwknop --nat-local: another port of the bastion itself', async (t) => {
    await knock(STOCK, asked, '-A', 'tcp/22', '--nat-local', '--nat-port', '2222');
    await until('the door opens', async () => (await visit(client, 2222)) !== 'silent');
    t.equal(await visit(client, 2222), `${at.bastion4} saw ${at.client4}`);
    await control(bastion, daemon, '--fw-flush');
    t.equal(await visit(client, 2222), 'silent');
  });

  await t.test('FORCE_NAT and FORCE_MASQUERADE: a plain request leads inside, as the bastion', async (t) => {
    await knock(STOCK, forced, '-A', 'tcp/22');
    await until('the door opens', async () => (await visit(client, 22)) !== 'silent');
    t.equal(await visit(client, 22), `${at.inside4} saw ${at.inner4}`);
    t.equal(await visit(client, 22, { from: at.other4 }), 'silent');
    await control(bastion, daemon, '--fw-flush');
    t.equal(await visit(client, 22), 'silent');
  });

  await t.test(
    'FORWARD_ALL and DISABLE_DNAT: who knocks may pass, by the addresses that there are',
    async (t) => {
      t.equal(await visit(client, 22, { to: at.elsewhere4 }), 'silent');
      await knock(STOCK, gateway, '-A', 'tcp/22');
      await until('the way opens', async () => (await visit(client, 22, { to: at.elsewhere4 })) !== 'silent');
      t.equal(await visit(client, 22, { to: at.elsewhere4, from: at.other4 }), 'silent');
      t.equal(await visit(client, 22), 'silent', 'the bastion itself');
      await control(bastion, daemon, '--fw-flush');
      t.equal(await visit(client, 22, { to: at.inside4 }), 'silent');
    },
  );

  await t.test('DISABLE_DNAT alone: one port of one inner host, by its own address', async (t) => {
    await knock(STOCK, routed, '-A', 'tcp/22', '-N', `${at.inside4}:22`);
    await until('the way opens', async () => (await visit(client, 22, { to: at.inside4 })) !== 'silent');
    t.equal(await visit(client, 22, { to: at.elsewhere4 }), 'silent');
    await control(bastion, daemon, '--fw-flush');
  });

  await t.test('a daemon that was killed leaves nothing open after the time', async (t) => {
    const target = ['-N', `${at.inside4}:22`, '--nat-port', '2222'];
    await knock(STOCK, asked, '-A', 'tcp/22', ...target, '-f', '5');
    await until('the door opens', async () => (await visit(client, 2222)).includes('saw'));
    const session = await stay(client, 2222);
    await daemon.stop('SIGKILL');
    const isShut = async (): Promise<boolean> => (await visit(client, 2222)) === 'silent';
    await until('the kernel shuts the door', isShut, { everyMs: 200 });
    t.equal(await session(), true, 'data still passes');
    daemon = await startSpaServer(bastion, scratch, { server: [...server, 'FLUSH_IPT_AT_INIT N'], access });
    t.match(await control(bastion, daemon, '--fw-list'), /: 0$/m);
    t.equal(await daemon.stop(), 0);
    const rules = await bastion.must(['sh', '-c', 'nft list ruleset; iptables-save']);
    t.notMatch(rules, /dnat|DNAT|masquerade|MASQUERADE|FWKNOP|spa_/, 'nothing of ours is left');
  });
}

const STOCK = ['fwknop'] as const;
const OURS = [process.execPath, PROGRAMS.spaClient] as const;
const SSHBH = [process.execPath, PROGRAMS.sshbh] as const;

/** Keys of one stanza, as lines of access.conf and as options of both clients. */
interface Keys {
  readonly access: readonly string[];
  readonly options: readonly string[];
}

function newKeys(): Keys {
  const [key, hmac] = [randomBytes(32), randomBytes(64)].map((bytes) => bytes.toString('base64'));
  return {
    access: [`KEY_BASE64 ${key}`, `HMAC_KEY_BASE64 ${hmac}`],
    options: ['--key-base64-rijndael', `${key}`, '--use-hmac', '--key-base64-hmac', `${hmac}`],
  };
}

function control(bastion: Namespace, { configFile }: Daemon, ...args: readonly string[]): Promise<string> {
  return bastion.must([process.execPath, PROGRAMS.spaServer, '-c', configFile, ...args]);
}

/** A listener that says who it is and whom it sees, and then sends back what it gets. */
async function serve(host: Namespace, port: number): Promise<void> {
  const script = `require('node:net').createServer((socket) => {
    const plain = (address) => address.replace('::ffff:', '');
    socket.on('error', () => {});
    socket.write(plain(socket.localAddress) + ' saw ' + plain(socket.remoteAddress) + '\\n');
    socket.pipe(socket);
  }).listen(${port}, '::', () => process.stdout.write('ready'));`;
  const child = host.spawn([process.execPath, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
}

/** What the listener behind a port says; `silent` if nobody answers. */
async function visit(
  client: Namespace,
  port: number,
  { from = at.client4, to = at.bastion4 }: { readonly from?: string; readonly to?: string } = {},
): Promise<string> {
  const script = `
    const end = (text) => { process.stdout.write(text); process.exit(0); };
    require('node:net').connect({ host: '${to}', port: ${port}, localAddress: '${from}' })
      .on('data', (data) => end(data.toString().trim())).on('error', (error) => end(error.code));
    setTimeout(() => end('silent'), 400);`;
  return client.must([process.execPath, '-e', script]);
}

/** A connection that stays; resolves to a function that tells whether data still passes. */
async function stay(client: Namespace, port: number): Promise<() => Promise<boolean>> {
  const script = `
    const socket = require('node:net').connect({ host: '${at.bastion4}', port: ${port}, localAddress: '${at.client4}' });
    socket.on('error', () => process.exit(1));
    socket.pipe(process.stdout);
    process.stdin.pipe(socket);`;
  const child = client.spawn([process.execPath, '-e', script], { stdio: 'pipe' });
  let heard = '';
  child.stdout?.on('data', (data: Buffer) => {
    heard += data.toString();
  });
  await until('the connection stands', () => heard.includes('saw'));
  return async () => {
    child.stdin?.write('echo');
    return until('an echo', () => heard.endsWith('echo'), { limitMs: 1_500 }).then(
      () => true,
      () => false,
    );
  };
}
