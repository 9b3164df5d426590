import { resolve } from 'node:path';
import fc from 'fast-check';
import { UsageError } from 'spa-host';
import t from 'tap';
import { formatHelp, readOptions } from '../src/options.ts';

t.test('without options the daemon is to start in the background', async (t) => {
  t.same(readOptions([]), {
    task: 'serve',
    source: { configFile: '/etc/fwknop/fwknopd.conf', overrideFiles: [], overrides: [] },
    foreground: false,
    syslog: false,
    dryRun: false,
    rotateDigestCache: false,
    packetLimit: null,
    newKeys: { hmacDigest: 'sha256', lengths: {}, file: null },
    revoke: null,
    cut: false,
  });
});

t.test('options of fwknopd are tasks, or say what a keyword would', async (t) => {
  const override = (keyword: string, value: string) => ({ source: { overrides: [{ keyword, value }] } });
  const cases: readonly (readonly [argv: readonly string[], expected: object])[] = [
    [['-f', '--syslog-enable'], { foreground: true, syslog: true }],
    [['-t', '-C5'], { dryRun: true, packetLimit: 5 }],
    [['-c', 'x/f.conf'], { source: { configFile: resolve('x/f.conf') } }],
    [['-O', 'a.conf, /b.conf'], { source: { overrideFiles: [resolve('a.conf'), '/b.conf'] } }],
    [['-a', 'a.conf'], override('ACCESS_FILE', resolve('a.conf'))],
    [['--access-folder', 'd'], override('ACCESS_FOLDER', resolve('d'))],
    [['-r', '/r'], override('FWKNOP_RUN_DIR', '/r')],
    [['-p', '/p'], override('FWKNOP_PID_FILE', '/p')],
    [['-d', '/d/digest.cache'], override('DIGEST_FILE', '/d/digest.cache')],
    [['-i', 'eth1'], override('PCAP_INTF', 'eth1')],
    [['-P', 'udp port 7'], override('PCAP_FILTER', 'udp port 7')],
    [['-U'], override('ENABLE_UDP_SERVER', 'Y')],
    [['-vvv'], override('VERBOSE', '3')],
    [['--gpg-home-dir', '/g'], override('GPG_HOME_DIR', '/g')],
    [['--gpg-exe', 'gpg2'], override('GPG_EXE', 'gpg2')],
    [['-S'], { task: 'status' }],
    [['-K'], { task: 'kill' }],
    [['-R'], { task: 'restart' }],
    [['-D'], { task: 'dump-config' }],
    [['--exit-parse-config'], { task: 'exit-parse-config' }],
    [['--exit-parse-digest-cache'], { task: 'exit-parse-digest-cache' }],
    [['--rotate-digest-cache'], { task: 'serve', rotateDigestCache: true }],
    [['--key-gen'], { task: 'key-gen', newKeys: { file: null } }],
    [
      ['--key-gen-file', '/k', '--key-len', '16', '--hmac-key-len=20', '--hmac-digest-type', 'SHA1'],
      {
        task: 'key-gen',
        newKeys: { file: '/k', lengths: { key: 16, hmacKey: 20 }, hmacDigest: 'sha1' },
      },
    ],
    [['--fw-list'], { task: 'fw-list' }],
    [['--fw-list-all'], { task: 'fw-list-all' }],
    [['--fw-flush'], { task: 'fw-flush', revoke: null, cut: false }],
    [['--revoke', 'user=alice'], { task: 'revoke', revoke: { by: 'user', name: 'alice' }, cut: false }],
    [['--revoke=user=a b', '--cut'], { task: 'revoke', revoke: { by: 'user', name: 'a b' }, cut: true }],
    [
      ['--revoke', `operator=0x${'ab12 '.repeat(10)}`],
      { revoke: { by: 'operator', fingerprint: 'AB12'.repeat(10) } },
    ],
    [
      ['--revoke', 'address=2001:DB8:0::7'],
      { revoke: { by: 'address', network: { address: '2001:db8::7', prefixLength: 128 } } },
    ],
    [
      ['--revoke', 'address=192.0.2.0/24'],
      { revoke: { by: 'address', network: { address: '192.0.2.0', prefixLength: 24 } } },
    ],
    [['--revoke', 'grant=62c7edd78ac6df1e'], { revoke: { by: 'grant', id: '62c7edd78ac6df1e' } }],
    [['-V', '-K'], { task: 'version' }],
    [['-K', '-h'], { task: 'help' }],
  ];
  for (const [argv, expected] of cases) t.match(readOptions(argv), expected, argv.join(' '));
});

t.test('a wrong command line is an error that says what to write', async (t) => {
  const cases: readonly (readonly [argv: readonly string[], message: string])[] = [
    [['now'], 'unexpected argument "now"; --help lists the options'],
    [['-K', '-R'], '--kill and --restart exclude each other; choose one'],
    [['-DS'], '--dump-config and --status exclude each other; choose one'],
    [['-C', 'many'], '--packet-limit: "many" is no number of packets; write one as in 100'],
    [['--key-gen', '--key-len', '33'], '--key-len: "33" is no length; write 1 to 32 bytes'],
    [['--key-gen', '--hmac-key-len', '0'], '--hmac-key-len: "0" is no length; write 1 to 128 bytes'],
    [
      ['--hmac-digest-type', 'crc'],
      '--hmac-digest-type: "crc" is no digest; write one of md5, sha1, sha256, sha384, sha512, sha3_256, sha3_512',
    ],
    [['-O', 'a,'], '--override-config: "a," is no list of files; write FILE or FILE,FILE'],
    [['--cut'], '--cut: whose connections? write --revoke operator=FINGERPRINT --cut'],
    [['--revoke', 'user=x', '--fw-list'], '--fw-list and --revoke exclude each other; choose one'],
    [
      ['--revoke', 'alice'],
      '"alice" names no grants; write operator=FINGERPRINT, user=NAME, address=IP or grant=ID',
    ],
    [
      ['--revoke', 'operator=12345'],
      'operator: "12345" is no fingerprint; write its 40 digits as the log shows them, or the last 16',
    ],
    [
      ['--revoke', 'address=bastion'],
      'address: "bastion" is no address; write 192.0.2.7 or 2001:db8::7, or a network such as 192.0.2.0/24',
    ],
    [
      ['--revoke', 'grant=62c7'],
      'grant: "62c7" is no id; write at least 8 digits of what --fw-list or the log shows',
    ],
    [['-n'], '--nfq-capture: there is no netfilter queue; write -i eth0, which needs none'],
  ];
  for (const [argv, message] of cases) {
    t.throws(() => readOptions(argv), { name: 'UsageError', message }, argv.join(' '));
  }
});

t.test('any arguments give options or a UsageError', async (t) => {
  const argument = fc.oneof(
    fc.string(),
    fc.constantFrom('-f', '-C', '--fw', '-vc', '--', '--pcap', 'x', '-K'),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(argument), (argv) => {
        try {
          readOptions(argv);
        } catch (error) {
          if (!(error instanceof UsageError)) throw error;
        }
      }),
    ),
  );
});

t.test('the help offers what there is, in lines that fit', async (t) => {
  const help = formatHelp();
  t.notMatch(help, 'nfq-capture');
  t.notOk(help.split('\n').some((line) => line.length > 110));
});
