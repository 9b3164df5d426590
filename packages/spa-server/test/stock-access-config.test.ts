import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { ConfigError } from 'spa-host';
import { environment, lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { parseAccessConfig, type StanzaText } from '../src/config/access-config.ts';
import { HOST_FILES } from '../src/config/config-files.ts';

// The judge is stock fwknopd: what it makes of a file (-D), and whether it takes it at all.

const skip = lackingPrograms('fwknopd');

/** What one stanza says, as both daemons can show it. */
interface Shown {
  readonly timeout: number;
  readonly maxTimeout: number;
  readonly needsSource: boolean;
  readonly keyBytes: number;
  readonly hmacBytes: number;
  readonly hmacType: number;
  readonly user: string | null;
  readonly expires: number | null;
}

/** All stanzas; null: the file is refused. */
type Outcome = readonly Shown[] | null;

/** fwknop's numbers of HMAC types, from 1. */
const HMAC_TYPES = ['md5', 'sha1', 'sha256', 'sha384', 'sha512', 'sha3_256', 'sha3_512'];

const KEY = 'KEY secret';
const HMAC = 'HMAC_KEY another';

/** Stanzas that mean the same to both. */
const SAME: readonly (readonly string[])[] = [
  [KEY],
  ['KEY a key with blanks'],
  ['KEY: secret'],
  ['KEY secret; and a comment'],
  [`KEY ${'k'.repeat(32)}`],
  ['KEY_BASE64 c2VjcmV0LWtleS1vZi10aGUtdGVzdA=='],
  [KEY, HMAC],
  [KEY, HMAC, 'HMAC_DIGEST_TYPE MD5'],
  [KEY, 'HMAC_KEY_BASE64 aG1hYy1rZXktb2YtdGhlLXRlc3Q=', 'HMAC_DIGEST_TYPE sha512'],
  [KEY, HMAC, 'HMAC_DIGEST_TYPE SHA3_256'],
  [KEY, `HMAC_KEY ${'h'.repeat(128)}`],
  [KEY, 'FW_ACCESS_TIMEOUT 60'],
  [KEY, 'FW_ACCESS_TIMEOUT 0'],
  [KEY, 'FW_ACCESS_TIMEOUT: 60;'],
  [KEY, 'FW_ACCESS_TIMEOUT 5', 'FW_ACCESS_TIMEOUT 6'],
  [KEY, 'MAX_FW_TIMEOUT 8388608', 'FW_ACCESS_TIMEOUT 3600'],
  [KEY, 'REQUIRE_SOURCE_ADDRESS Y'],
  [KEY, 'REQUIRE_SOURCE_ADDRESS yes'],
  [KEY, 'REQUIRE_SOURCE Y;'],
  [KEY, 'REQUIRE_SOURCE_ADDRESS N'],
  [KEY, 'REQUIRE_SOURCE_ADDRESS false'],
  [KEY, 'REQUIRE_USERNAME alice'],
  [KEY, 'OPEN_PORTS TCP/22,udp/53'],
  [KEY, 'OPEN_PORTS tcp/22 , udp/53', 'RESTRICT_PORTS tcp/25'],
  [KEY, 'DESTINATION 192.0.2.7, 198.51.100.0/24'],
  [KEY, 'ACCESS_EXPIRE 12/31/2030'],
  [KEY, 'ACCESS_EXPIRE 1/2/2031'],
  [KEY, 'ACCESS_EXPIRE_EPOCH 1924988400'],
  [KEY, 'KEY_BASE64 c2FtZQ=='],
  ['KEY_BASE64 c2FtZQ==', 'KEY longer'],
  ...['CBC', 'ecb', 'CFB', 'ofb', 'CTR', 'legacy'].map((mode) => [KEY, `ENCRYPTION_MODE ${mode}`]),
  [KEY, 'FORWARD_ALL Y', 'DISABLE_DNAT Y'],
  [KEY, 'ENABLE_CMD_EXEC Y', 'CMD_EXEC_USER nobody'],
  [KEY, 'ENABLE_CMD_EXEC Y', 'ENABLE_CMD_SUDO_EXEC Y', 'CMD_SUDO_EXEC_USER nobody'],
  [KEY, 'CMD_CYCLE_OPEN /bin/x $IP', 'CMD_CYCLE_CLOSE /bin/y $IP', 'CMD_CYCLE_TIMER 5'],
  [KEY, 'CMD_CYCLE_OPEN /bin/x $IP', 'CMD_CYCLE_CLOSE NONE'],
  // Refused by both.
  [],
  [KEY, 'FORCE_NAT 10.0.0.1'],
  [KEY, 'FORCE_NAT 10.0.0.1 99999'],
  [KEY, 'CMD_CYCLE_OPEN /bin/x'],
  [KEY, 'CMD_CYCLE_OPEN /bin/x', 'CMD_CYCLE_CLOSE /bin/y'],
  [KEY, 'CMD_CYCLE_OPEN /bin/x', 'CMD_CYCLE_CLOSE /bin/y', 'CMD_CYCLE_TIMER 0'],
  [KEY, 'CMD_CYCLE_CLOSE /bin/y'],
  ['KEY_BASE64 ***'],
  [KEY, 'HMAC_KEY_BASE64 !!!'],
  ['KEY __CHANGEME__'],
  [KEY, 'HMAC_KEY secret'],
  [KEY, HMAC, 'HMAC_DIGEST_TYPE crc'],
  [KEY, 'FW_ACCESS_TIMEOUT -1'],
  [KEY, 'FW_ACCESS_TIMEOUT 99999999'],
  [KEY, 'OPEN_PORTS 22'],
  [KEY, 'OPEN_PORTS tcp/22,'],
  [KEY, 'OPEN_PORTS icmp/8'],
  [KEY, 'OPEN_PORTS tcp/65536'],
  [KEY, 'ENCRYPTION_MODE PCBC'],
  [KEY, 'ACCESS_EXPIRE 2030-12-31'],
];

/** What fwknopd takes and makes something of that nobody meant: refused here, with a line that says what to write. */
const REFUSED_HERE: readonly (readonly string[])[] = [
  [`KEY ${'k'.repeat(33)}`],
  [KEY, `HMAC_KEY ${'h'.repeat(129)}`],
  [KEY, 'FW_ACCESS_TIMEOUT 30s'],
  [KEY, 'FW_ACCESS_TIMEOUT 0x10'],
  [KEY, 'REQUIRE_SOURCE_ADDRESS true'],
  [KEY, 'REQUIRE_SOURCE_ADDRESS 1'],
  [KEY, 'OPEN_PORTS tcp/20-30'],
  [KEY, 'OPEN_PORTS tcp/'],
  [KEY, 'OPEN_PORTS tcp/0'],
  [KEY, 'OPEN_PORTS tcp/22 # ssh'],
  [KEY, 'OPEN_PORTS tcp/22, tcp/22'],
  [KEY, 'CMD_CYCLE_TIMER 5'],
  [KEY, 'CMD_CYCLE_OPEN /bin/x $HOME', 'CMD_CYCLE_CLOSE NONE'],
  [KEY, 'OPEN_PORT tcp/22'],
  [KEY, 'open_ports tcp/22'],
  [KEY, 'ACCESS_EXPIRE 02/30/2030'],
  [KEY, 'ACCESS_EXPIRE 12/31/30'],
  [KEY, 'FW_ACCESS_TIMEOUT 400', 'MAX_FW_TIMEOUT 300'],
];

/** What fwknopd refuses, or gets wrong, and is taken here. */
const TAKEN_HERE: readonly (readonly string[])[] = [
  // The group is no user.
  [KEY, 'ENABLE_CMD_EXEC Y', 'CMD_EXEC_USER nobody', 'CMD_EXEC_GROUP nogroup'],
  ['KEY trailing blanks  '],
  [KEY, ' \t ', 'FW_ACCESS_TIMEOUT 60'],
  [KEY, 'FW_ACCESS_TIMEOUT 3600'],
  [KEY, 'DESTINATION 2001:db8::/32'],
];

const SOURCES: Readonly<Record<'same' | 'refusedHere' | 'takenHere', readonly string[]>> = {
  same: [
    ...['ANY', 'any', '192.0.2.7', '192.0.2.0/24', '192.0.2.7/24', '192.0.2.0/255.255.255.0'],
    ...['192.0.2.7,198.51.100.7', '192.0.2.7 , 198.51.100.0/24', '10.0.0.0/8, 192.168.0.0/16,172.16.0.0/12'],
    ...['0.0.0.0/0', '192.0.2.7/0', '192.0.2.7/33', 'example.org', '192.0.2.256'],
  ],
  refusedHere: ['127.1', '010.1.2.3', '192.0.2.0/255.0.255.0', 'ANY, 192.0.2.7'],
  takenHere: ['2001:db8::/32'],
};

t.test('a stanza means to fwknopd what it means here', { skip }, async (t) => {
  const judge = createJudge(t);
  for (const lines of SAME) {
    const { ours, theirs } = judge(['SOURCE ANY', ...lines]);
    t.same(ours, theirs, lines.join(' | '));
  }
  for (const source of SOURCES.same) {
    const { ours, theirs } = judge([`SOURCE ${source}`, KEY]);
    t.same(ours, theirs, source);
  }
});

t.test('what fwknopd takes for something that nobody meant is refused here', { skip }, async (t) => {
  const judge = createJudge(t);
  const cases = [
    ...REFUSED_HERE.map((lines) => ['SOURCE ANY', ...lines]),
    ...SOURCES.refusedHere.map((source) => [`SOURCE ${source}`, KEY]),
  ];
  for (const lines of cases) {
    const { ours, theirs } = judge(lines);
    t.equal(ours, null, lines.join(' | '));
    t.not(theirs, null, lines.join(' | '));
  }
});

t.test('what is taken here and not by fwknopd is on purpose', { skip }, async (t) => {
  const judge = createJudge(t);
  const cases = [
    ...TAKEN_HERE.map((lines) => ['SOURCE ANY', ...lines]),
    ...SOURCES.takenHere.map((source) => [`SOURCE ${source}`, KEY]),
  ];
  for (const lines of cases) {
    const { ours, theirs } = judge(lines);
    t.not(ours, null, lines.join(' | '));
    t.notSame(ours, theirs, lines.join(' | '));
  }
});

t.test('files that include files have the same stanzas in the same order', { skip }, async (t) => {
  const judge = createJudge(t);
  const usual = SAME.filter((lines) => judge(['SOURCE ANY', ...lines]).theirs !== null);
  const stanza = fc.constantFrom(...usual).map((lines) => ['SOURCE ANY', ...lines]);
  const include = fc.constantFrom(
    '%include a.inc',
    '%include b.inc',
    '%include_keys keys',
    '%include_folder d',
  );
  const part = fc.oneof(
    { weight: 3, arbitrary: stanza },
    include.map((line) => [line]),
  );
  const file = (first: readonly string[], parts: readonly (readonly string[])[]): readonly string[] => [
    ...first,
    ...parts.flat(),
  ];
  const main = fc.tuple(stanza, fc.array(part, { maxLength: 6 })).map(([first, parts]) => file(first, parts));
  const more = fc.array(stanza, { minLength: 1, maxLength: 2 }).map((stanzas) => stanzas.flat());
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(main, more, more, more, (access, a, b, d) => {
        const files = {
          'a.inc': [...a, '%include b.inc'],
          'b.inc': b,
          'd/only.conf': d,
          keys: ['KEY included'],
        };
        const { ours, theirs } = judge(access, files);
        return isDeepStrictEqual(ours, theirs);
      }),
      { numRuns: 60 },
    ),
  );
});

type Judge = (
  access: readonly string[],
  others?: Readonly<Record<string, readonly string[]>>,
) => { readonly ours: Outcome; readonly theirs: Outcome };

function createJudge(t: Test): Judge {
  const folder = t.testdir({ run: {}, d: {} });
  const path = (name: string): string => join(folder, name);
  const write = (name: string, lines: readonly string[]): void =>
    writeFileSync(path(name), `${lines.join('\n')}\n`, { mode: 0o600 });
  mkdirSync(path('run'), { recursive: true });
  write('fwknopd.conf', [`FWKNOP_RUN_DIR ${path('run')}`, 'PCAP_INTF lo']);
  return (access, others = {}) => {
    for (const [name, lines] of Object.entries(others)) write(name, lines);
    write('access.conf', access);
    return { ours: readOurs(path('access.conf')), theirs: readTheirs(folder) };
  };
}

function readOurs(file: string): Outcome {
  try {
    return parseAccessConfig([file], HOST_FILES).value.map(showStanza);
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}

function showStanza(stanza: StanzaText): Shown {
  const { hmac, symmetric } = stanza;
  return {
    timeout: stanza.accessTimeoutSeconds,
    maxTimeout: stanza.maxTimeoutSeconds,
    needsSource: stanza.requireSourceAddress,
    keyBytes: symmetric?.bytes().length ?? 0,
    hmacBytes: hmac?.bytes().length ?? 0,
    hmacType: hmac === null ? 0 : HMAC_TYPES.indexOf(hmac.digest) + 1,
    user: stanza.requireUsername,
    expires: stanza.expiresAtSeconds,
  };
}

function readTheirs(folder: string): Outcome {
  const command = ['-c', 'fwknopd.conf', '-a', 'access.conf', '-D'];
  const { status, stdout } = spawnSync('fwknopd', command, {
    cwd: folder,
    env: environment(),
    encoding: 'utf8',
  });
  if (status !== 0) return null;
  return stdout
    .split(/^SOURCE \(\d+\): /m)
    .slice(1)
    .map(showDump);
}

function showDump(dump: string): Shown {
  const shownAs = (name: string): string => new RegExp(`^ *${name}: +(.*)$`, 'm').exec(dump)?.[1] ?? '';
  const setOrNull = (text: string): string | null => (text === '<not set>' ? null : text);
  const expires = setOrNull(shownAs('ACCESS_EXPIRE'));
  return {
    timeout: Number(shownAs('FW_ACCESS_TIMEOUT')),
    maxTimeout: Number(shownAs('MAX_FW_TIMEOUT')),
    needsSource: shownAs('REQUIRE_SOURCE_ADDRESS') === 'Yes',
    keyBytes: Number(shownAs('KEY_LEN')),
    hmacBytes: Number(shownAs('HMAC_KEY_LEN')),
    hmacType: Number(shownAs('HMAC_DIGEST_TYPE')),
    user: setOrNull(shownAs('REQUIRE_USERNAME')),
    expires: expires === null ? null : Date.parse(expires) / 1000,
  };
}
