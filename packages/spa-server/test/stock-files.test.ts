import { existsSync, readFileSync } from 'node:fs';
import { ConfigError } from 'spa-host';
import t from 'tap';
import type { StanzaText } from '../src/config/access-config.ts';
import type { LogEvent } from '../src/log/event.ts';
import { linesOf } from '../src/log/text.ts';
import { readOptions } from '../src/options.ts';
import { parseAccessText } from './access-text.ts';

// The files of Debian's package are read where they are installed: none of them is ours to copy.

const ACCESS = '/etc/fwknop/access.conf';
const UNIT = '/lib/systemd/system/fwknop-server.service';
const LOGCHECK = '/etc/logcheck/ignore.d.server/fwknop-server';
const isInstalled = existsSync(ACCESS) && existsSync(UNIT) && existsSync(LOGCHECK);
if (!isInstalled && process.env.CI !== undefined) throw new Error('fwknop-server is missing');
const skip = !isInstalled && 'fwknop-server is not installed';

t.test(
  'access.conf as Debian installs it is refused at the lines of its two placeholders',
  { skip },
  async (t) => {
    const text = readFileSync(ACCESS, 'utf8');
    const lines = text.split('\n');
    const placeholders = lines.flatMap((line, index) =>
      /^[A-Z].*__CHANGEME__/.test(line) ? [index + 1] : [],
    );
    t.equal(placeholders.length, 2);
    const error = errorOf(text);
    const messages = [error, ...(error?.others ?? [])].map((one) => one?.message ?? '');
    t.equal(messages.length, 2);
    for (const [index, line] of placeholders.entries()) {
      t.match(messages[index], `${ACCESS}:${line}: `);
      t.match(messages[index], 'placeholder __CHANGEME__');
    }
  },
);

t.test('with keys in their places it is a stanza', { skip }, async (t) => {
  const { value } = parseAccessText(ACCESS, withKeys(readFileSync(ACCESS, 'utf8')));
  t.match(value, [{ number: 1, sources: 'any', symmetric: { mode: 'cbc' }, hmac: { digest: 'sha256' } }]);
});

t.test('its examples are read, or refused at their line', { skip }, async (t) => {
  const lines = withKeys(readFileSync(ACCESS, 'utf8')).split('\n');
  const examples = lines.flatMap((line, index) => (/^#[A-Z][A-Z_]+:? {2,}\S/.test(line) ? [index] : []));
  t.ok(examples.length >= 5, `${examples.length} examples`);
  for (const index of examples) {
    const text = [...lines, (lines[index] ?? '').slice(1)].join('\n');
    const error = errorOf(text);
    t.ok(error === null || error.message.startsWith(`${ACCESS}:${lines.length + 1}: `), lines[index] ?? '');
    t.notMatch(error?.message ?? '', 'is no keyword');
  }
});

t.test('the unit of the package starts us as it starts fwknopd', { skip }, async (t) => {
  const command = /^ExecStart=\/usr\/sbin\/fwknopd *(.*)$/m.exec(readFileSync(UNIT, 'utf8'));
  t.ok(command);
  const options = readOptions((command?.[1] ?? '').split(' ').filter((word) => word !== ''));
  t.match(options, { task: 'serve', foreground: false, source: { configFile: '/etc/fwknop/fwknopd.conf' } });
});

t.test('what the package has logcheck pass over at a start is written here too', { skip }, async (t) => {
  const events: readonly LogEvent[] = [
    { event: 'starting', version: '1.0.0', pid: 7 },
    { event: 'receiving', by: { kind: 'capture', interface: 'eth0', filter: 'udp port 62201' } },
    { event: 'ready', places: ['whatever eth0 brings'], firewall: 'iptables', stanzas: 1 },
  ];
  const lines = events
    .flatMap((event) => linesOf(event))
    .map(({ text }) => `Nov 22 16:34:07 bastion fwknopd[857]: ${text}`);
  const expressions = readFileSync(LOGCHECK, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('^'));
  const unused = expressions.filter((expression) => {
    const wanted = new RegExp(expression.replaceAll('[:alnum:]', 'A-Za-z0-9'));
    return !lines.some((line) => wanted.test(line));
  });
  t.ok(expressions.length >= 5, `${expressions.length} expressions`);
  t.match(
    unused,
    [/: iptables 'comment' match is available\$$/],
    'docs/FWKNOP.md says that there is no such line',
  );
  t.equal(unused.length, 1);
});

t.test('stanzas of the kinds that the manual describes are read', async (t) => {
  const key = ['KEY_BASE64 c2VjcmV0LWtleS1vZi10aGUtdGVzdA==', 'HMAC_KEY_BASE64 aG1hYy1rZXktb2YtdGhlLXRlc3Q='];
  const cases: readonly (readonly [lines: readonly string[], expected: Partial<StanzaText>])[] = [
    [
      ['SOURCE: ANY;', 'OPEN_PORTS: tcp/22;', 'KEY: a pass phrase;', 'FW_ACCESS_TIMEOUT: 30;'],
      { sources: 'any' },
    ],
    [
      ['SOURCE 192.168.10.0/24,10.1.1.123', 'DESTINATION 192.168.20.1', ...key],
      {
        sources: [
          { address: '192.168.10.0', prefixLength: 24 },
          { address: '10.1.1.123', prefixLength: 32 },
        ] as unknown as StanzaText['sources'],
      },
    ],
    [
      ['SOURCE ANY', ...key, 'REQUIRE_USERNAME alice', 'REQUIRE_SOURCE_ADDRESS Y'],
      { requireUsername: 'alice' },
    ],
    [
      [
        ...['SOURCE ANY', ...key, 'OPEN_PORTS tcp/22', 'ENCRYPTION_MODE legacy', 'HMAC_DIGEST_TYPE SHA3_512'],
        ...['ACCESS_EXPIRE 12/31/2030', 'RESTRICT_PORTS tcp/25', 'MAX_FW_TIMEOUT 600'],
      ],
      { maxTimeoutSeconds: 600 },
    ],
    [
      [
        ...['SOURCE ANY', ...key, 'FORCE_NAT 192.168.10.55 22', 'FORCE_SNAT 192.168.10.1', 'DISABLE_DNAT N'],
        ...['FORWARD_ALL N'],
      ],
      {},
    ],
    [['SOURCE ANY', ...key, 'FORCE_NAT 192.168.10.55 22', 'FORCE_MASQUERADE Y'], {}],
    [['SOURCE ANY', ...key, 'FORWARD_ALL Y', 'DISABLE_DNAT Y'], {}],
    [['SOURCE ANY', ...key, 'ENABLE_CMD_EXEC Y', 'CMD_EXEC_USER nobody', 'CMD_EXEC_GROUP nogroup'], {}],
    [
      [
        ...['SOURCE ANY', ...key, 'CMD_CYCLE_OPEN /usr/sbin/ipset -exist add ssh_in $SRC,$PROTO:$PORT'],
        ...['CMD_CYCLE_CLOSE /usr/sbin/ipset del ssh_in $SRC,$PROTO:$PORT', 'CMD_CYCLE_TIMER 30'],
      ],
      { cycle: { timerSeconds: 30 } as StanzaText['cycle'] },
    ],
    [
      ['SOURCE ANY', ...key, 'CMD_CYCLE_OPEN /bin/open $IP $PKT_SRC $DST $TIMEOUT', 'CMD_CYCLE_CLOSE NONE'],
      { cycle: { close: null, timerSeconds: 30 } as StanzaText['cycle'] },
    ],
    [
      [
        ...['SOURCE ANY', 'GPG_HOME_DIR /root/.gnupg', 'GPG_DECRYPT_ID ABCD1234', 'GPG_DECRYPT_PW secret'],
        ...['GPG_REQUIRE_SIG Y', 'GPG_IGNORE_SIG_VERIFY_ERROR N', 'GPG_REMOTE_ID 1234ABCD,5678ABCD'],
      ],
      { symmetric: null },
    ],
  ];
  for (const [lines, expected] of cases) {
    t.match(parseAccessText(ACCESS, lines.join('\n')).value, [expected], lines.join(' | '));
  }
});

function withKeys(text: string): string {
  const keys = ['c2VjcmV0LWtleS1vZi10aGUtdGVzdA==', 'aG1hYy1rZXktb2YtdGhlLXRlc3Q='];
  return text.replaceAll(/^([A-Z].*)__CHANGEME__/gm, (_, start: string) => `${start}${keys.shift()}`);
}

function errorOf(text: string): ConfigError | null {
  try {
    parseAccessText(ACCESS, text);
    return null;
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
}
