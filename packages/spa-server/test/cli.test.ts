import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CommandResult, readDocTable } from 'spa-lab';
import t from 'tap';
import { ignoredKeywords } from '../src/config/keywords.ts';
import { SERVER_KEYWORDS } from '../src/config/server-config.ts';
import { ACCESS, BIN, KEY, makeSetting } from './cli-setting.ts';

t.test('the help teaches: options, examples, exit codes', async (t) => {
  const { status, stdout, stderr } = run([process.execPath, BIN, '--help']);
  t.match({ status, stderr }, { status: 0, stderr: '' });
  for (const part of ['  -c, --config-file FILE ', '  -K, --kill ', 'Examples:', 'Exit codes:', '  78  ']) {
    t.match(stdout, part);
  }
  t.notMatch(stdout, 'nfq-capture', 'what is refused is not offered');
  t.notOk(stdout.split('\n').some((line) => line.length > 110));
});

t.test('a wrong command line ends with 64 and one line', async (t) => {
  const stderr = 'spa-server: unknown option --bogus; --help lists them\n';
  t.same(run([process.execPath, BIN, '--bogus']), { status: 64, stdout: '', stderr });
});

t.test('a configuration can be checked and shown without starting anything', async (t) => {
  const { command, access, folder } = makeSetting(t);
  const [checked, shown] = [
    run(command('--exit-parse-config')),
    run(command('-D', '-vv', '-P', 'udp port 99')),
  ];
  t.match(checked, { status: 0, stderr: '' });
  const [ok, heading, ...differences] = checked.stdout.trimEnd().split('\n');
  t.equal(ok, `configuration OK: 1 stanza in ${access}, UDP port 62201`);
  t.equal(heading, 'what differs from fwknopd:');
  t.same(differences, [
    `  ${folder}/fwknopd.conf: packets come through a UDP socket; fwknopd captures them on eth0, unless ENABLE_UDP_SERVER says Y`,
  ]);
  t.match(shown, { status: 0, stderr: '' });
  const lines = [
    'ENABLE_UDP_SERVER: N',
    'PCAP_INTF: eth0',
    'PCAP_FILTER: udp port 99',
    'VERBOSE: 2',
    'SOURCE (1): ANY',
    'KEY: <see access.conf>',
    'OPEN_PORTS: tcp/22',
  ];
  for (const line of lines) t.match(shown.stdout, `${line}\n`);
  t.notMatch(shown.stdout, KEY);
});

t.test('what is shown has all settings that have an effect, those of NAT too', async (t) => {
  const access =
    'FORCE_NAT 10.0.0.5 22\nFORCE_SNAT 10.0.0.1\nNAT_TARGETS 10.0.0.0/24:22, [2001:db8::/64]:22\n';
  const config = 'ENABLE_IPT_FORWARDING Y\n';
  const { command } = makeSetting(t, { access: `${ACCESS}${access}`, config });
  const { status, stdout } = run(command('-D'));
  t.equal(status, 0);
  const [file = '', stanza = ''] = stdout.split(/^(?=SOURCE)/m);
  for (const line of [
    'FORCE_NAT: 10.0.0.5 22',
    '(inner hosts see): 10.0.0.1',
    'NAT_TARGETS: 10.0.0.0/24:22, [2001:db8::/64]:22',
  ])
    t.ok(stanza.includes(`\n${line}\n`), line);
  t.match(file, '\nENABLE_IPT_FORWARDING: Y\n');
  t.match(file, '\nIPT_DNAT_ACCESS: DNAT, nat, PREROUTING, 1, FWKNOP_PREROUTING, 1\n');
  const shown = new Set(Array.from(file.matchAll(/^(\w+): /gm), ([, name]) => name));
  const without = ignoredKeywords(SERVER_KEYWORDS);
  for (const { name, verdict } of readDocTable('fwknopd.conf')) {
    const isShown = shown.has(name.replace('FIREWD', 'IPT'));
    t.equal(isShown, verdict !== 'refused' && !without.has(name) && !NOT_SHOWN.test(name), name);
  }
});

/** Paths that others begin with, switches that can only be on, and what a roster has to have beside it. */
const NOT_SHOWN = /^(FWKNOP_CONF_DIR|ENABLE_SPA_PACKET_AGING|ENABLE_DIGEST_PERSISTENCE|SPA_ROSTER_.*)$/;

t.test(
  'keys are made for the two files of a host that has none, and are nobody else can read them',
  async (t) => {
    const file = join(t.testdir({}), 'keys');
    const command = [process.execPath, BIN, '--key-gen', '--key-len', '16', '--hmac-digest-type', 'sha1'];
    const length = (bytes: number): string => `[A-Za-z0-9+/]{${Math.floor((bytes * 4) / 3)},}=*`;
    const lines = new RegExp(`^KEY_BASE64: ${length(16)}\nHMAC_KEY_BASE64: ${length(20)}\n$`);
    t.match(run(command), { status: 0, stdout: lines, stderr: '' });
    t.match(run([...command, '--key-gen-file', file]), { status: 0, stdout: `keys to: ${file}\n` });
    t.match(readFileSync(file, 'utf8'), lines);
    t.equal(statSync(file).mode & 0o777, 0o600);
  },
);

t.test('all that is wrong with a configuration is told at once', async (t) => {
  const { command, access } = makeSetting(t, {
    access: `${ACCESS}OPEN_PORT tcp/443\nHMAC_DIGEST_TYPE crc\nSOURCE ANY\nOPEN_PORTS tcp/22\n`,
  });
  const { status, stderr } = run(command('--exit-parse-config'));
  t.equal(status, 78);
  const lines = stderr.trimEnd().split('\n');
  const beginnings = [
    `spa-server: ${access}:6: "OPEN_PORT" is no keyword`,
    `spa-server: ${access}:7: HMAC_DIGEST_TYPE: `,
    `spa-server: ${access}:8: SOURCE: this stanza has no key`,
  ];
  t.equal(lines.length, 3);
  for (const [index, beginning] of beginnings.entries()) t.ok(lines[index]?.startsWith(beginning), beginning);
});

t.test('a stanza that opens nothing any more has a warning', async (t) => {
  const { command, access } = makeSetting(t, { access: `${ACCESS}ACCESS_EXPIRE 12/31/2020\n` });
  t.match(run(command('--exit-parse-config')), {
    status: 0,
    stderr: `spa-server: ${access}:1: SOURCE: nothing opens this stanza: its ACCESS_EXPIRE has passed; remove it\n`,
  });
});

t.test('warnings of a configuration that is right go to standard error', async (t) => {
  const { command, access } = makeSetting(t, { access: ACCESS.replace('OPEN_PORTS tcp/22\n', '') });
  t.match(run(command('--exit-parse-config')), {
    status: 0,
    stdout: /^configuration OK/,
    stderr: `spa-server: ${access}:1: SOURCE: any port may be opened; write OPEN_PORTS tcp/22\n`,
  });
});

t.test('a wrong configuration ends with 78 and one line, whatever is to be done', async (t) => {
  const typo = makeSetting(t, { access: `${ACCESS}OPEN_PORT tcp/443\n` });
  const line = `spa-server: ${typo.access}:6: "OPEN_PORT" is no keyword; did you mean OPEN_PORTS?\n`;
  for (const args of [['--exit-parse-config'], ['-f'], []]) {
    t.same(run(typo.command(...args)), { status: 78, stdout: '', stderr: line }, args.join(' '));
  }
});

t.test('access.conf that others can read, and files that are not there, end with 78', async (t) => {
  const open = makeSetting(t);
  chmodSync(open.access, 0o644);
  t.match(run(open.command('--exit-parse-config')), {
    status: 78,
    stderr: `spa-server: ${open.access}: holds a secret and others have access to it; run: chmod 600 ${open.access}\n`,
  });
  t.match(run(open.command('--exit-parse-config', '-a', '/nowhere/access.conf')), {
    status: 78,
    stderr: 'spa-server: /nowhere/access.conf: cannot be read: there is no such file\n',
  });
  const main = join(open.folder, 'fwknopd.conf');
  chmodSync(main, 0o666);
  t.match(run(open.command('--exit-parse-config')), {
    status: 78,
    stderr: `spa-server: ${main}: others can change it; run: chmod go-w ${main}\n`,
  });
  t.match(run([process.execPath, BIN, '-S', '-c', '/nowhere/fwknopd.conf']), {
    status: 78,
    stderr:
      'spa-server: /nowhere/fwknopd.conf: cannot be read: there is no such file; name another with --config-file\n',
  });
  const keyFile = makeSetting(t, {
    access: 'SOURCE ANY\nGPG_DECRYPT_KEY_FILE bastion.pgp\nGPG_SIGNER_CERT_FILE x\n',
  });
  t.match(run(keyFile.command('--exit-parse-config')), {
    status: 78,
    stderr: new RegExp(
      `^spa-server: ${keyFile.access}:[23]: GPG_\\w+_FILE: .* cannot be read: there is no such file\\n$`,
    ),
  });
});

t.test('without a daemon, --status, --kill and --restart end with 1', async (t) => {
  const { command, pidFile, folder } = makeSetting(t, { config: 'FWKNOP_PID_FILE fwknopd.pid\n' });
  t.same(run(command('-S')), { status: 1, stdout: 'spa-server is not running.\n', stderr: '' });
  for (const option of ['-K', '-R']) {
    t.same(run(command(option)), { status: 1, stdout: '', stderr: 'spa-server: not running\n' });
  }
  writeFileSync(join(folder, 'fwknopd.pid'), `${process.pid}\n`);
  t.match(run(command('-S')), { status: 1 }, 'the pid of another program is stale');
  t.match(run(command('-K')), { status: 1 }, 'and is not killed');
  t.notOk(existsSync(pidFile));
});

function run(command: readonly string[]): CommandResult {
  const [program = '', ...args] = command;
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return { status, stdout, stderr };
}
