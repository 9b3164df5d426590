import fc from 'fast-check';
import { ConfigError } from 'spa-host';
import t from 'tap';
import type { StanzaText } from '../src/config/access-config.ts';
import { parseAccessText } from './access-text.ts';

const FILE = '/etc/fwknop/access.conf';
const KEY = 'KEY_BASE64 c2VjcmV0LWtleS1vZi10aGUtdGVzdA==';
const HMAC = 'HMAC_KEY_BASE64 aG1hYy1rZXktb2YtdGhlLXRlc3Q';
const FINGERPRINT = '00CC95F05BC146B6AC4038C9E36F443C6A3FAD56';

const parse = (text: string) => parseAccessText(FILE, text);
const stanza = (...lines: readonly string[]): StanzaText => {
  const [first, ...others] = parse(['SOURCE ANY', ...lines].join('\n')).value;
  if (first === undefined || others.length > 0) throw new Error('not one stanza');
  return first;
};

t.test('the smallest stanza has the defaults of fwknopd', async (t) => {
  t.match(stanza(KEY), {
    number: 1,
    place: `${FILE}:1`,
    sources: 'any',
    hmac: null,
    openpgp: null,
    openPorts: null,
    restrictPorts: [],
    accessTimeoutSeconds: 30,
    maxTimeoutSeconds: 300,
    requireSourceAddress: false,
    requireUsername: null,
  });
});

t.test('keywords of a stanza set what they are called after', async (t) => {
  const ssh = { protocol: 'tcp', port: 22 };
  const gpg = ['GPG_DECRYPT_ID bastion@example.org', `GPG_FINGERPRINT_ID ${FINGERPRINT.toLowerCase()}`];
  const cases: readonly (readonly [lines: readonly string[], expected: object])[] = [
    [['OPEN_PORTS TCP/22, udp/53'], { openPorts: [ssh, { protocol: 'udp', port: 53 }] }],
    [['RESTRICT_PORTS tcp/22'], { restrictPorts: [ssh] }],
    [['FW_ACCESS_TIMEOUT 60', 'MAX_FW_TIMEOUT 90'], { accessTimeoutSeconds: 60, maxTimeoutSeconds: 90 }],
    [['MAX_FW_TIMEOUT 10'], { accessTimeoutSeconds: 10, maxTimeoutSeconds: 10 }],
    [['FW_ACCESS_TIMEOUT 0'], { accessTimeoutSeconds: 30, maxTimeoutSeconds: 300 }],
    [['FW_ACCESS_TIMEOUT 3600'], { accessTimeoutSeconds: 3600, maxTimeoutSeconds: 3600 }],
    [
      ['ACCESS_EXPIRE 1/2/2030', 'ACCESS_EXPIRE 12/31/2030'],
      { expiresAtSeconds: new Date(2030, 11, 31).getTime() / 1000 },
    ],
    [['ACCESS_EXPIRE 12/31/2030', 'ACCESS_EXPIRE_EPOCH 1924988400'], { expiresAtSeconds: 1_924_988_400 }],
    [
      ['DESTINATION 192.0.2.7, 10.0.0.0/8'],
      {
        destinations: [
          { address: '192.0.2.7', prefixLength: 32 },
          { address: '10.0.0.0', prefixLength: 8 },
        ],
      },
    ],
    [['DESTINATION ANY'], { destinations: 'any' }],
    [['ENCRYPTION_MODE ctr'], { symmetric: { mode: 'ctr' } }],
    [['ENCRYPTION_MODE Legacy'], { symmetric: { mode: 'legacy' } }],
    [['REQUIRE_SOURCE_ADDRESS off'], { requireSourceAddress: false }],
    [['REQUIRE_SOURCE_ADDRESS Y'], { requireSourceAddress: true }],
    [['REQUIRE_SOURCE yes'], { requireSourceAddress: true }],
    [['REQUIRE_USERNAME alice'], { requireUsername: 'alice' }],
    [[HMAC, 'HMAC_DIGEST_TYPE SHA512'], { hmac: { digest: 'sha512' } }],
    [[HMAC], { hmac: { digest: 'sha256' } }],
    [['HMAC_KEY a pass phrase'], { hmac: { digest: 'sha256' } }],
    [['ENCRYPTION_MODE cbc', 'DESTINATION any'], {}],
    [
      [...gpg, 'GPG_HOME_DIR keys', 'GPG_DECRYPT_PW swordfish', 'GPG_REQUIRE_SIG N'],
      {
        openpgp: {
          homeDirectory: '/etc/fwknop/keys',
          decryptId: { value: 'bastion@example.org' },
          fingerprints: { value: [FINGERPRINT] },
          remoteIds: null,
          requireSignature: true,
        },
      },
    ],
    [
      ['GPG_DECRYPT_ID 1234ABCD', 'GPG_REMOTE_ID 0x1234abcd, 1234ABCD1234ABCD'],
      { openpgp: { remoteIds: { value: ['1234ABCD', '1234ABCD1234ABCD'] } } },
    ],
    [
      ['GPG_DECRYPT_KEY_FILE /k', 'GPG_SIGNER_CERT_FILE /c'],
      { openpgp: { decryptKeyFile: { value: '/k' }, signerCertFile: { value: '/c' }, decryptId: null } },
    ],
    [['GPG_DECRYPT_ID 1234ABCD', 'GPG_DISABLE_SIG Y'], { openpgp: { requireSignature: false } }],
    [
      ['GPG_DECRYPT_ID 1234ABCD', 'GPG_REQUIRE_SIG Y', 'GPG_DISABLE_SIG Y'],
      { openpgp: { requireSignature: true, validSigners: { keyword: 'GPG_DISABLE_SIG' } } },
    ],
    [
      ['GPG_DECRYPT_ID 1234ABCD', 'GPG_REMOTE_ID 1234ABCD', 'GPG_REQUIRE_SIG Y', 'GPG_DISABLE_SIG Y'],
      { openpgp: { requireSignature: true, validSigners: null } },
    ],
  ];
  for (const [lines, expected] of cases) t.match(stanza(KEY, ...lines), expected, lines.join('; '));
});

t.test('SOURCE is anybody, or addresses and networks of both families', async (t) => {
  const sources = (value: string) => parse(`SOURCE ${value}\n${KEY}`).value[0]?.sources;
  t.equal(sources('any'), 'any');
  t.same(sources('192.0.2.7, 10.0.0.0/8,10.1.0.0/255.255.0.0, 2001:db8::/32'), [
    { address: '192.0.2.7', prefixLength: 32 },
    { address: '10.0.0.0', prefixLength: 8 },
    { address: '10.1.0.0', prefixLength: 16 },
    { address: '2001:db8::', prefixLength: 32 },
  ]);
});

t.test('keys are text, or base64 with or without padding', async (t) => {
  const bytes = (line: string) => stanza(line).symmetric?.bytes().toString('latin1');
  t.equal(bytes('KEY a # b'), 'a # b');
  t.equal(bytes('KEY_BASE64 YWI='), 'ab');
  t.equal(bytes('KEY_BASE64 YWI'), 'ab');
  t.equal(bytes(`KEY ${'k'.repeat(32)}`), 'k'.repeat(32));
  t.equal(stanza(KEY, `HMAC_KEY ${'h'.repeat(128)}`).hmac?.bytes().length, 128);
});

t.test('each SOURCE starts a stanza, numbered in order', async (t) => {
  const { value } = parse(`SOURCE 192.0.2.7\n${KEY}\n\n# next\nSOURCE: ANY\nKEY other\n`);
  t.match(value, [
    { number: 1, place: `${FILE}:1` },
    { number: 2, place: `${FILE}:5`, sources: 'any' },
  ]);
});

t.test('what is wrong is one line with the place and what to write', async (t) => {
  const cases: readonly (readonly [lines: readonly string[], message: string])[] = [
    [['OPEN_PORT tcp/22'], ':2: "OPEN_PORT" is no keyword; did you mean OPEN_PORTS?'],
    [['open_ports tcp/22'], ':2: "open_ports" is no keyword; did you mean OPEN_PORTS?'],
    [['hunter2'], ':2: this line is no setting; write NAME value, with a blank between them'],
    [['KEY = hunter2'], ':2: there is an "=" on this line; write NAME value without it'],
    [[], ':1: SOURCE: this stanza has no key; write KEY_BASE64 and HMAC_KEY_BASE64, or GPG_DECRYPT_ID'],
    [
      ['KEY_BASE64 __CHANGEME__'],
      ':2: KEY_BASE64: this still is the placeholder __CHANGEME__; write a key of your own',
    ],
    [
      ['KEY_BASE64 hunter2*'],
      ':2: KEY_BASE64: this is no standard base64; write what "openssl rand -base64 32" prints',
    ],
    [
      ['KEY_BASE64 YWI=='],
      ':2: KEY_BASE64: this is no standard base64; write what "openssl rand -base64 32" prints',
    ],
    [
      ['KEY_BASE64 YW-_'],
      ':2: KEY_BASE64: this is no standard base64; write what "openssl rand -base64 32" prints',
    ],
    [[`KEY ${'k'.repeat(33)}`], ':2: KEY: this key has 33 bytes; write one of at most 32'],
    [[KEY, `HMAC_KEY ${'h'.repeat(129)}`], ':3: HMAC_KEY: this key has 129 bytes; write one of at most 128'],
    [
      ['KEY same', 'HMAC_KEY same'],
      ':3: HMAC_KEY: the two keys of this stanza are equal; write two different ones',
    ],
    [
      [KEY, 'OPEN_PORTS tcp/20-30'],
      ':3: OPEN_PORTS: "tcp/20-30" is a range; write one protocol/port at a time, as in tcp/20, tcp/30',
    ],
    [[KEY, 'OPEN_PORTS tcp/22, tcp/22'], ':3: OPEN_PORTS: "tcp/22" is here twice; write it once'],
    [
      [KEY, 'OPEN_PORTS tcp/22 # ssh'],
      ':3: OPEN_PORTS: "tcp/22 # ssh": a comment stands on a line of its own; write tcp/22 alone',
    ],
    [[KEY, 'OPEN_PORTS tcp/'], ':3: OPEN_PORTS: "tcp/" is no port; write protocol/port, as in tcp/22'],
    [[KEY, 'OPEN_PORTS tcp/22,'], ':3: OPEN_PORTS: "" is no port; write protocol/port, as in tcp/22'],
    [
      [KEY, 'FW_ACCESS_TIMEOUT -1'],
      ':3: FW_ACCESS_TIMEOUT: "-1" is out of range; write a number from 0 to 8388608 (seconds)',
    ],
    [
      [KEY, 'FW_ACCESS_TIMEOUT 301', 'MAX_FW_TIMEOUT 300'],
      ':3: FW_ACCESS_TIMEOUT: 301 is more than MAX_FW_TIMEOUT (300); write MAX_FW_TIMEOUT 301 too, or less here',
    ],
    [
      [KEY, 'REQUIRE_SOURCE_ADDRESS on'],
      ':3: REQUIRE_SOURCE_ADDRESS: "on" is neither yes nor no; write Y or N',
    ],
    [[KEY, 'REQUIRE_SOURCE 1'], ':3: REQUIRE_SOURCE: "1" is neither yes nor no; write Y or N'],
    [
      [KEY, 'REQUIRE_USERNAME a:b'],
      ':3: REQUIRE_USERNAME: no client can send the user name "a:b"; write a shorter or plainer one',
    ],
    [
      [KEY, 'ENCRYPTION_MODE PCBC'],
      ':3: ENCRYPTION_MODE: "PCBC" is no mode; write CBC here and on the client (or CTR, CFB, OFB, ECB, legacy, and Asymmetric for OpenPGP)',
    ],
    [
      [KEY, 'ENCRYPTION_MODE Asymmetric'],
      ':3: ENCRYPTION_MODE: Asymmetric needs OpenPGP keys; write GPG_DECRYPT_ID too, or CBC',
    ],
    [
      [KEY, HMAC, 'HMAC_DIGEST_TYPE sha3'],
      ':4: HMAC_DIGEST_TYPE: "sha3" is no digest; write sha256 here and on the client',
    ],
    [
      [KEY, 'HMAC_DIGEST_TYPE sha256'],
      ':3: HMAC_DIGEST_TYPE: there is no HMAC key; write HMAC_KEY_BASE64 too',
    ],
    [
      [KEY, 'FORCE_NAT inner.example.org 22'],
      ':3: FORCE_NAT: "inner.example.org 22" is no address with a port; write FORCE_NAT 10.0.0.5 22',
    ],
    ...['2030-01-01', '02/30/2030', '13/01/2030', '12/31/30'].map(
      (date) =>
        [
          [KEY, `ACCESS_EXPIRE ${date}`],
          `:3: ACCESS_EXPIRE: "${date}" is no date; write month, day and year, as in 12/31/2030`,
        ] as const,
    ),
    [
      [KEY, 'ACCESS_EXPIRE_EPOCH never'],
      ':3: ACCESS_EXPIRE_EPOCH: "never" is out of range; write a number from 1 to 9999999999 (seconds since 1970)',
    ],
    [[KEY, '%include /x'], ':3: %include: /x: cannot be read: there is no such file'],
    [
      [KEY, 'DESTINATION here'],
      ':3: DESTINATION: "here" is no address or network; write ANY, 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32',
    ],
    [
      ['GPG_DECRYPT_ID 1234ABCD'],
      ':2: GPG_DECRYPT_ID: nobody may sign; write GPG_FINGERPRINT_ID with the full fingerprints of the operators',
    ],
    [
      [KEY, 'GPG_REMOTE_ID 1234ABCD'],
      ":3: GPG_REMOTE_ID: this needs the bastion's own key; write GPG_DECRYPT_ID (a fingerprint in GPG_HOME_DIR) or GPG_DECRYPT_KEY_FILE",
    ],
    [
      ['GPG_DECRYPT_ID 1234ABCD', 'GPG_REMOTE_ID alice@x'],
      ':3: GPG_REMOTE_ID: "alice@x" is no key ID; write 8, 16 or (best) all 40 hexadecimal digits',
    ],
    [
      ['GPG_DECRYPT_ID 1234ABCD', 'GPG_FINGERPRINT_ID 1234ABCD'],
      ':3: GPG_FINGERPRINT_ID: "1234ABCD" is no fingerprint; write the 40 hexadecimal digits that gpg --list-keys shows',
    ],
    [
      ['GPG_DECRYPT_ID --yes'],
      ':2: GPG_DECRYPT_ID: "--yes" names no key; write the fingerprint of the bastion\'s key',
    ],
    [
      ['GPG_DECRYPT_ID 1234ABCD', 'GPG_DECRYPT_PW __CHANGEME__'],
      ':3: GPG_DECRYPT_PW: this still is the placeholder __CHANGEME__; write a key of your own',
    ],
  ];
  for (const [lines, message] of cases) {
    t.throws(() => stanza(...lines), { name: 'ConfigError', message: `${FILE}${message}` }, lines.join('; '));
  }
});

t.test('a file without a stanza is an error', async (t) => {
  const cases: readonly (readonly [text: string, message: string])[] = [
    ['# nothing\n', ': there is no stanza; write SOURCE ANY and below it keys and OPEN_PORTS'],
    [KEY, ':1: KEY_BASE64: this belongs to no stanza; write a line SOURCE ANY above it'],
    [
      'SOURCE 192.0.2.0/33',
      ':1: SOURCE: "192.0.2.0/33" is no address or network; write ANY, 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32',
    ],
    [
      'SOURCE 10.0.0.0/255.0.255.0',
      ':1: SOURCE: "10.0.0.0/255.0.255.0" is no address or network; write ANY, 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32',
    ],
    [
      'SOURCE 127.1',
      ':1: SOURCE: "127.1" is no address or network; write ANY, 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32',
    ],
    ['SOURCE 0.0.0.0/0', ':1: SOURCE: "0.0.0.0/0" is everybody; write ANY'],
  ];
  for (const [text, message] of cases) t.throws(() => parse(text), { message: `${FILE}${message}` }, text);
});

t.test('what is allowed and unwise is warned of', async (t) => {
  t.same(
    parse(['SOURCE ANY', KEY, HMAC, 'OPEN_PORTS tcp/22', 'REQUIRE_SOURCE_ADDRESS Y'].join('\n')).warnings,
    [],
  );
  t.match(parse(['SOURCE ANY', KEY, 'GPG_DECRYPT_ID 1234ABCD', 'GPG_DISABLE_SIG Y'].join('\n')).warnings, [
    `${FILE}:1: SOURCE: any port may be opened; write OPEN_PORTS tcp/22`,
    `${FILE}:1: SOURCE: packets are not authenticated before they are decrypted; write HMAC_KEY_BASE64`,
    /REQUIRE_SOURCE_ADDRESS Y$/,
    new RegExp(`^${FILE}:4: GPG_DISABLE_SIG: SIGNATURES ARE NOT CHECKED`),
  ]);
});

t.test('a stanza that is printed shows no key', async (t) => {
  const text = JSON.stringify(stanza('KEY hunter2hunter2', 'HMAC_KEY swordfish', 'OPEN_PORTS tcp/22'));
  t.notMatch(text, 'hunter2');
  t.notMatch(text, 'swordfish');
});

t.test('a weak mode and a weak digest are there for whoever needs them, with a warning', async (t) => {
  const { warnings } = parse(
    ['SOURCE ANY', KEY, HMAC, 'HMAC_DIGEST_TYPE md5', 'ENCRYPTION_MODE ofb'].join('\n'),
  );
  const weak = warnings.filter((line) => line.endsWith('here and on the client'));
  t.same(weak, [
    `${FILE}:4: HMAC_DIGEST_TYPE: md5 is weak; write sha256 here and on the client`,
    `${FILE}:5: ENCRYPTION_MODE: nothing but the HMAC protects a packet in OFB mode from being changed; write CBC here and on the client`,
  ]);
  t.notMatch(parse(`SOURCE ANY\n${KEY}\n${HMAC}\nENCRYPTION_MODE CBC`).warnings.join(), 'on the client');
});

t.test('pass phrases and short key IDs work, and a warning says what to write instead', async (t) => {
  const { warnings } = parse(
    [
      'SOURCE ANY',
      'KEY swordfish',
      'HMAC_KEY trout',
      'SOURCE ANY',
      KEY,
      'KEY pike',
      'HMAC_KEY eel',
      HMAC,
    ].join('\n'),
  );
  const guessed = (line: number, keyword: string): string =>
    `${FILE}:${line}: ${keyword}: a pass phrase can be guessed by whoever has one packet; write ${keyword}_BASE64 with a random key (spa-client --key-gen) here and on the client`;
  t.same(
    warnings.filter((line) => line.includes('guessed')),
    [guessed(2, 'KEY'), guessed(3, 'HMAC_KEY'), guessed(6, 'KEY')],
    'of the lines that count',
  );
  const signed = (ids: string): readonly string[] =>
    parse(`SOURCE ANY\nGPG_DECRYPT_ID 1234ABCD\nGPG_REMOTE_ID ${ids}`).warnings.filter((line) =>
      line.includes('GPG_REMOTE_ID'),
    );
  t.same(signed('A'.repeat(16)), []);
  t.same(signed(`${'A'.repeat(40)}, 1234abcd`), [
    `${FILE}:3: GPG_REMOTE_ID: a key with the ID 1234ABCD can be made by anybody; write GPG_FINGERPRINT_ID with all 40 digits`,
  ]);
});

t.test('of what a stanza says twice the last line counts, and a warning says so', async (t) => {
  const { value, warnings } = parse(
    ['SOURCE ANY', KEY, 'OPEN_PORTS tcp/22', 'KEY last', 'OPEN_PORTS tcp/443'].join('\n'),
  );
  t.match(value, [{ openPorts: [{ protocol: 'tcp', port: 443 }] }]);
  t.equal(value[0]?.symmetric?.bytes().toString(), 'last');
  t.same(warnings.slice(0, 2), [
    `${FILE}:4: KEY is in line 2 too (as KEY_BASE64); the last one counts`,
    `${FILE}:5: OPEN_PORTS is in line 3 too; the last one counts`,
  ]);
});

t.test('any text gives stanzas or a ConfigError of one line', async (t) => {
  const keyword = fc.constantFrom(
    'SOURCE',
    'KEY',
    'KEY_BASE64',
    'HMAC_KEY',
    'OPEN_PORTS',
    'GPG_DECRYPT_ID',
    'GPG_REMOTE_ID',
    'GPG_DISABLE_SIG',
    'FW_ACCESS_TIMEOUT',
    'toString',
    '%include',
  );
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('ANY', 'Y', 'abcd', 'tcp/22', '30', FINGERPRINT),
  );
  const line = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.tuple(keyword, value).map((parts) => parts.join(' ')),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        try {
          parse(['SOURCE ANY', ...lines].join('\n'));
        } catch (error) {
          if (!(error instanceof ConfigError) || error.message.includes('\n')) throw error;
        }
      }),
    ),
  );
});

t.test('no error and no warning repeats a secret, however the line is wrong', async (t) => {
  const secret = fc.stringMatching(/^[A-Za-z0-9+/]{12,140}$/);
  const form = fc.constantFrom(
    (key: string) => `KEY ${key}`,
    (key: string) => `KEY_BASE64 ${key}`,
    (key: string) => `KEY_BASE64 ${key}=`,
    (key: string) => `HMAC_KEY_BASE64 ${key}*`,
    (key: string) => `HMAC_KEY ${key}`,
    (key: string) => `GPG_DECRYPT_PW ${key}`,
    (key: string) => `KEY = ${key}`,
    (key: string) => `KEY=${key}`,
    (key: string) => `KEY:${key}`,
    (key: string) => `KEY_BASE63 ${key}`,
    (key: string) => `${key} KEY`,
    (key: string) => key,
  );
  const other = fc.constantFrom('', KEY, 'OPEN_PORTS tcp/22', 'OPEN_PORTS tcp', 'GPG_DECRYPT_ID 1234ABCD');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(secret, form, form, other, (key, first, second, third) => {
        const said: string[] = [];
        try {
          said.push(...parse(['SOURCE ANY', first(key), second(key), third].join('\n')).warnings);
        } catch (error) {
          said.push((error as Error).message);
        }
        if (said.some((line) => line.includes(key))) throw new Error(said.join('; '));
      }),
    ),
  );
});
