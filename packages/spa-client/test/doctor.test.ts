import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { lacking, lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { shortDiagnosis } from '../src/doctor/short.ts';
import { readRcFile } from '../src/rc-file.ts';
import { readRegion } from '../src/region.ts';
import { bastion, doctor, examine, file, folder, freePort, of, only } from './doctor-support.ts';

const skip = lackingPrograms('ssh');
const GREETING = 'SSH-2.0-Stand_in\r\n';
const KEY = 'the-aes-key-of-the-test';
const HMAC_KEY = 'the-hmac-key-of-the-test';
const KEYS = `KEY ${KEY}\nHMAC_KEY ${HMAC_KEY}\n`;
const CHECKS = [
  ...['rc-file', 'region', 'dns', 'route', 'clock', 'keys', 'hmac', 'size', 'port', 'packet', 'door'],
] as const;

function rcFile(t: Test, text: string, mode = 0o600): string {
  return file(folder(t), 'rc', text, mode);
}

/** A region whose port is closed for good. */
async function closedRegion(t: Test, lines = KEYS): Promise<string> {
  return rcFile(t, `[x]\nSPA_SERVER 127.0.0.1\nACCESS tcp/${await freePort()}\n${lines}`);
}

t.test('a region in order: one line a check, and the door opens', { skip }, async (t) => {
  const { port, udpPort, packets } = await bastion(t, GREETING);
  const rc = rcFile(t, `[x]\nSPA_SERVER localhost\nSPA_SERVER_PORT ${udpPort}\nACCESS tcp/${port}\n${KEYS}`);
  const result = await doctor(t, ['-4', '--rc-file', rc, 'x']);
  t.equal(result.code, 0, result.stdout + result.stderr);
  t.equal(result.stderr, '');
  const lines = result.stdout.trimEnd().split('\n');
  const [check, says] = [/^(?:ok|skip) {2,4}(\S+)/, /^.{21}(.*)$/];
  t.same(
    lines.map((line) => check.exec(line)?.[1]),
    CHECKS,
  );
  const text = (name: (typeof CHECKS)[number]): string =>
    says.exec(lines[CHECKS.indexOf(name)] ?? '')?.[1] ?? '';
  t.equal(text('rc-file'), `${rc}: nobody else can change it or read a secret`);
  t.equal(text('region'), `x: localhost tcp/${port}`);
  t.match(text('dns'), /^localhost is 127\.0\.0\.1 \(\d.*\)$/);
  t.equal(text('route'), 'to 127.0.0.1 from 127.0.0.1');
  t.equal(
    text('keys'),
    `an AES key of ${KEY.length} bytes, an HMAC key of ${HMAC_KEY.length} bytes, not the same`,
  );
  t.equal(text('hmac'), 'packets carry an HMAC (sha256)');
  t.match(text('size'), /^a packet has \d{3} characters, 399 are allowed$/);
  t.equal(text('port'), `port ${port} is closed before the packet: 127.0.0.1 refuses`);
  t.match(
    text('packet'),
    new RegExp(`^1 packet of \\d+ characters left from 127.0.0.1 to 127.0.0.1 port ${udpPort}/udp$`),
  );
  t.match(
    text('door'),
    new RegExp(`^127.0.0.1 port ${port} opened \\d.*s after the packet and says SSH-2.0-Stand_in$`),
  );
  t.equal(packets.length, 1);
});

t.test('--json is one document with all findings, and no key is in any output', { skip }, async (t) => {
  const rc = await closedRegion(t);
  const runs = await Promise.all([
    doctor(t, ['--rc-file', rc, '--no-packet', '--json', 'x']),
    doctor(t, ['--rc-file', rc, '--wait', '0.2', 'x']),
    doctor(t, ['--rc-file', await closedRegion(t, `KEY ${KEY}\nHMAC_KEY ${KEY}\n`), '--json', 'x']),
  ]);
  for (const { stdout, stderr } of runs) {
    for (const secret of [KEY, HMAC_KEY]) t.notMatch(stdout + stderr, secret);
  }
  const report = JSON.parse(runs[0].stdout);
  t.match(report, { region: 'x', result: 'ok' });
  t.same(
    report.findings.map((finding: { readonly check: string }) => finding.check),
    CHECKS,
  );
  t.match(report.findings[0], { bastion: null, check: 'rc-file', state: 'ok', todo: null });
  t.match(report.findings[9], {
    ...{ bastion: 'x', check: 'packet', state: 'skipped' },
    says: 'none was sent, as --no-packet wants it',
  });
  t.match(report.findings[10], { check: 'door', state: 'skipped', says: 'no packet was sent' });
  t.same(
    runs.map(({ code }) => code),
    [0, 1, 1],
  );
  t.equal(JSON.parse(runs[2].stdout).result, 'bad');
});

t.test('colours come on demand, and never into a pipe', { skip }, async (t) => {
  const argv = ['--rc-file', await closedRegion(t), '--no-packet', 'x'];
  const sgr = '\u001b[';
  const [plain, forced] = await Promise.all([
    doctor(t, argv),
    doctor(t, argv, { env: { FORCE_COLOR: '1', NO_COLOR: '1' } }),
  ]);
  t.notMatch(plain.stdout, sgr);
  t.match(forced.stdout, `${sgr}32mok  ${sgr}39m  rc-file`);
});

t.test(
  'a wrong command line is exit code 64, an rc file or region that is not there 78',
  { skip },
  async (t) => {
    const rc = await closedRegion(t);
    const table: readonly (readonly [readonly string[], number, RegExp])[] = [
      [[], 64, /which region\?/],
      [['x', 'y'], 64, /which region\?/],
      [['-4', '-6', 'x'], 64, /contradict/],
      [['--wait', 'long', 'x'], 64, /write seconds/],
      [
        ['--rc-file', '/nonexistent', 'x'],
        78,
        /^BAD {3}rc-file {8}\/nonexistent: cannot be read: there is no such file/,
      ],
      [['--rc-file', rc, 'xx'], 78, /^BAD {3}region {9}.*there is no region xx: did you mean x\?$/m],
      [['--help'], 0, /^sshbh doctor: why/],
    ];
    for (const [argv, code, text] of table) {
      const result = await doctor(t, argv);
      t.equal(result.code, code, argv.join(' '));
      t.match(result.stdout + result.stderr, text);
    }
  },
);

t.test(
  'an rc file that others can read is bad, and the rest is examined all the same',
  { skip },
  async (t) => {
    const rc = rcFile(t, `[x]\nSPA_SERVER 127.0.0.1\n${KEYS}`, 0o644);
    const all = await examine(rc);
    t.match(only(all, 'rc-file'), { state: 'bad', todo: `run: chmod 600 ${rc}` });
    t.match(only(all, 'keys'), { state: 'ok' });
    const writable = rcFile(t, '[x]\nSPA_SERVER 127.0.0.1\nKEY_FILE /nonexistent\n', 0o666);
    const [found, ...rest] = await examine(writable);
    t.match(found, { check: 'rc-file', state: 'bad', todo: `run: chmod go-w ${writable}` });
    t.match(rest, [{ check: 'region', state: 'skipped' }], 'what others can write runs no program');
  },
);

t.test('a wrong line is bad, and nothing can be said of the rest', async (t) => {
  const all = await examine(rcFile(t, '[x]\nSPA_SERVER 127.0.0.1\nFW_TIMEOUT soon\n'));
  t.match(only(all, 'region'), {
    state: 'bad',
    says: /:3: FW_TIMEOUT: "soon" is not seconds$/,
    todo: /^write 0/,
  });
  t.equal(all.length, 2);
  const none = await examine('/nonexistent');
  t.match(only(none, 'region'), { state: 'skipped' });
});

t.test('a name that is not found is bad, and what needs it is skipped', { skip }, async (t) => {
  const all = await examine(rcFile(t, `[x]\nSPA_SERVER nowhere.invalid\n${KEYS}`), { waitMs: 100 });
  t.match(only(all, 'dns'), {
    state: 'bad',
    says: /^nowhere\.invalid: no address found/,
    todo: /SPA_SERVER/,
  });
  const skipped = all.filter(({ state }) => state === 'skipped').map(({ check }) => check);
  t.same(skipped, ['route', 'clock', 'port', 'packet', 'door']);
  const other = await examine(rcFile(t, '[x]\nSPA_SERVER nowhere.invalid\nKEY k\nHMAC_KEY h\n'), {
    family: 6,
  });
  t.match(only(other, 'dns'), { state: 'bad', todo: 'try without -6' });
});

t.test('keys: the same twice, not there, in a file', { skip }, async (t) => {
  const directory = folder(t);
  const keyFile = file(directory, 'keys', `127.0.0.1: ${KEY}\n`);
  const look = async (lines: string) => examine(await closedRegion(t, lines));
  t.match(only(await look(`KEY ${KEY}\nHMAC_KEY ${KEY}\n`), 'keys'), {
    ...{ state: 'bad', says: 'the encryption key and the HMAC key are the same' },
    todo: /--key-gen/,
  });
  const good = await look(`KEY_FILE ${keyFile}\nHMAC_KEY ${HMAC_KEY}\n`);
  t.match(only(good, 'key-files'), { state: 'ok', says: `KEY_FILE ${keyFile} has a key for 127.0.0.1` });
  t.match(only(good, 'keys'), { state: 'ok' });
  const exposed = file(directory, 'exposed', `127.0.0.1: ${KEY}\n`, 0o640);
  const missing = await look(`KEY_FILE ${exposed}\nHMAC_KEY_FILE ${directory}/none\n`);
  t.match(of(missing, 'key-files'), [
    { state: 'bad', says: /others have access/, todo: `run: chmod 600 ${exposed}` },
    { state: 'bad', says: /none: cannot be read: there is no such file$/, todo: /rc file/ },
  ]);
  t.match(only(missing, 'size'), { state: 'skipped', says: 'the keys cannot be used' });
});

t.test('no HMAC is a warning that says why and what to do', { skip }, async (t) => {
  const finding = only(await examine(await closedRegion(t, `KEY ${KEY}\n`)), 'hmac');
  t.match(finding, { state: 'warn', says: /has to decrypt whatever/, todo: /HMAC_KEY_BASE64/ });
});

t.test('an encryption key that is asked for is a warning', { skip }, async (t) => {
  const { Secret } = await import('../src/secret.ts');
  const asked: string[] = [];
  const secrets = {
    piped: null,
    ask: async (what: string) => {
      asked.push(what);
      return new Secret(Buffer.from(KEY));
    },
  };
  const all = await examine(await closedRegion(t, `HMAC_KEY ${HMAC_KEY}\n`), { secrets, waitMs: 100 });
  t.match(of(all, 'keys'), [{ state: 'warn', todo: /KEY_BASE64/ }, { state: 'ok' }]);
  t.same(asked, ['encryption key'], 'and asked for once');
});

t.test('a packet that is too long is bad', { skip }, async (t) => {
  const ports = Array.from({ length: 20 }, (_, index) => `tcp/${60_000 + index}`).join(',');
  const rc = rcFile(t, `[x]\nSPA_SERVER 127.0.0.1\nACCESS ${ports}\nSPOOF_USER ${'u'.repeat(48)}\n${KEYS}`);
  const all = await examine(rc);
  t.match(only(all, 'size'), { state: 'bad', says: /too many for one packet$/, todo: 'send several' });
  t.match(only(all, 'packet'), { state: 'skipped', says: 'no packet can be made' });
});

t.test('a port that is open before the packet is a warning, and nothing is sent', { skip }, async (t) => {
  const server = createServer((connection) => {
    connection.on('error', () => {});
    connection.end(GREETING);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as { readonly port: number };
  const rc = rcFile(t, `[x]\nSPA_SERVER 127.0.0.1\nACCESS tcp/${port}\n${KEYS}`);
  const all = await examine(rc, { waitMs: 200 });
  t.match(only(all, 'port'), {
    state: 'warn',
    says: `127.0.0.1 port ${port} is open already, before any packet`,
  });
  t.match(only(all, 'packet'), { state: 'skipped', says: /the port was open before/ });
});

t.test('a packet that cannot leave is bad', { skip }, async (t) => {
  const taken = createSocket('udp4').bind(0, '0.0.0.0');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const rc = await closedRegion(t, `${KEYS}SPA_SOURCE_PORT ${taken.address().port}\n`);
  const all = await examine(rc, { waitMs: 200 });
  t.match(only(all, 'packet'), {
    state: 'bad',
    says: /the packet was not sent \(EADDRINUSE\)/,
    todo: /firewall/,
  });
  t.match(only(all, 'door'), { state: 'skipped', says: 'no packet was sent' });
});

t.test(
  'a door that stays closed is bad and sends to the log; one that opens to silence is a warning',
  { skip },
  async (t) => {
    const refusing = await examine(await closedRegion(t), { waitMs: 200 });
    t.match(only(refusing, 'door'), {
      ...{ state: 'bad', says: /^127\.0\.0\.1 port \d+ still refuses \d.*s after the packet$/ },
      todo: /spa-server's log/,
    });
    const { port, udpPort } = await bastion(t, '');
    const rc = rcFile(
      t,
      `[x]\nSPA_SERVER 127.0.0.1\nSPA_SERVER_PORT ${udpPort}\nACCESS tcp/${port}\n${KEYS}`,
    );
    const mute = await examine(rc, { waitMs: 5_000 });
    t.match(only(mute, 'door'), { state: 'warn', says: /but nobody there speaks$/, todo: /MaxStartups/ });
  },
);

t.test('each bastion of a region is examined', { skip }, async (t) => {
  const rc = rcFile(
    t,
    `[default]\n${KEYS}[x]\nSPA_SERVER nowhere.invalid\nFALLBACK y\n[y]\nSPA_SERVER 127.0.0.1\nACCESS tcp/${await freePort()}\n`,
  );
  const all = await examine(rc);
  t.same(
    of(all, 'dns').map(({ state }) => state),
    ['bad', 'ok'],
  );
  const { stdout, code } = await doctor(t, ['--rc-file', rc, '--no-packet', 'x']);
  t.match(stdout, '\n\ny, if x fails\nok    dns');
  t.equal(code, 1);
});

t.test('what ssh_config says of the host counts: another name, a proxy, a mistake', { skip }, async (t) => {
  const directory = folder(t);
  const { port, udpPort, packets } = await bastion(t, GREETING);
  const rc = rcFile(t, `[x]\nSPA_SERVER localhost\nSPA_SERVER_PORT ${udpPort}\nACCESS tcp/${port}\n${KEYS}`);
  const withConfig = (name: string, config: string): string => {
    const path = file(directory, `${name}.conf`, config);
    return file(directory, name, `#!/bin/sh\nexec ssh -F ${path} "$@"\n`, 0o700);
  };
  const alias = withConfig('alias', 'Host localhost\n  HostName 127.0.0.1\n');
  t.match(only(await examine(rc, { ssh: alias }), 'dns'), { state: 'ok', says: 'localhost is 127.0.0.1' });
  const proxy = withConfig('proxy', 'Host localhost\n  ProxyJump jump.invalid\n');
  const all = await examine(rc, { ssh: proxy, family: 4, waitMs: 500 });
  t.match(only(all, 'port'), { state: 'skipped', says: /through a proxy/ });
  t.match(only(all, 'packet'), { state: 'ok', says: `1 packet left to localhost port ${udpPort}/udp` });
  t.match(only(all, 'door'), { state: 'skipped', says: /cannot be seen/ });
  t.equal(packets.length, 1);
  const wrong = withConfig('wrong', 'Hots x\n');
  t.match(only(await examine(rc, { ssh: wrong }), 'dns'), {
    state: 'bad',
    says: /Bad configuration option/,
    todo: /mend/,
  });
});

const NAMESPACE = ['unshare', '-n', '--'];
/** All that is sent to 192.0.2.0/24 comes back on the loopback and belongs to nobody. */
const SILENCE = 'ip link set lo up && ip route add 192.0.2.0/24 dev lo src 127.0.0.1 && exec "$@"';

t.test('where no network is', { skip: skip || lacking() }, async (t) => {
  const rc = rcFile(t, `[x]\nSPA_SERVER 192.0.2.7\n${KEYS}`);
  const alone = await doctor(t, ['--rc-file', rc, 'x'], { wrapper: NAMESPACE });
  t.match(
    alone.stdout,
    /^BAD {3}route {10}no way to 192\.0\.2\.7 from here \(ENETUNREACH\): connect to a network/m,
  );
  t.match(alone.stdout, /^skip {2}packet {9}there is no way to the bastion$/m);
  t.equal(alone.code, 1);

  const wrapper = [...NAMESPACE, 'sh', '-c', SILENCE, 'sh'];
  const silent = await doctor(t, ['--rc-file', rc, '--wait', '0.5', 'x'], { wrapper });
  t.match(silent.stdout, /^ok {4}port .*192\.0\.2\.7 is silent$/m);
  t.match(silent.stdout, /^ok {4}packet /m);
  t.match(
    silent.stdout,
    /^BAD {3}door {11}192\.0\.2\.7 port 22 is still silent .* after the packet: on the bastion, look/m,
  );
  t.equal(silent.code, 1);
});

t.test('the short form says what is wrong at this end, and where to learn more', { skip }, async (t) => {
  const region = (rc: string) => readRegion(readRcFile(rc), 'x');
  const failed = { address: '127.0.0.1', state: 'refused' } as const;
  const last = 'sshbh doctor x says more';
  t.same(await shortDiagnosis(region(await closedRegion(t)), failed), [last]);
  const [hmac, ...rest] = await shortDiagnosis(region(await closedRegion(t, `KEY ${KEY}\n`)), failed);
  t.match(hmac, /^hmac: packets carry none/);
  t.same(rest, [last]);
  const same = region(await closedRegion(t, `KEY ${KEY}\nHMAC_KEY ${KEY}\nACCESS tcp/1\n`));
  t.same(
    await shortDiagnosis(same, { address: null, state: 'unsent' }),
    [last],
    'what sshbh said itself is left out',
  );
});

t.test(
  'on a terminal there are colours, unless NO_COLOR is set',
  { skip: skip || lackingPrograms('script') },
  async (t) => {
    const argv = ['--rc-file', await closedRegion(t), '--no-packet', 'x'];
    // script(1) makes a terminal; it takes one text for its shell, and no word of ours has a blank.
    const wrapper = ['env', 'TERM=xterm', 'sh', '-c', 'exec script -qec "$*" /dev/null', 'sh'];
    const [coloured, plain] = await Promise.all([
      doctor(t, argv, { wrapper }),
      doctor(t, argv, { wrapper, env: { NO_COLOR: '1' } }),
    ]);
    t.match(coloured.stdout, '\u001b[32mok  \u001b[39m  rc-file');
    t.match(plain.stdout, /ok {4}rc-file/);
  },
);
