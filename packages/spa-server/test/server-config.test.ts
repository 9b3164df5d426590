import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { ConfigError } from 'spa-host';
import t from 'tap';
import { parseServerConfig, protectedPorts, type ServerConfig } from '../src/config/server-config.ts';
import type { Stanza } from '../src/decision/stanza.ts';
import { DEFAULT_FORWARD_CHAINS } from '../src/firewall/iptables-forwards.ts';
import { DEFAULT_OUTPUT_CHAIN } from '../src/firewall/iptables-output.ts';

const FILE = '/etc/fwknop/fwknopd.conf';

const parse = (text: string, overrides: Readonly<Record<string, string>> = {}): ServerConfig =>
  parseServerConfig(FILE, text, statements(overrides)).value;

const statements = (overrides: Readonly<Record<string, string>>) =>
  Object.entries(overrides).map(([keyword, value]) => ({ keyword, value, place: { file: `--${keyword}` } }));

t.test('an empty file gives the defaults', async (t) => {
  t.same(parse(''), {
    reception: {
      datagrams: { kind: 'socket', port: 62201 },
      listenAddress: null,
      tcpPort: null,
      http: null,
    },
    maxPacketAgeSeconds: 120,
    firewall: {
      kind: 'auto',
      program: null,
      nftAttach: null,
      nftAttachForward: null,
      iptablesForwards: DEFAULT_FORWARD_CHAINS,
      iptablesOutput: DEFAULT_OUTPUT_CHAIN,
      answers: false,
      iptables: { target: 'ACCEPT', table: 'filter', from: 'INPUT', position: 1, chain: 'FWKNOP_INPUT' },
      flushAtInit: true,
      flushAtExit: true,
      preFilter: { minBytes: 140, maxBytes: 1500, ratePerSource: 100 },
    },
    nat: {},
    doorsAtDestination: false,
    protectPorts: null,
    accessFile: '/etc/fwknop/access.conf',
    accessFolder: null,
    pidFile: '/run/fwknop/fwknopd.pid',
    runFolder: '/run/fwknop',
    digestFile: '/run/fwknop/digest.cache',
    replayStore: '/var/lib/spa-server/replay',
    roster: null,
    gnupg: { directory: '/root/.gnupg', program: 'gpg' },
    commands: { sudo: '/usr/bin/sudo', messageSeconds: 300, cycleSeconds: 30 },
    syslog: { identity: 'fwknopd', facility: 'daemon' },
    logFormat: 'text',
    verbosity: 0,
  });
});

t.test('a socket is opened, or packets are captured, as is said', async (t) => {
  const stated = (value: string, line?: number, keyword?: string) => ({
    value,
    place: line === undefined ? { file: FILE, keyword } : { file: FILE, line, keyword },
  });
  const capture = {
    kind: 'capture',
    interface: stated('eth0', undefined, 'PCAP_INTF'),
    filter: stated('udp port 62201', undefined, 'PCAP_FILTER'),
    promiscuous: false,
    anyDirection: false,
    whenDown: 'wait-later',
  };
  const ports = 'udp dst portrange 10000-65535';
  const cases: readonly (readonly [text: string, datagrams: object])[] = [
    ['UDPSERV_PORT 5000;', { kind: 'socket', port: 5000 }],
    ['ENABLE_UDP_SERVER Y\nPCAP_INTF eth1\nPCAP_FILTER udp port 1', { kind: 'socket', port: 62201 }],
    ['ENABLE_UDP_SERVER N', capture],
    ['PCAP_INTF any', { ...capture, interface: stated('any', 1, 'PCAP_INTF') }],
    [`PCAP_FILTER ${ports};`, { ...capture, filter: stated(ports, 1, 'PCAP_FILTER') }],
    [
      'PCAP_INTF eth0\nEXIT_AT_INTF_DOWN Y',
      { ...capture, interface: stated('eth0', 1, 'PCAP_INTF'), whenDown: 'exit' },
    ],
    [
      'ENABLE_UDP_SERVER N\nEXIT_AT_INTF_DOWN N\nENABLE_PCAP_PROMISC Y',
      { ...capture, whenDown: 'wait', promiscuous: true },
    ],
    [
      'PCAP_FILE x.pcap\nENABLE_SPA_PACKET_AGING N\nENABLE_UDP_SERVER Y',
      { kind: 'file', path: stated('/etc/fwknop/x.pcap', 1, 'PCAP_FILE'), filter: capture.filter },
    ],
  ];
  for (const [text, datagrams] of cases) t.same(parse(text).reception.datagrams, datagrams, text);
});

t.test('TCP and HTTP are heard if that is said', async (t) => {
  const cases: readonly (readonly [text: string, reception: object])[] = [
    ['TCPSERV_PORT 80', { tcpPort: null, http: null }],
    ['ENABLE_TCP_SERVER Y', { tcpPort: 62201, http: null }],
    [
      'ENABLE_TCP_SERVER Y\nTCPSERV_PORT 80\nLISTEN_ADDRESS 2001:DB8::0:1',
      { tcpPort: 80, listenAddress: '2001:db8::1' },
    ],
    [
      'PCAP_INTF eth0\nENABLE_TCP_SERVER Y\nLISTEN_ADDRESS 192.0.2.7',
      { tcpPort: 62201, listenAddress: '192.0.2.7' },
    ],
    ['PCAP_FILE x\nENABLE_TCP_SERVER Y', { tcpPort: null }],
    ['ALLOW_ANY_USER_AGENT Y', { http: null }],
    ['ENABLE_SPA_OVER_HTTP Y', { http: { anyUserAgent: false, forwardedFor: false } }],
    [
      'ENABLE_SPA_OVER_HTTP Y\nENABLE_X_FORWARDED_FOR Y\nALLOW_ANY_USER_AGENT Y',
      { http: { anyUserAgent: true, forwardedFor: true } },
    ],
  ];
  for (const [text, reception] of cases) t.match(parse(text).reception, reception, text);
});

t.test('keywords set what they are called after', async (t) => {
  const cases: readonly (readonly [text: string, expected: object])[] = [
    ['MAX_SPA_PACKET_AGE 60', { maxPacketAgeSeconds: 60 }],
    ['ACCESS_FILE access.conf', { accessFile: '/etc/fwknop/access.conf' }],
    ['ACCESS_FOLDER access.d', { accessFolder: '/etc/fwknop/access.d' }],
    ['ACCESS_FILE $FWKNOP_CONF_DIR/a.conf', { accessFile: '/etc/fwknop/a.conf' }],
    ['FWKNOP_CONF_DIR /srv\nACCESS_FILE $FWKNOP_CONF_DIR/a.conf', { accessFile: '/srv/a.conf' }],
    ['FWKNOP_RUN_DIR /srv/run', { pidFile: '/srv/run/fwknopd.pid', replayStore: '/srv/run/spa-replay' }],
    ['FWKNOP_RUN_DIR /var/run/fwknop', { replayStore: '/var/lib/spa-server/replay' }],
    ['DIGEST_FILE /srv/db/digest.cache', { replayStore: '/srv/db/spa-replay' }],
    ['DIGEST_FILE /running/d', { replayStore: '/running/spa-replay' }],
    ['DIGEST_FILE $FWKNOP_RUN_DIR/digest.cache', { replayStore: '/var/lib/spa-server/replay' }],
    ['REPLAY_STORE /srv/replay\nDIGEST_FILE /srv/db/x', { replayStore: '/srv/replay' }],
    ['GPG_EXE gpg2\nGPG_HOME_DIR /srv/g', { gnupg: { directory: '/srv/g', program: 'gpg2' } }],
    [
      'SYSLOG_FACILITY LOG_LOCAL3\nSYSLOG_IDENTITY fwknopd',
      { syslog: { identity: 'fwknopd', facility: 'local3' } },
    ],
    ['FIREWALL nftables', { firewall: { kind: 'nftables', program: null } }],
    [
      'FIREWALL_EXE /sbin/iptables-legacy',
      { firewall: { kind: 'iptables', program: '/sbin/iptables-legacy' } },
    ],
    ['FIREWALL_EXE nft', { firewall: { kind: 'nftables', program: 'nft' } }],
    [
      'NFT_MODE attach\nNFT_ATTACH_CHAIN inet filter input',
      { firewall: { nftAttach: { family: 'inet', table: 'filter', chain: 'input' } } },
    ],
    ['FLUSH_FIREWD_AT_EXIT N', { firewall: { flushAtInit: true, flushAtExit: false } }],
    [
      'NFT_MODE attach\nNFT_ATTACH_CHAIN inet filter input\nNFT_ATTACH_FORWARD_CHAIN inet filter fwd',
      { firewall: { nftAttachForward: { family: 'inet', table: 'filter', chain: 'fwd' } } },
    ],
    [
      'FIREWD_FORWARD_ACCESS ACCEPT, filter, FORWARD_direct, 2, F, 1\nIPT_MASQUERADE_ACCESS MASQUERADE, nat, POSTROUTING, 1, M, 1',
      {
        firewall: {
          iptablesForwards: {
            forward: { from: 'FORWARD_direct', position: 2, chain: 'F' },
            masquerade: { position: 2, chain: 'M' },
          },
        },
      },
    ],
    [
      'IPT_INPUT_ACCESS ACCEPT, filter, SSH, 3, DOORS, 1;',
      {
        firewall: {
          iptables: { from: 'SSH', position: 3 },
          iptablesForwards: { local: { from: 'SSH', position: 4 } },
        },
      },
    ],
    ['SPA_PREFILTER N', { firewall: { preFilter: null } }],
    ['SPA_RATE_PER_SOURCE 5', { firewall: { preFilter: { ratePerSource: 5 } } }],
    ['SPA_RATE_PER_SOURCE 0', { firewall: { preFilter: { minBytes: 140, ratePerSource: null } } }],
    ['PROTECT_PORTS tcp/22, TCP/443', { protectPorts: [{ port: 22 }, { protocol: 'tcp', port: 443 }] }],
    ['VERBOSE 1\nVERBOSE 2', { verbosity: 2 }],
    ['LOG_FORMAT json', { logFormat: 'json' }],
    ['ENABLE_TCP_SERVER N\nENABLE_SPA_OVER_HTTP n\nENABLE_IPT_FORWARDING No', {}],
  ];
  for (const [text, expected] of cases) t.match(parse(text), expected, text);
});

t.test('the command line counts more than the file', async (t) => {
  t.match(
    parse('VERBOSE 1\nFWKNOP_RUN_DIR /a\nFWKNOP_PID_FILE $FWKNOP_RUN_DIR/x.pid', {
      VERBOSE: '3',
      FWKNOP_RUN_DIR: '/b',
    }),
    {
      verbosity: 3,
      pidFile: '/b/x.pid',
    },
  );
});

t.test('what is wrong is one line with the place and what to write', async (t) => {
  const cases: readonly (readonly [text: string, message: string])[] = [
    ['# x\nUDPSERV_PRT 1', ':2: "UDPSERV_PRT" is no keyword; did you mean UDPSERV_PORT?'],
    ['hunter2 x', ':1: this line starts with no known keyword; correct it or remove it'],
    ['__proto__ x', ':1: this line starts with no known keyword; correct it or remove it'],
    ['UDPSERV_PORT = 1', ':1: there is an "=" on this line; write NAME value without it'],
    ['UDPSERV_PORT 65536', ':1: UDPSERV_PORT: "65536" is out of range; write a number from 1 to 65535'],
    [
      'MAX_SPA_PACKET_AGE 2m',
      ':1: MAX_SPA_PACKET_AGE: "2m" is out of range; write a number from 1 to 100000 (seconds)',
    ],
    [
      'SPA_PREFILTER N\nSPA_RATE_PER_SOURCE 5',
      ':2: SPA_RATE_PER_SOURCE: SPA_PREFILTER N leaves it out; remove one of the two lines',
    ],
    ['FLUSH_IPT_AT_EXIT true', ':1: FLUSH_IPT_AT_EXIT: "true" is neither yes nor no; write Y or N'],
    ['PCAP_INTF eth 0', ':1: PCAP_INTF: "eth 0" is no interface; write one that "ip link" shows, or any'],
    ['PCAP_INTF -w', ':1: PCAP_INTF: "-w" is no interface; write one that "ip link" shows, or any'],
    [
      'LISTEN_ADDRESS 192.0.2.7\nPCAP_INTF eth0',
      ':1: LISTEN_ADDRESS: packets are captured, so nothing listens; write ENABLE_UDP_SERVER Y for a socket, or remove the line',
    ],
    [
      'ENABLE_SPA_PACKET_AGING N',
      ':1: ENABLE_SPA_PACKET_AGING: replay protection needs the age of packets; remove the line, and raise MAX_SPA_PACKET_AGE if clocks differ',
    ],
    [
      'ENABLE_DIGEST_PERSISTENCE N',
      ':1: ENABLE_DIGEST_PERSISTENCE: without it anybody who hears a packet can send it again; remove the line',
    ],
    [
      'NFT_ATTACH_FORWARD_CHAIN inet filter forward',
      ':1: NFT_ATTACH_FORWARD_CHAIN: only mode attach uses it; write NFT_MODE attach and NFT_ATTACH_CHAIN too',
    ],
    [
      'NFT_MODE attach\nNFT_ATTACH_CHAIN inet filter input\nNFT_ATTACH_FORWARD_CHAIN ip filter FORWARD',
      ':3: NFT_ATTACH_FORWARD_CHAIN: it must be in the table of NFT_ATTACH_CHAIN, inet filter; accept there "ct status dnat" instead',
    ],
    [
      'IPT_DNAT_ACCESS ACCEPT, nat, PREROUTING, 1, X, 1',
      ':1: IPT_DNAT_ACCESS: "ACCEPT, nat, PREROUTING, 1, X, 1" is not understood; write DNAT, nat, PREROUTING, 1, FWKNOP_PREROUTING, 1',
    ],
    [
      'NAT_TARGETS 10.0.0.5:0',
      ':1: NAT_TARGETS: "10.0.0.5:0" is no host or network; write 10.0.0.5:22, 10.0.0.0/24 or [2001:db8::5]:22',
    ],
    ['FIREWALL ipfw', ':1: FIREWALL: "ipfw" is not known; write auto, nftables, iptables'],
    [
      'FIREWALL nftables\nFIREWALL_EXE /sbin/iptables',
      ':2: FIREWALL_EXE: this is a program of iptables, and FIREWALL says nftables; remove one of the two lines',
    ],
    [
      'FIREWALL_EXE /bin/firewall-cmd',
      ':1: FIREWALL_EXE: firewalld is not asked; write FIREWALL nftables: a table of our own beside it',
    ],
    ['NFT_MODE attach', ':1: NFT_MODE: attach to which chain? write NFT_ATTACH_CHAIN inet filter input'],
    [
      'NFT_ATTACH_CHAIN inet filter input',
      ':1: NFT_ATTACH_CHAIN: only mode attach uses it; write NFT_MODE attach too',
    ],
    [
      'NFT_MODE attach\nNFT_ATTACH_CHAIN filter input',
      ':2: NFT_ATTACH_CHAIN: "filter input" names no chain; write family, table, chain: inet filter input',
    ],
    [
      'IPT_INPUT_ACCESS DROP, filter, INPUT, 1, X, 1',
      ':1: IPT_INPUT_ACCESS: "DROP, filter, INPUT, 1, X, 1" is not understood; write ACCEPT, filter, INPUT, 1, FWKNOP_INPUT, 1',
    ],
    [
      'LISTEN_ADDRESS localhost',
      ':1: LISTEN_ADDRESS: "localhost" is no IP address; write one as in 192.0.2.7 or 2001:db8::7',
    ],
    ['ACCESS_FILE $HOME/x', ':1: ACCESS_FILE: "$HOME" is not set above this line; write the path'],
    ['GPG_HOME_DIR ~/.gnupg', ':1: GPG_HOME_DIR: ~ means nothing to a daemon; write the whole path'],
    [
      'SYSLOG_FACILITY LOG_MAIL',
      ':1: SYSLOG_FACILITY: "LOG_MAIL" is not known; write LOG_DAEMON, LOG_LOCAL0, LOG_LOCAL1, LOG_LOCAL2, LOG_LOCAL3, LOG_LOCAL4, LOG_LOCAL5, LOG_LOCAL6, LOG_LOCAL7',
    ],
    [
      'SYSLOG_IDENTITY a b',
      ':1: SYSLOG_IDENTITY: "a b" is no name; write letters, digits, "-", "_" and "." only',
    ],
  ];
  for (const [text, message] of cases) {
    t.throws(() => parse(text), { name: 'ConfigError', message: `${FILE}${message}` }, text);
  }
});

t.test('a wrong option of the command line is named as such', async (t) => {
  t.throws(() => parse('', { PCAP_INTF: 'eth/0' }), {
    message: '--PCAP_INTF: "eth/0" is no interface; write one that "ip link" shows, or any',
  });
});

t.test('what fwknop documents and never did has a warning', async (t) => {
  const { warnings } = parseServerConfig(
    FILE,
    'BLACKLIST 192.0.2.7\nENABLE_EXTERNAL_CMDS N\nEXTERNAL_CMD_OPEN __NONE__\nFIREWALL_TYPE iptables\n',
    [],
  );
  t.same(warnings, [
    `${FILE}:1: BLACKLIST: fwknopd never did anything with it, nor is it done here; SOURCE in access.conf says who may send`,
    `${FILE}:4: FIREWALL_TYPE: fwknopd never did anything with it, nor is it done here; write FIREWALL nftables or FIREWALL iptables`,
  ]);
});

t.test('files of -O count more than fwknopd.conf, the command line most', async (t) => {
  const more = [
    { file: '/x/1.conf', text: 'VERBOSE 2\nMAX_SPA_PACKET_AGE 60\nFWKNOP_PID_FILE $FWKNOP_RUN_DIR/pid\n' },
    { file: '/x/2.conf', text: 'MAX_SPA_PACKET_AGE 61\nFWKNOP_RUN_DIR /later\nACCESS_FILE here.conf\n' },
  ];
  const command = statements({ VERBOSE: '3' });
  const { value, warnings } = parseServerConfig(FILE, 'VERBOSE 1\nFWKNOP_RUN_DIR /early\n', command, more);
  t.match(value, { verbosity: 3, maxPacketAgeSeconds: 61, pidFile: '/early/pid', runFolder: '/later' });
  t.equal(value.accessFile, '/x/here.conf');
  t.notMatch(warnings.join(), 'last one counts');
  t.throws(() => parseServerConfig(FILE, '', [], [{ file: '/x/1.conf', text: 'VERBOS 1' }]), {
    message: '/x/1.conf:1: "VERBOS" is no keyword; did you mean VERBOSE?',
  });
});

t.test('what has less effect than it seems is warned of', async (t) => {
  const { warnings } = parseServerConfig(FILE, 'UDPSERV_PORT 5000\nVERBOSE 1\nVERBOSE 2\nPCAP_INTF eth1', []);
  t.same(warnings, [
    `${FILE}:3: VERBOSE is in line 2 too; the last one counts`,
    `${FILE}:1: UDPSERV_PORT: packets are captured as PCAP_FILTER says; for a socket write ENABLE_UDP_SERVER Y`,
  ]);
});

t.test('the protected ports are those that stanzas can open, unless they are named', async (t) => {
  const ssh = { protocol: 'tcp', port: 22 } as const;
  const web = { protocol: 'tcp', port: 443 } as const;
  const stanza = (openPorts: Stanza['openPorts']) => ({ openPorts, cycle: null }) as Stanza;
  t.same(protectedPorts(parse(''), [stanza([web]), stanza([ssh, web])]), [web, ssh]);
  t.same(protectedPorts(parse(''), [stanza([web]), stanza(null)]), [web, ssh]);
  t.same(protectedPorts(parse('PROTECT_PORTS tcp/443'), [stanza([ssh])]), [web]);
  const cycle = { open: ['x'], close: null, timerSeconds: 30 };
  t.same(protectedPorts(parse(''), [stanza([web]), { ...stanza([ssh]), cycle }]), [web], 'commands open ssh');
});

const STOCK = '/etc/fwknop/fwknopd.conf';
const hasStock = existsSync(STOCK);
if (!hasStock && process.env.CI !== undefined) throw new Error('fwknop-server is missing');

/** Lines of the stock file that show what is not supported. The other examples are accepted. */
const REFUSED_EXAMPLES = ['ENABLE_NFQ_CAPTURE', 'ENABLE_EXT_CMD_PREFIX', 'FIREWALL_EXE', 'SNAT_TRANSLATE_IP'];

t.test(
  'every keyword of the stock file is known',
  { skip: !hasStock && 'fwknop-server is not installed' },
  async (t) => {
    const text = readFileSync(STOCK, 'utf8');
    const examples = [...text.matchAll(/^# ?([A-Z][A-Z_]+) +(\S.*;)$/gm)];
    t.ok(examples.length > 50, `${examples.length} examples`);
    for (const [, keyword = '', value = ''] of examples) {
      try {
        parseServerConfig(STOCK, `${keyword} ${value}`, []);
      } catch (error) {
        t.ok(
          error instanceof ConfigError && REFUSED_EXAMPLES.includes(keyword),
          `${keyword} ${value}: ${error}`,
        );
        t.notMatch((error as Error).message, 'is no keyword');
      }
    }
  },
);

t.test('any text gives a configuration or a ConfigError of one line', async (t) => {
  const keyword = fc.constantFrom(
    'UDPSERV_PORT',
    'PCAP_FILTER',
    'PCAP_INTF',
    'PCAP_FILE',
    'ENABLE_TCP_SERVER',
    'ACCESS_FILE',
    'IPT_INPUT_ACCESS',
    'NFT_MODE',
    'NFT_ATTACH_CHAIN',
    'PROTECT_PORTS',
    'SPA_PREFILTER',
    'SPA_RATE_PER_SOURCE',
    'FIREWALL_EXE',
    'ENABLE_UDP_SERVER',
    'FWKNOP_RUN_DIR',
    'constructor',
    'VERBOSE:',
  );
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('Y', '1', 'attach', '$FWKNOP_RUN_DIR/x', 'inet a b', 'udp port 7'),
  );
  const line = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.tuple(keyword, value).map((parts) => parts.join(' ')),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        try {
          parseServerConfig(FILE, lines.join('\n'), []);
        } catch (error) {
          if (!(error instanceof ConfigError) || error.message.includes('\n')) throw error;
        }
      }),
    ),
  );
});
