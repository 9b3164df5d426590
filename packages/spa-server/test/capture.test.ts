import { createSocket } from 'node:dgram';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from 'spa-host';
import { createHosts, lacking, PROGRAMS, startDaemon, until } from 'spa-lab';
import t, { type Test } from 'tap';
import { parseServerConfig } from '../src/config/server-config.ts';
import type { Datagram } from '../src/decision/verdict.ts';
import { findProgram } from '../src/firewall/programs.ts';
import { openReception, type Reception } from '../src/transport/reception.ts';
import { checkSource } from '../src/transport/sources.ts';
import { startTcpdump } from '../src/transport/tcpdump.ts';
import { ethernet, ipv4, pcap, tcp, udp } from './frames.ts';
import { addressOf, createReadableLog } from './gate.ts';

const skip = process.getuid?.() === 0 ? lacking('tcpdump') : 'root only: capturing';
const PACKET = '8'.repeat(200);

interface Setting {
  readonly reception: Reception;
  readonly datagrams: readonly Datagram[];
  texts(): readonly string[];
  readonly log: ReturnType<typeof createReadableLog>;
}

/** Opens what these lines of fwknopd.conf say. */
async function open(t: Test, ...lines: readonly string[]): Promise<Setting> {
  const { value } = parseServerConfig('/etc/fwknop/fwknopd.conf', lines.join('\n'), []);
  const log = createReadableLog();
  const reception = await openReception(value.reception, log);
  t.teardown(() => reception.close());
  const datagrams: Datagram[] = [];
  reception.begin({
    receive: (datagram) => datagrams.push(datagram),
    ignored: () => {},
  });
  return {
    reception,
    datagrams,
    texts: () => datagrams.map(({ packet }) => Buffer.from(packet).toString()),
    log,
  };
}

function send(text: string, port: number): Promise<void> {
  const socket = createSocket('udp4');
  return new Promise((resolve) => {
    socket.send(text, port, '127.0.0.1', () => socket.close(() => resolve()));
  });
}

t.test('what the filter lets through is captured, and only packets are told', { skip }, async (t) => {
  const { reception, datagrams, texts } = await open(t, 'PCAP_INTF lo', 'PCAP_FILTER udp dst port 47999');
  await send('nothing for us', 47_999);
  await send('?'.repeat(200), 47_999);
  await send(PACKET, 47_998);
  await send(PACKET, 47_999);
  await until('it is captured', () => datagrams.length > 0);
  t.same(texts(), [PACKET]);
  t.match(datagrams[0], { source: '127.0.0.1', destination: '127.0.0.1', forwardedFor: null });
  t.same(reception.counters(), [
    { what: 'captured', count: 3 },
    { what: 'captured, but no packet', count: 2 },
  ]);
  t.equal(reception.lost(), 0);
});

t.test('what cannot be captured is an error in the line that says it', { skip }, async (t) => {
  const place = '/etc/fwknop/fwknopd.conf:';
  const cases: readonly (readonly [lines: readonly string[], message: RegExp])[] = [
    [
      ['PCAP_INTF lo', 'PCAP_FILTER udp prt 62201'],
      /2: PCAP_FILTER: tcpdump does not take this filter: can't parse filter expression: syntax error; see/,
    ],
    [['PCAP_FILTER -w /tmp/x'], /1: PCAP_FILTER: tcpdump does not take this filter: .*syntax error; see/],
    [
      ['PCAP_INTF nope0'],
      /1: PCAP_INTF: tcpdump cannot capture there: nope0: No such device exists.*write an interface/,
    ],
  ];
  for (const [lines, message] of cases) {
    const opening = open(t, ...lines);
    await t.rejects(opening, ConfigError);
    await t.rejects(opening, { message: new RegExp(place + message.source) });
  }
  const check = (line: string) => () =>
    checkSource(parseServerConfig('/etc/fwknop/fwknopd.conf', line, []).value.reception);
  t.equal(check('PCAP_FILTER udp dst portrange 10000-65535')(), null, 'without capturing');
  t.throws(check('PCAP_FILTER udp prt 1'), {
    name: 'ConfigError',
    message: /:1: PCAP_FILTER: .*syntax error/,
  });
  t.equal(check('UDPSERV_PORT 1')(), null);
});

t.test('an interface that is not there is waited for if that is said', { skip }, async (t) => {
  const { log, reception } = await open(t, 'PCAP_INTF nope0', 'EXIT_AT_INTF_DOWN N');
  t.match(log.lines, [/^warning: nothing is captured on nope0 yet: .*waiting for it$/]);
  t.equal(reception.received(), 0);
});

t.test('a daemon that cannot capture ends, and says what to do', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'capture-'));
  const hosts = createHosts();
  t.teardown(async () => {
    await hosts.dispose();
    rmSync(folder, { recursive: true });
  });
  const file = (name: string, ...lines: readonly string[]): string => {
    writeFileSync(join(folder, name), lines.map((line) => `${line}\n`).join(''), { mode: 0o600 });
    return join(folder, name);
  };
  const access = file('access.conf', 'SOURCE ANY', 'KEY one', 'HMAC_KEY two', 'OPEN_PORTS tcp/22');
  const start = (...lines: readonly string[]): readonly string[] => {
    const common = [`FWKNOP_RUN_DIR ${folder}`, `ACCESS_FILE ${access}`, 'PCAP_INTF d0', ...lines];
    return [process.execPath, PROGRAMS.spaServer, '-f', '--test', '-c', file('fwknopd.conf', ...common)];
  };

  const program = findProgram('tcpdump') ?? '';
  const bare = await hosts.add({ device: 'd0', files: { [program]: file('not-a-program') } });
  t.match(await bare.run(start()), {
    status: 69,
    stderr:
      /^spa-server: tcpdump is not installed, and packets are captured here .*: apt-get install tcpdump, or write ENABLE_UDP_SERVER Y$/m,
  });

  const host = await hosts.add({ device: 'd0' });
  await host.must(['ip', 'link', 'set', 'lo', 'up']);
  const unit = ['setpriv', '--bounding-set=-all,+net_admin,+net_raw,+sys_nice', '--no-new-privs'];
  t.match(await host.run([...unit, ...start('PCAP_INTF lo')]), {
    status: 77,
    stderr: /Operation not permitted \(capturing needs CAP_NET_RAW, CAP_SETUID, CAP_SETGID and CAP_KILL\)$/m,
  });

  await host.must(['ip', 'link', 'add', 'd0', 'type', 'veth', 'peer', 'name', 'd1']);
  await host.must(['ip', 'link', 'set', 'd0', 'up']);
  const daemon = startDaemon(host, '', start('EXIT_AT_INTF_DOWN Y'));
  await daemon.logged('Sniffing interface: d0');
  await host.must(['ip', 'link', 'del', 'd0']);
  await until('it ends', () => daemon.process.exitCode !== null);
  t.equal(daemon.process.exitCode, 69);
  t.match(daemon.log(), /capturing on d0 has ended: .*disappeared$/m);
});

t.test('a tcpdump that does not answer any more is ended', { skip }, async (t) => {
  const range = { interface: 'lo', filter: 'udp port 9', promiscuous: false, anyDirection: false };
  const tcpdump = await startTcpdump(range, () => {});
  t.teardown(() => tcpdump.end());
  for (const pid of childrenCalled('tcpdump')) process.kill(pid, 'SIGSTOP');
  for (let asked = 0; asked <= 10; asked++) tcpdump.askLost();
  t.equal(await tcpdump.ended, 'it has not answered 10 times');
});

function childrenCalled(name: string): readonly number[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1').trim().split(' ');
  return children.map(Number).filter((pid) => readFileSync(`/proc/${pid}/comm`, 'latin1').trim() === name);
}

t.test('a capture that was made before is read to its end', { skip: lacking('tcpdump') }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pcap-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const plan = {
    source: addressOf('192.0.2.7'),
    destination: addressOf('198.51.100.1'),
    port: 62_201,
    payload: Buffer.from(PACKET),
  };
  const request = Buffer.from(`GET /${PACKET} HTTP/1.0\r\nUser-Agent: Fwknop/2.6.10\r\n\r\n`);
  const frames = [
    ipv4(plan, 17, udp(plan)),
    ipv4(plan, 6, tcp({ ...plan, port: 80, payload: request })),
    ipv4(plan, 17, udp({ ...plan, port: 53 })),
  ];
  const file = join(folder, 'x.pcap');
  writeFileSync(
    file,
    pcap(
      1,
      frames.map((frame) => ethernet(0x0800, frame)),
    ),
  );
  const { reception, texts, datagrams } = await open(
    t,
    `PCAP_FILE ${file}`,
    'PCAP_FILTER udp port 62201 or tcp port 80',
    'ENABLE_SPA_OVER_HTTP Y',
  );
  t.equal(await reception.ended, null);
  t.same(texts(), [PACKET, PACKET]);
  t.match(datagrams[0], { source: '192.0.2.7', destination: '198.51.100.1' });
  writeFileSync(file, 'no capture at all');
  const spoilt = await open(t, `PCAP_FILE ${file}`);
  t.match(await spoilt.reception.ended, `${file}: `, 'a failure, with the name of the file');
  await t.rejects(open(t, `PCAP_FILE ${folder}/nothing`), ConfigError);
});
