import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  HmacKey,
  type Message,
  type OpenedPacket,
  openPacket,
  parseCipherMode,
  parseDigestName,
  parsePacket,
  SymmetricKey,
} from 'spa-core';
import { lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { withoutChance } from './client-support.ts';

const CLIENT = fileURLToPath(new URL('../src/bin/spa-client.cjs', import.meta.url));

delete process.env.SPOOF_USER;
const home = mkdtempSync(join(tmpdir(), 'spa-client-'));
t.teardown(() => rmSync(home, { recursive: true, force: true }));
const children: ChildProcess[] = [];
t.teardown(() => {
  for (const child of children) child.kill('SIGKILL');
});

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the client without a terminal, in a home of its own. */
async function client(argv: readonly string[], input = ''): Promise<Run> {
  return run(process.execPath, [CLIENT, ...argv], input);
}

async function run(program: string, argv: readonly string[], input = ''): Promise<Run> {
  const child = spawn(program, argv, {
    env: { ...process.env, HOME: home, LOGNAME: 'alice' },
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  children.push(child);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

function file(name: string, text: string, mode = 0o600): string {
  const path = join(home, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** A socket that keeps what it hears. */
async function listener(
  t: Test,
  address = '127.0.0.1',
): Promise<{ readonly port: string; readonly next: () => Promise<Buffer> }> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  t.teardown(() => socket.close());
  socket.bind(0, address);
  await once(socket, 'listening');
  const heard: Buffer[] = [];
  socket.on('message', (packet) => heard.push(packet));
  const next = async (): Promise<Buffer> => {
    if (heard.length === 0) await once(socket, 'message');
    return heard.shift() ?? Buffer.alloc(0);
  };
  return { port: String(socket.address().port), next };
}

function open(packet: Buffer, key: string, hmac: string | null, digest = 'sha256'): Promise<OpenedPacket> {
  const name = parseDigestName(digest);
  if (name === null) throw new TypeError(digest);
  return openPacket(
    parsePacket(packet),
    {
      kind: 'aes',
      key: new SymmetricKey(Buffer.from(key)),
      hmac: hmac === null ? null : new HmacKey(Buffer.from(hmac), name),
    },
    { nowSeconds: Math.floor(Date.now() / 1000) },
  );
}

t.test('sends one packet that opens with the keys, silently', async (t) => {
  const { port, next } = await listener(t);
  const rc = file(
    'rc',
    '[default]\nACCESS tcp/22\n[one]\nSPA_SERVER 127.0.0.1\nALLOW_IP source\nKEY k\nHMAC_KEY h\n',
  );
  const result = await client([
    '--rc-file',
    rc,
    '-n',
    'ONE',
    '-p',
    port,
    '-f',
    '45',
    '-U',
    'bob',
    '-A',
    'tcp/22,udp/53',
  ]);
  t.same(result, { code: 0, stdout: '', stderr: '' });
  const { message } = await open(await next(), 'k', 'h');
  t.match(message, {
    username: 'bob',
    version: '3.0.0',
    clientTimeoutSeconds: 45,
    digest: 'sha256',
    request: {
      source: null,
      ports: [
        { protocol: 'tcp', port: 22 },
        { protocol: 'udp', port: 53 },
      ],
    },
  });
});

t.test('sends over IPv6, and for an IPv6 address', async (t) => {
  const { port, next } = await listener(t, '::1');
  const key = file('key', '::1: six\n');
  const result = await client(['-A', 'tcp/22', '-a', '2001:DB8:0::1', '-D', '::1', '-p', port, '-G', key]);
  t.same(result, { code: 0, stdout: '', stderr: '' });
  t.match((await open(await next(), 'six', null)).message, {
    username: 'alice',
    request: { kind: 'access', source: '2001:db8::1' },
  });
});

t.test('takes the key from standard input, a descriptor, or a file of hosts', async (t) => {
  const { port, next } = await listener(t);
  const basic = ['-A', 'tcp/22', '-s', '-D', '127.0.0.1', '-p', port];
  t.same(await client([...basic, '--stdin'], 'piped\nmore\n'), { code: 0, stdout: '', stderr: '' });
  await open(await next(), 'piped', null);
  t.match(await client([...basic, '--fd', '0'], 'piped'), { code: 0 });
  await open(await next(), 'piped', null);
  const keys = file('keys', '# 127.0.0.1: no\n127.0.0.1: first\nother: x\n 127.0.0.1:the last one\n');
  const hmacKeys = file('hmac-keys', '127.0.0.1: hmac\n');
  t.match(await client([...basic, '-G', keys, '--get-hmac-key', hmacKeys, '--hmac-digest-type', 'SHA512']), {
    code: 0,
  });
  await open(await next(), 'the last one', 'hmac', 'sha512');
  t.match(await client([...basic, '-G', file('others', 'other: x\n')]), {
    code: 78,
    stderr: `spa-client: ${home}/others: there is no key for 127.0.0.1; write 127.0.0.1: KEY\n`,
  });
});

t.test('keys on the command line work, with a word of warning', async (t) => {
  const { port, next } = await listener(t);
  const result = await client([
    '-A',
    'tcp/22',
    '-s',
    '-D',
    '127.0.0.1',
    '-p',
    port,
    '--key-base64-rijndael',
    'a2V5',
    '--key-base64-hmac=aG1hYw==',
  ]);
  t.same(result, {
    code: 0,
    stdout: '',
    stderr:
      'spa-client: --key-base64-rijndael shows the key to everybody who lists processes; write it into the rc file\n' +
      'spa-client: --key-base64-hmac shows the key to everybody who lists processes; write it into the rc file\n',
  });
  await open(await next(), 'key', 'hmac');
});

t.test('-B saves the packet that is sent, -b appends, and nobody else can read it', async (t) => {
  const { port, next } = await listener(t);
  const rc = file(
    'rc-save',
    `[default]\nACCESS tcp/22\nALLOW_IP source\nSPA_SERVER 127.0.0.1\nSPA_SERVER_PORT ${port}\nKEY k\n`,
  );
  const saved = join(home, 'packet');
  for (const [options, count] of [
    [['-B', saved], 1],
    [['-b', '-B', saved], 2],
    [['-B', saved], 1],
  ] as const) {
    t.match(await client(['--rc-file', rc, ...options]), { code: 0, stderr: '' });
    const lines = readFileSync(saved, 'utf8').split('\n');
    t.equal(lines.length - 1, count);
    t.equal(lines.at(-2), (await next()).toString());
    t.equal(statSync(saved).mode & 0o777, 0o600);
  }
});

t.test('-k prints keys for both ends, -K writes them where only the owner reads', async (t) => {
  const printed = await client(['-k']);
  t.match(printed, { code: 0, stderr: '' });
  t.match(printed.stdout, /^KEY_BASE64: [\w+/]{43}=\nHMAC_KEY_BASE64: [\w+/]{86}==\n$/);
  t.match(
    (await client(['-k', '--hmac-digest-type', 'sha1', '--key-len', '16'])).stdout,
    /^KEY_BASE64: [\w+/]{22}==\nHMAC_KEY_BASE64: [\w+/]{27}=\n$/,
  );
  t.match(await client(['-k', '--hmac-digest-type', 'sha3_256']), { code: 0, stdout: /^HMAC_KEY_BASE64: /m });
  const path = file('old-keys', 'old', 0o644);
  t.same(await client(['-K', path]), {
    code: 0,
    stdout: `[+] Wrote Rijndael and HMAC keys to: ${path}\n`,
    stderr: '',
  });
  t.match(readFileSync(path, 'utf8'), /^KEY_BASE64: /);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.match(await client(['-k', '--key-len', '33']), {
    code: 64,
    stderr: 'spa-client: --key-len: "33" is no length; write 1 to 32 bytes\n',
  });
});

t.test('--stanza-list, --version and --help', async (t) => {
  const rc = file('rc-list', '[default]\n[One]\n[two]\n');
  t.same(await client(['--rc-file', rc, '--stanza-list']), {
    code: 0,
    stdout: `The following stanzas are configured in ${rc} :\n - One\n - two\n`,
    stderr: '',
  });
  t.match((await client(['-V'])).stdout, /^spa-client \d+\.\d+\.\d+, FKO protocol version 3\.0\.0\n$/);
  const help = await client(['--help']);
  t.match(help, { code: 0, stderr: '' });
  for (const part of ['-A, --access', '--gpg-signer-key-file FILE', 'IPv6', '~/.fwknoprc'])
    t.match(help.stdout, part);
  t.notMatch(help.stdout, '--icmp-type');
});

t.test('without an rc file in the home directory it works, and makes none', async (t) => {
  t.match(await client(['-T', '-A', 'tcp/22', '-s', '--stdin'], 'k'), { code: 0, stderr: '' });
  t.throws(() => statSync(join(home, '.fwknoprc')));
});

t.test('every mistake is one line and its exit code', async (t) => {
  const rc = file(
    'rc-bad',
    '[default]\nACCESS tcp/22\nALLOW_IP source\n[a]\nSPA_SERVER 127.0.0.1\nUSE_HMAC yes\n[b]\nKEY same\nHMAC_KEY same\n[c]\nKEY 123456789012345678901234567890123\n[d]\nKEY k\nSPA_SERVER nowhere.invalid\n',
  );
  const open = file('rc-open', '[a]\nKEY x\n', 0o644);
  const basic = ['--rc-file', rc];
  const table: readonly (readonly [readonly string[], number, string])[] = [
    [['--frob'], 64, 'unknown option --frob; --help lists them'],
    [
      ['--key'],
      64,
      'option --key is ambiguous: --key-rijndael, --key-base64-rijndael, --key-hmac, --key-base64-hmac, --key-gen, --key-gen-file, --key-len',
    ],
    [['-A'], 64, 'option -A needs a value: -A LIST'],
    [['tcp/22'], 64, 'what is "tcp/22"? every value belongs to an option'],
    [
      ['-A', 'tcp/0'],
      64,
      '--access: "tcp/0" is no list of ports; write protocol/port with commas and no blanks, as in tcp/22,udp/53',
    ],
    [['-N', '10.0.0.1:'], 64, '--nat-access: "" is not a port; write 1 to 65535'],
    [['-C', 'reboot', '-N', 'x'], 64, '--server-cmd and --nat-access contradict each other; give one'],
    [['-C', 'caf\u00e9'], 64, '--server-cmd: is no command; write printable ASCII'],
    [['-R'], 64, 'which server? give -D HOST, or -n NAME of a stanza with SPA_SERVER'],
    [['-R', '-s'], 64, '--source-ip and --resolve-ip-https contradict each other; give one'],
    [
      ['-T', '-R', '--resolve-url', 'http://127.0.0.1:1/'],
      64,
      'http://127.0.0.1:1/: on plain HTTP anybody on the way can say for whom the door opens; write https://, or allow it with --resolve-http-only (RESOLVE_HTTP_ONLY Y in the rc file)',
    ],
    [
      ['-T', '-R', '--resolve-http-only', '--resolve-url', 'https://x'],
      64,
      'https://x/ contradicts --resolve-http-only (RESOLVE_HTTP_ONLY Y); take that out, or give --resolve-url http://HOST/ (RESOLVE_URL)',
    ],
    [
      ['-T', '-R', '--resolve-http-only', '--resolve-url', 'http://127.0.0.1:1'],
      1,
      'your own address is not known: http://127.0.0.1:1/ refused the connection; write ALLOW_IP ADDRESS, or ALLOW_IP source',
    ],
    [
      ['-P', 'icmp'],
      64,
      '--server-proto: icmp takes a raw socket, which only root has; write udp, tcp or http',
    ],
    [
      ['-T', '-A', 'tcp/22', '-s', '-H', 'proxy:3128'],
      64,
      'a proxy passes HTTP on only; give -P http too, or leave -H out',
    ],
    [
      ['-H', 'http://me:secret@proxy'],
      64,
      '--http-proxy: no user and no password is sent to a proxy; write http://HOST:PORT',
    ],
    [['-H', 'https://proxy'], 64, '--http-proxy: "https://proxy" is no proxy; write http://HOST:PORT'],
    [
      ['-M', 'PCBC'],
      64,
      '--encryption-mode: "PCBC" is no mode of AES; write one of cbc, ecb, cfb, ofb, ctr, legacy',
    ],
    [
      ['-T', '-M', 'legacy', ...basic, '-n', 'b'],
      64,
      'legacy mode and an HMAC do not go together; write ENCRYPTION_MODE CBC, here and in access.conf',
    ],
    [['-s', '-a', '192.0.2.1'], 64, '--allow-ip and --source-ip contradict each other; give one'],
    [['--fd', 'x', '-T', ...basic], 64, '--fd: "x" is no file descriptor'],
    [['--fd', '77', '-T', ...basic], 78, 'file descriptor 77: cannot be read: EBADF'],
    [['--stdin', '-T', ...basic], 78, 'file descriptor 0: no secret came from it'],
    [['-n', 'x', '--no-rc-file'], 64, '-n needs an rc file'],
    [['--stanza-list', '--no-home-dir'], 64, '--stanza-list needs an rc file'],
    [['--stanza-list'], 78, `${home}/.fwknoprc: cannot be read: there is no such file`],
    [[...basic], 64, 'which server? give -D HOST, or -n NAME of a stanza with SPA_SERVER'],
    [
      ['-T', ...basic],
      64,
      'no encryption key is given, and there is no terminal to ask on; write it into the rc file',
    ],
    [['-b', ...basic], 64, '-b appends to the file of -B; give -B FILE too'],
    [
      ['-T', '-g', ...basic],
      64,
      'encrypt to whom? give --gpg-recipient-key KEY or --gpg-recipient-key-file FILE (GPG_RECIPIENT, GPG_RECIPIENT_KEY_FILE in the rc file)',
    ],
    [['-n', 'a', ...basic], 78, `${rc}:6: USE_HMAC: "yes" is neither Y nor N; write Y or N`],
    [
      ['-n', 'b', '-T', ...basic],
      78,
      'the encryption key and the HMAC key are the same; make two with spa-client --key-gen',
    ],
    [['-n', 'c', '-T', ...basic], 78, 'the encryption key has 33 bytes; it must have 1 to 32'],
    [['-n', 'd', ...basic], 1, 'nowhere.invalid: no address found (ENOTFOUND)'],
    [
      ['--rc-file', open, '-n', 'a'],
      78,
      `${open}:2: KEY: holds a secret and others have access to it; run: chmod 600 ${open}`,
    ],
    [['--rc-file', join(home, 'none')], 78, `${home}/none: cannot be read: there is no such file`],
    [
      ['-B', join(home, 'none', 'x'), '-T', '-n', 'd', ...basic],
      78,
      `${home}/none/x: cannot be written: there is no such file`,
    ],
  ];
  const results = await Promise.all(table.map(([argv]) => client(argv)));
  for (const [index, [argv, code, message]] of table.entries()) {
    t.same(results[index], { code, stdout: '', stderr: `spa-client: ${message}\n` }, argv.join(' '));
  }
});

t.test('a packet that no fwknopd would take is not sent', async (t) => {
  const { port } = await listener(t);
  const ports = (count: number): string =>
    Array.from({ length: count }, (_, index) => `tcp/${60_000 + index}`).join(',');
  const inside = `${'inside.'.repeat(8)}example`;
  const rows: readonly (readonly [readonly string[], RegExp])[] = [
    [['-A', ports(18)], /: ask for fewer ports\n$/],
    [['-A', ports(12), '-m', 'sha512'], /: ask for fewer ports, or use the digest sha256\n$/],
    [
      ['-A', ports(8), '-N', inside],
      /: ask for fewer ports, or give the address of the host inside, not its name\n$/,
    ],
    [['-C', 'x'.repeat(150)], /: write a shorter command\n$/],
  ];
  for (const [argv, stderr] of rows) {
    const result = await client([...argv, '-s', '-D', '127.0.0.1', '-p', port, '--stdin'], 'k');
    t.match(result, { code: 78, stderr }, argv.join(' '));
  }
});

t.test(
  'asks for keys on the terminal without showing them',
  { skip: lackingPrograms('script') },
  async (t) => {
    const rc = file('rc-ask', '[default]\nACCESS tcp/22\nALLOW_IP source\nUSE_HMAC Y\n');
    const command = `${process.execPath} ${CLIENT} --rc-file ${rc} -T`;
    const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(child);
    let screen = '';
    const answers = [
      ['Enter encryption key: ', 'hush\r'],
      ['Enter HMAC key: ', 'hushhush\r'],
    ] as const;
    let asked = 0;
    child.stdout.on('data', (chunk) => {
      screen += chunk;
      const next = answers[asked];
      if (next === undefined || !screen.includes(next[0])) return;
      asked += 1;
      // A moment for the terminal to stop showing what is typed.
      setTimeout(() => child.stdin.write(next[1]), 100);
    });
    const [code] = await once(child, 'close');
    t.equal(code, 0);
    t.notMatch(screen, 'hush');
    const packet = /Final SPA Data: (\S+)/.exec(screen)?.[1] ?? '';
    await open(Buffer.from(packet), 'hush', 'hushhush');
  },
);

t.test(
  '-T prints the fields as fwknop does, and with -v the decoded ones',
  { skip: lackingPrograms('fwknop') },
  async (t) => {
    const variants = [
      [],
      ['-f', '90', '-m', 'sha512'],
      ['--key-hmac', 'h'],
      ['--key-hmac', 'h', '--hmac-digest-type', 'sha3_256', '-U', 'some user', '-S', '4711', '-p', '1234'],
      ['--time-offset-minus', '2min', '-m', 'md5', '-a', '192.0.2.9'],
      ['-A', 'tcp/22', '-N', '10.0.0.5:23'],
      ['-A', 'tcp/22', '-N', '10.0.0.5,23', '--nat-port', '2222', '-f', '30', '-M', 'CTR'],
      ['-A', 'udp/53', '-N', 'inside.example.org', '-M', 'cfb', '-m', 'sha384'],
      ['-A', 'tcp/22', '-N', '10.0.0.5', '--nat-rand-port', '-M', 'OFB', '-m', 'sha1'],
      ['-A', 'tcp/22', '--nat-local', '--nat-port', '2222', '-M', 'ecb', '-m', 'sha3_256'],
      ['-A', 'tcp/22', '--nat-local', '-N', '127.0.0.1:24', '-f', '30', '-M', 'legacy', '-m', 'sha3_512'],
      ['-C', '/usr/bin/id -u'],
      ...['md5', 'sha1', 'sha384', 'sha512', 'sha3_512'].map((name) => [
        ...['-C', 'id', '--key-hmac', 'h', '--hmac-digest-type', name],
      ]),
    ];
    for (const variant of variants) {
      const address = variant.includes('-a') ? [] : ['-s'];
      for (const more of variant === variants[0] ? [['-T'], ['-T', '-v']] : [['-T', '-v']]) {
        const argv = [
          ...(variant.includes('-A') || variant.includes('-C') ? [] : ['-A', 'tcp/22,udp/53']),
          ...[...address, '-D', '127.0.0.1', '--key-rijndael', 'k'],
          ...variant,
          ...more,
        ];
        const [ours, theirs] = await Promise.all([
          client(['--no-rc-file', ...argv]),
          run('fwknop', ['--no-rc-file', '--no-save-args', ...argv]),
        ]);
        t.equal(ours.code, theirs.code);
        t.same(await openFinalData(ours.stdout, variant), await openFinalData(theirs.stdout, variant));
        t.equal(withoutChance(ours.stdout), withoutChance(theirs.stdout), argv.join(' '));
      }
    }
  },
);

/** The message of the packet that is printed first, without what differs between any two: time, and what is random. */
async function openFinalData(stdout: string, argv: readonly string[]): Promise<Partial<Message>> {
  const after = (option: string, otherwise: string): string =>
    argv.includes(option) ? (argv[argv.indexOf(option) + 1] ?? '') : otherwise;
  const [, packet = ''] = /Final SPA Data: (\S+)/.exec(stdout) ?? [];
  const mode = parseCipherMode(after('-M', 'cbc')) ?? 'cbc';
  const digest = parseDigestName(after('--hmac-digest-type', 'sha256')) ?? 'sha256';
  const { message } = await openPacket(
    parsePacket(Buffer.from(packet)),
    {
      kind: 'aes',
      key: new SymmetricKey(Buffer.from('k'), mode),
      hmac: argv.includes('--key-hmac') ? new HmacKey(Buffer.from('h'), digest) : null,
    },
    { nowSeconds: Math.floor(Date.now() / 1000) },
  );
  const { randomValue: _, timestampSeconds: __, ...rest } = message;
  if (!argv.includes('--nat-rand-port') || rest.request.kind === 'command') return rest;
  const ports = rest.request.ports.map(({ protocol }) => ({ protocol, port: 0 }));
  return { ...rest, request: { ...rest.request, ports } };
}
