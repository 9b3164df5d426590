import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import {
  addresses,
  createLab,
  joinByCable,
  lacking,
  PROGRAMS,
  type Reach,
  reach,
  startSpaServer,
  until,
} from 'spa-lab';
import t from 'tap';
import {
  isOpenFor,
  knockOptions,
  opensFor,
  rcStanza,
  spareAddresses,
  startProxy,
  TRANSPORT_ACCESS,
} from './transports.ts';

t.setTimeout(120_000);

const WEB_PORT = 8080;

const CAPTURE = [
  ...['FIREWALL nftables', 'NFT_MODE attach', 'NFT_ATTACH_CHAIN inet filter input'],
  `PCAP_FILTER udp dst portrange 10000-65535 or tcp dst port ${WEB_PORT} or tcp dst port 80`,
  ...[
    'ENABLE_TCP_SERVER Y',
    'TCPSERV_PORT 80',
    'ENABLE_SPA_OVER_HTTP Y',
    'ENABLE_X_FORWARDED_FOR Y',
    'EXIT_AT_INTF_DOWN N',
  ],
];

t.test(
  'stock fwknop opens doors by every transport while no UDP socket is open and the port is dropped',
  { skip: lacking('fwknop', 'nft', 'tcpdump', 'perl', 'sshd', 'ssh') },
  async (t) => {
    const lab = await createLab('nftables');
    t.teardown(lab.dispose);
    const { bastion, operator, scratch } = lab;
    const nextAddress = await spareAddresses(lab);
    const daemon = await startSpaServer(bastion, scratch, {
      server: [...CAPTURE, `PCAP_INTF ${bastion.device}`],
      access: TRANSPORT_ACCESS,
    });
    const opens = async (how: string, address: string): Promise<void> => {
      await opensFor(lab, daemon, address);
      t.pass(how);
    };
    const knock = async (how: string, ...options: readonly string[]): Promise<void> => {
      const address = nextAddress();
      t.equal(await isOpenFor(lab, address), false, `${how}: shut`);
      await operator.must(stockKnock(address, ...options));
      await opens(how, address);
    };

    const sockets = await bastion.must(['cat', '/proc/net/udp', '/proc/net/udp6']);
    t.notMatch(sockets, /^ *\d+:/m, 'there is no UDP socket at all');
    t.notMatch(await bastion.must(['nft', 'list', 'ruleset']), 'udp dport', 'and no rule lets a packet in');
    await knock('UDP');
    await knock('UDP, to a random port', '-r');
    await knock('TCP', '-P', 'tcp', '-p', '80');
    await knock('HTTP', '-P', 'http', '-p', '80');
    t.notMatch(daemon.log(), /Replay detected|replay/, 'no packet was taken twice');
    t.match(daemon.log(), "Sniffing interface: veth0\nPCAP filter is: 'udp dst portrange 10000-65535 or");
    t.match(daemon.log(), 'Kicking off TCP server to listen on port 80.');

    const { client4, client6, other4, other6, server4, server6 } = addresses;
    const proxy = await startProxy(operator);
    t.equal(await isOpenFor(lab, client4), false, 'HTTP, through a proxy: shut');
    await operator.must(stockKnock('0.0.0.0', '-P', 'http', '-p', '80', '-H', proxy));
    await opens('HTTP, through a proxy, for whom it says', client4);
    t.equal(await isOpenFor(lab, other4), false, 'and not for the proxy');

    const answers6 = (localAddress: string): Promise<Reach> => reach(operator, server6, { localAddress });
    t.equal(await answers6(other6), 'silent', 'IPv6: shut');
    await operator.must([process.execPath, PROGRAMS.spaClient, ...knockOptions(other6, server6)]);
    await until('the door opens', async () => (await answers6(other6)) === 'open');
    const rcFile = scratch.path('fwknoprc');
    const overHttp = ['SPA_SERVER_PROTO http', 'SPA_SERVER_PORT 80'];
    writeFileSync(rcFile, rcStanza(`SPA_SERVER ${server6}`, ...overHttp), { mode: 0o600 });
    t.equal(await answers6(client6), 'silent', 'sshbh by HTTP, IPv6: shut');
    await operator.must([process.execPath, PROGRAMS.sshbh, 'open', '--rc-file', rcFile, 'lab']);
    t.equal(await answers6(client6), 'open', 'sshbh by HTTP, IPv6');

    await bastion.must(['nft', `add rule inet filter input tcp dport ${WEB_PORT} accept`]);
    bastion.spawn([process.execPath, '-e', `require('http').createServer().listen(${WEB_PORT})`]);
    await until(
      'the web server listens',
      async () => (await reach(operator, addresses.server4, { port: WEB_PORT })) === 'open',
    );
    await knock('HTTP, to a web server that knows nothing of it', '-P', 'http', '-p', `${WEB_PORT}`);

    const byHand = async (how: string, script: string): Promise<void> => {
      const address = nextAddress();
      const packet = scratch.path('packet');
      await operator.must(stockKnock(address, '-T', '-B', packet));
      const index = Number.parseInt(await operator.must(['ip', '-o', 'link', 'show', operator.device]), 10);
      const text = readFileSync(packet, 'latin1').trim();
      await operator.must(['perl', '-MSocket', '-e', script, addresses.server4, `${index}`], text);
      await opens(how, address);
    };
    await byHand('IP options', SEND_WITH_IP_OPTIONS);
    await byHand('a VLAN of the interface', SEND_IN_VLAN);

    const [tcpdump = 0] = await tcpdumpsOf(daemon.process.pid);
    t.notMatch(
      readFileSync(`/proc/${tcpdump}/status`, 'latin1'),
      /^Uid:\t(0\t|\d+\t0\t)/m,
      'it gave up root',
    );
    process.kill(tcpdump, 'SIGKILL');
    await daemon.logged('capturing on veth0 has ended: signal SIGKILL');
    await daemon.logged('capturing on veth0 again');
    await knock('after the death of tcpdump');

    const since = daemon.log().length;
    await bastion.must(['ip', 'link', 'del', bastion.device]);
    await daemon.logged(/capturing on veth0 has ended: .*disappeared/, since);
    const address = nextAddress();
    await joinByCable(
      { host: bastion, device: bastion.device, addresses: [server4, server6] },
      { host: operator, device: operator.device, addresses: [client4, address, client6] },
    );
    await daemon.logged('capturing on veth0 again', since);
    const file = scratch.path('knock.pcap');
    const recorder = bastion.spawn(['tcpdump', '-i', bastion.device, '-U', '-w', file, 'udp'], {
      stdio: 'ignore',
    });
    await until('it records', () => existsSync(file) && statSync(file).size > 0);
    await operator.must(stockKnock(address));
    await opens('an interface that went, and came again', address);
    await until('it is recorded', () => statSync(file).size > 200);
    recorder.kill('SIGTERM');
    const judged = await bastion.run([
      ...[process.execPath, PROGRAMS.spaServer, '-f', '-c', daemon.configFile, '--pcap-file', file, '--test'],
    ]);
    t.equal(judged.status, 0, 'a capture is looked at, beside the daemon');
    t.match(judged.stderr, `would have opened tcp/22 for ${address}`);
    t.equal(await daemon.stop(), 0);
    t.same(await tcpdumpsOf(daemon.process.pid), [], 'tcpdump is gone with the daemon');
  },
);

function stockKnock(address: string, ...options: readonly string[]): readonly string[] {
  return ['fwknop', ...knockOptions(address), ...options];
}

/** Router alert (RFC 2113): an option that lets the packet go its way. */
const SEND_WITH_IP_OPTIONS = `
  socket(S, PF_INET, SOCK_DGRAM, 0) && setsockopt(S, 0, 4, pack("C4", 148, 4, 0, 0)) or die $!;
  send(S, join("", <STDIN>), 0, sockaddr_in(62201, inet_aton($ARGV[0]))) or die $!;`;

/** A frame of our own making: kernels that this is tested on have no VLANs. */
const SEND_IN_VLAN = `
  my $packet = join "", <STDIN>;
  my $udp = pack("nnnn", 40000, 62201, 8 + length $packet, 0) . $packet;
  my $ip = pack("CCnnnCCna4a4", 69, 0, 20 + length $udp, 0, 0, 64, 17, 0, inet_aton("10.77.0.1"), inet_aton($ARGV[0]));
  my $frame = "\\xff" x 6 . pack("nNnnn", 512, 1, 0x8100, 5, 0x0800) . $ip . $udp;
  socket(S, 17, SOCK_RAW, 768) or die $!;
  send(S, $frame, 0, pack("SnlSCCa8", 17, 3, $ARGV[1], 0, 0, 6, "\\xff" x 6)) or die $!;`;

/** The tcpdumps that a process has started. */
async function tcpdumpsOf(pid: number | undefined): Promise<readonly number[]> {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
      .trim()
      .split(' ')
      .map(Number);
    return children.filter((child) => readFileSync(`/proc/${child}/comm`, 'latin1') === 'tcpdump\n');
  } catch {
    return [];
  }
}
