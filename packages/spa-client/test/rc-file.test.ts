import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { ConfigError } from 'spa-host';
import t from 'tap';
import { parseRcFile, readRcFile, type Settings, stanzaSettings } from '../src/index.ts';

const directory = mkdtempSync(join(tmpdir(), 'spa-rc-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

function settings(text: string, name: string | null = null): Settings {
  return stanzaSettings(parseRcFile('rc', text), name);
}

function problem(text: string, name: string | null = null): string {
  try {
    settings(text, name);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'no problem';
}

function secretText(source: Settings['key']): string | undefined {
  return source?.kind === 'given' ? source.secret.bytes().toString() : undefined;
}

t.test('a stanza overrides [default], and its name is found whatever its case', async (t) => {
  const text = '[default]\nSPA_SERVER a\nFW_TIMEOUT 30\n[Us-East]\nSPA_SERVER: b\n';
  t.same(settings(text), { server: 'a', clientTimeoutSeconds: 30 });
  t.same(settings(text, 'uS-eAST'), { server: 'b', clientTimeoutSeconds: 30 });
});

t.test('a value ends at a blank, a semicolon or a hash', async (t) => {
  for (const rest of [' rest', '\trest', ';rest', '#rest', '   # rest', '']) {
    t.equal(secretText(settings(`[default]\nKEY abc${rest}\n`).key), 'abc', JSON.stringify(rest));
  }
});

t.test('comments, indentation, CRLF and a byte order mark are no problem', async (t) => {
  const text = '\ufeff# c\r\n  ; c\r\n[default] # c\r\n\r\n  SPA_SERVER  a\r\n   # c\r\n';
  t.same(settings(text), { server: 'a' });
});

t.test('a stanza that comes twice is one', async (t) => {
  t.same(settings('[a]\nSPA_SERVER x\n[b]\n[A]\nSPA_SERVER_PORT 1\n', 'a'), { server: 'x', serverPort: 1 });
});

t.test('a mistake in another stanza does not stand in the way', async (t) => {
  const text = '[a]\nSPA_SERVER x\n[b]\nNAT_ACCESS 10.0.0.1,22\nFROB 1\n';
  t.same(settings(text, 'a'), { server: 'x' });
});

t.test('every value of every keyword is read', async (t) => {
  const { key, hmacKey, gpgPassphrase, ...rest } = settings(`[default]
ACCESS tcp/22,udp/53
ALLOW_IP 2001:DB8::1
DIGEST_TYPE SHA512
ENCRYPTION_MODE cbc
FW_TIMEOUT 65536
GPG_EXE /usr/bin/gpg2
GPG_HOMEDIR ~/.gnupg2
GPG_NO_SIGNING_PW n
GPG_RECIPIENT r@x
GPG_RECIPIENT_KEY_FILE ~/r.asc
GPG_SIGNER s@x
GPG_SIGNER_KEY_FILE /s.asc
GPG_SIGNING_PW_BASE64 cHc=
HMAC_DIGEST_TYPE sha3_256
HMAC_KEY_BASE64 aG1hYw==
HTTP_USER_AGENT x
KEY_BASE64 a2V5
NAT_LOCAL N
NAT_RAND_PORT N
NO_SAVE_ARGS Y
RAND_PORT n
RESOLVE_HTTP_ONLY N
RESOLVE_IP_HTTPS N
RESOLVE_URL https://x,http://[::1]:8080/ip?k=v,https://x/
SERVER_RESOLVE_IPV4 Y
SPA_SERVER bastion.example.com
SPA_SERVER_PORT 1
SPA_SERVER_PROTO UDP
SPA_SOURCE_PORT 65535
SPOOF_USER alice
TIME_OFFSET -2hours
USE_GPG Y
USE_GPG_AGENT Y
USE_HMAC y
VERBOSE Y
WGET_CMD /usr/bin/wget
`);
  t.equal(secretText(key), 'key');
  t.equal(secretText(hmacKey), 'hmac');
  t.equal(gpgPassphrase?.bytes().toString(), 'pw');
  t.same(rest, {
    protocol: 'udp',
    randomPort: false,
    access: [
      { protocol: 'tcp', port: 22 },
      { protocol: 'udp', port: 53 },
    ],
    allowIp: '2001:db8::1',
    digest: 'sha512',
    cipherMode: 'cbc',
    clientTimeoutSeconds: 65536,
    gpgProgram: '/usr/bin/gpg2',
    gpgHome: join(homedir(), '.gnupg2'),
    gpgNoPassphrase: false,
    gpgRecipient: 'r@x',
    gpgRecipientKeyFile: join(homedir(), 'r.asc'),
    httpUserAgent: 'x',
    resolveHttpOnly: false,
    resolveUrls: ['https://x/', 'http://[::1]:8080/ip?k=v'],
    gpgSigner: 's@x',
    gpgSignerKeyFile: '/s.asc',
    hmacDigest: 'sha3_256',
    natLocal: false,
    natRandPort: false,
    savesArguments: false,
    serverIpv4Only: true,
    server: 'bastion.example.com',
    serverPort: 1,
    sourcePort: 65535,
    username: 'alice',
    timeOffsetSeconds: -7200,
    useGpg: true,
    useHmac: true,
    verbose: 1,
  });
});

t.test('NAT_ACCESS is a host with a port or without, of both families', async (t) => {
  for (const [value, host, port] of [
    ['10.0.0.5:23', '10.0.0.5', 23],
    ['10.0.0.5,23', '10.0.0.5', 23],
    ['10.0.0.5', '10.0.0.5', null],
    ['inside.example.org:23', 'inside.example.org', 23],
    ['db_1.inside.:23', 'db_1.inside.', 23],
    ['[2001:DB8::5]:23', '2001:db8::5', 23],
    ['2001:db8::5,23', '2001:db8::5', 23],
    ['2001:db8::5', '2001:db8::5', null],
  ] as const) {
    t.same(settings(`[default]\nNAT_ACCESS ${value}\n`), { natAccess: { host, port } }, value);
  }
});

t.test('a NAT port that is named takes back the random one of [default]', async (t) => {
  const text = '[default]\nNAT_RAND_PORT Y\n[a]\nNAT_PORT 2222\n';
  t.same(settings(text, 'a'), { natPort: 2222, natRandPort: false });
});

t.test('every mode of AES has its name, and the one of OpenPGP too', async (t) => {
  for (const mode of ['CBC', 'ecb', 'CFB', 'OFB', 'ctr', 'Legacy'])
    t.same(settings(`[default]\nENCRYPTION_MODE ${mode}\n`), { cipherMode: mode.toLowerCase() });
  t.same(settings('[default]\nENCRYPTION_MODE Asymmetric\n'), { useGpg: true });
});

t.test('ALLOW_IP source and 0.0.0.0 are the address that the packet comes from', async (t) => {
  t.same(settings('[default]\nALLOW_IP Source\n'), { allowIp: null });
  t.same(settings('[default]\nALLOW_IP 0.0.0.0\n'), { allowIp: null });
});

t.test('three keywords ask resolvers for the own address, and the last word counts', async (t) => {
  for (const line of ['ALLOW_IP Resolve', 'RESOLVE_IP_HTTPS Y', 'RESOLVE_IP_HTTP y']) {
    t.same(settings(`[default]\nALLOW_IP source\n${line}\n`), { allowIp: 'resolve' }, line);
    t.same(settings(`[default]\n${line}\nALLOW_IP source\n`), { allowIp: null }, line);
  }
  t.same(settings('[default]\nALLOW_IP resolve\nRESOLVE_IP_HTTPS N\n'), { allowIp: 'resolve' });
});

t.test('a mistake is said with file, line, keyword and what to write', async (t) => {
  const table: readonly (readonly [string, string])[] = [
    [
      'ACCESS tcp/22, udp/53',
      'ACCESS: "tcp/22," is no list of ports; write protocol/port with commas and no blanks, as in tcp/22,udp/53',
    ],
    ['ALLOW_IP 010.1.2.3', 'ALLOW_IP: "010.1.2.3" is no IP address; write an address, source or resolve'],
    ['ALLOW_IP ::', 'ALLOW_IP: "::" is no IP address; write an address, source or resolve'],
    [
      'RESOLVE_URL x.example/ip',
      'RESOLVE_URL: "x.example/ip" is no URL to ask; write https://HOST/PATH, or several with commas and no blanks',
    ],
    [
      'RESOLVE_URL https://a,ftp://b',
      'RESOLVE_URL: "ftp://b" is no URL to ask; write https://HOST/PATH, or several with commas and no blanks',
    ],
    ['HTTP_USER_AGENT é', 'HTTP_USER_AGENT: is no user agent; write 1 to 200 printable ASCII characters'],
    [
      'DIGEST_TYPE crc',
      'DIGEST_TYPE: "crc" is no digest; write one of md5, sha1, sha256, sha384, sha512, sha3_256, sha3_512',
    ],
    [
      'ENCRYPTION_MODE PCBC',
      'ENCRYPTION_MODE: "PCBC" is no mode of AES; write one of cbc, ecb, cfb, ofb, ctr, legacy',
    ],
    ['FW_TIMEOUT 65537', 'FW_TIMEOUT: "65537" is not seconds; write 0 to 65536'],
    ['HMAC_KEY __CHANGEME__', 'HMAC_KEY: still has the value of the template; put in your own'],
    ['KEY_BASE64 not*base64', 'KEY_BASE64: is no base64; write it as spa-client --key-gen prints it'],
    [
      'NAT_ACCESS 010.0.0.1,22',
      'NAT_ACCESS: "010.0.0.1,22" is no place behind the server; write HOST:PORT, as in 10.0.0.5:22',
    ],
    ...['a..b', 'a-.b', 'x'.repeat(64)].map((host): [string, string] => [
      `NAT_ACCESS ${host}`,
      `NAT_ACCESS: "${host}" is no place behind the server; write HOST:PORT, as in 10.0.0.5:22`,
    ]),
    ['NAT_ACCESS 10.0.0.1:0', 'NAT_ACCESS: "0" is not a port; write 1 to 65535'],
    ['NAT_LOCAL yes', 'NAT_LOCAL: "yes" is neither Y nor N; write Y or N'],
    ['SPA_SERVER a/b', 'SPA_SERVER: "a/b" is no host; write a host name or an IP address'],
    ['SPA_SERVER_PORT 0', 'SPA_SERVER_PORT: "0" is not a port; write 1 to 65535'],
    ['SPA_SERVER_PROTO sctp', 'SPA_SERVER_PROTO: "sctp" is no way to send a packet; write udp, tcp or http'],
    ['SPOOF_USER a:b', 'SPOOF_USER: "a:b" is no user name; write 1 to 48 letters, digits, dots, dashes'],
    ['TIME_OFFSET soon', 'TIME_OFFSET: "soon" is no time; write a number and s, m, h or d, as in 90s'],
    ['USE_GPG yes', 'USE_GPG: "yes" is neither Y nor N; write Y or N'],
    ['USE_HMAC true', 'USE_HMAC: "true" is neither Y nor N; write Y or N'],
    ['CLIENT_TIMEOUT 3', 'CLIENT_TIMEOUT: there is no such keyword; the nearest is FW_TIMEOUT'],
    ['spa_server a', 'spa_server: there is no such keyword; the nearest is SPA_SERVER'],
  ];
  for (const [line, message] of table) t.equal(problem(`[default]\n\n${line}\n`), `rc:3: ${message}`);
});

t.test('a line that is no setting is refused without repeating it, for it may be a key', async (t) => {
  for (const line of ['KEY=hush', 'KEY', 'hush', 'KEY ;hush']) {
    const message = problem(`[default]\n${line}\n`);
    t.match(message, /^rc:2: /);
    t.notMatch(message, 'hush');
  }
});

t.test('a setting before the first stanza, and a broken name, are refused', async (t) => {
  t.equal(
    problem('KEY a\n[default]\n'),
    'rc:1: KEY: stands before the first stanza; write [default] above it',
  );
  for (const name of ['[', '[]', '[ ]', '[a', '[a] b', '[[a]]']) {
    t.equal(problem(`${name}\n`), 'rc:1: this is no name of a stanza; write [NAME]', name);
  }
});

t.test('an unknown stanza names those that exist, the nearest first', async (t) => {
  t.equal(
    problem('[default]\n[eu-west-1]\n[us-east-1]\n', 'us-eats-1'),
    'rc: there is no stanza [us-eats-1]; it has us-east-1, eu-west-1, default',
  );
  t.equal(problem('', 'x'), 'rc: there is no stanza [x]; it has none');
});

t.test('a file with a secret that others can read is refused, one without is not', async (t) => {
  const secret = join(directory, 'secret');
  writeFileSync(secret, '[a]\nSPA_SERVER x\n[b]\nHMAC_KEY hush\n');
  chmodSync(secret, 0o644);
  t.throws(() => readRcFile(secret), {
    message: `${secret}:4: HMAC_KEY: holds a secret and others have access to it; run: chmod 600 ${secret}`,
  });
  chmodSync(secret, 0o600);
  t.equal(readRcFile(secret).stanzas.length, 2);
  const open = join(directory, 'open');
  writeFileSync(open, '[a]\nGPG_SIGNER x\n');
  chmodSync(open, 0o644);
  t.equal(readRcFile(open).stanzas.length, 1);
});

t.test('a file that others can change is refused: it says which programs run', async (t) => {
  const shared = join(directory, 'shared');
  writeFileSync(shared, '[a]\nGPG_EXE /usr/bin/gpg\n');
  chmodSync(shared, 0o664);
  t.throws(() => readRcFile(shared), {
    message: `${shared}: others can change it; run: chmod go-w ${shared}`,
  });
});

t.test('a file that is missing or no text is one line', async (t) => {
  const binary = join(directory, 'binary');
  writeFileSync(binary, Buffer.from([0x5b, 0xff, 0x5d]), { mode: 0o600 });
  t.throws(() => readRcFile(binary), { message: `${binary}: is no UTF-8 text` });
  t.throws(() => readRcFile(join(directory, 'missing')), { name: 'ConfigError' });
});

t.test('a secret is not printable', async (t) => {
  const { key } = settings('[default]\nKEY hush\n');
  t.notMatch(JSON.stringify(key), 'hush');
  const { inspect } = await import('node:util');
  t.notMatch(inspect(key, { depth: 9, showHidden: true }), 'hush');
});

t.test('any text gives settings or a ConfigError, nothing else', async (t) => {
  const word = fc.constantFrom(
    '[',
    ']',
    '[default]',
    '\n',
    ' ',
    '\t',
    ':',
    ';',
    '#',
    '=',
    'KEY',
    'ACCESS',
    'tcp/22',
    '__proto__',
    'constructor',
    'Y',
    '\0',
    'ü',
    '-1',
    '1e9',
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(word).map((words) => words.join('')),
          fc.string(),
        ),
        (text) => {
          problem(text);
          problem(text, 'default');
        },
      ),
      { numRuns: 2000 },
    ),
  );
  t.match(problem('[default]\n__proto__ x\n'), 'rc:2: __proto__: there is no such keyword');
});
