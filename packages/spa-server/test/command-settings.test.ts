import t from 'tap';
import type { StanzaText } from '../src/config/access-config.ts';
import { parseServerConfig } from '../src/config/server-config.ts';
import { parseAccessText } from './access-text.ts';

const FILE = '/etc/fwknop/access.conf';
const HEAD = [
  ...[
    'SOURCE ANY',
    'KEY_BASE64 c2VjcmV0LWtleS1vZi10aGUtdGVzdA==',
    'HMAC_KEY_BASE64 aG1hYy1rZXktb2YtdGhlLXRlc3Q=',
  ],
  ...['OPEN_PORTS tcp/22', 'REQUIRE_SOURCE_ADDRESS Y'],
];

const parse = (...lines: readonly string[]) => parseAccessText(FILE, [...HEAD, ...lines].join('\n'));
const stanza = (...lines: readonly string[]): Partial<StanzaText> => parse(...lines).value[0] ?? {};

t.test('commands of messages are run if the stanza says so, by whom it says', async (t) => {
  t.match(stanza(), { commands: null, cycle: null });
  t.match(stanza('ENABLE_CMD_EXEC N', 'CMD_EXEC_USER nobody'), { commands: null });
  t.same(stanza('ENABLE_CMD_EXEC Y').commands, { user: null, group: null, sudo: null });
  t.match(stanza('ENABLE_CMD_EXEC Y', 'CMD_EXEC_USER rootless', 'CMD_EXEC_GROUP adm').commands, {
    user: { value: 'rootless', place: { line: 7, keyword: 'CMD_EXEC_USER' } },
    group: { value: 'adm' },
    sudo: null,
  });
  const sudo = ['ENABLE_CMD_EXEC Y', 'ENABLE_CMD_SUDO_EXEC Y'];
  t.match(stanza(...sudo).commands, { sudo: { user: null, group: null } });
  t.match(
    stanza(...sudo, 'CMD_EXEC_GROUP adm', 'CMD_SUDO_EXEC_USER web', 'CMD_SUDO_EXEC_GROUP www').commands,
    { user: null, group: { value: 'adm' }, sudo: { user: 'web', group: 'www' } },
  );
});

t.test('a cycle has a command that opens, one that closes or NONE, and a time', async (t) => {
  const lines = (close: string): readonly string[] => [
    'CMD_CYCLE_OPEN /usr/sbin/ipset  -exist add doors $SRC,$PROTO:$PORT timeout $CLIENT_TIMEOUT',
    `CMD_CYCLE_CLOSE ${close}`,
    'CMD_CYCLE_TIMER 60',
  ];
  const open = [
    '/usr/sbin/ipset',
    '-exist',
    'add',
    'doors',
    '$SRC,$PROTO:$PORT',
    'timeout',
    '$CLIENT_TIMEOUT',
  ];
  t.same(stanza(...lines('none')).cycle, { open, close: null, timerSeconds: 60 });
  t.same(stanza(...lines('x -d $IP')).cycle, { open, close: ['x', '-d', '$IP'], timerSeconds: 60 });
  t.same(parse(...lines('NONE')).warnings, []);
});

t.test('what cannot be meant is refused at its line', async (t) => {
  const cases: readonly (readonly [lines: readonly string[], message: string])[] = [
    [
      ['CMD_EXEC_USER a b'],
      ':6: CMD_EXEC_USER: "a b" is no name; write letters, digits, "-", "_" and "." only',
    ],
    [
      ['CMD_CYCLE_TIMER 0'],
      ':6: CMD_CYCLE_TIMER: "0" is out of range; write a number from 1 to 8388608 (seconds)',
    ],
    [
      ['CMD_CYCLE_OPEN x', 'CMD_CYCLE_TIMER 5'],
      ':6: CMD_CYCLE_OPEN: what closes it again? write CMD_CYCLE_CLOSE too; NONE if it closes by itself',
    ],
    [
      ['CMD_CYCLE_OPEN x', 'CMD_CYCLE_CLOSE x'],
      ':6: CMD_CYCLE_OPEN: for how long? write CMD_CYCLE_TIMER too, the seconds until it is closed',
    ],
    [
      ['CMD_CYCLE_CLOSE NONE'],
      ':6: CMD_CYCLE_CLOSE: there is no command that opens; write CMD_CYCLE_OPEN too, or remove the line',
    ],
    [
      ['CMD_CYCLE_OPEN echo $HOME'],
      ':6: CMD_CYCLE_OPEN: "$HOME" is no variable, and no shell reads this; write $CLIENT_TIMEOUT, $PKT_SRC, $TIMEOUT, $PROTO, $PORT, $SRC, $DST, $IP, or a script that does the rest',
    ],
  ];
  for (const [lines, message] of cases) {
    t.throws(() => stanza(...lines), { name: 'ConfigError', message: `${FILE}${message}` }, lines.join('; '));
  }
});

t.test('who gives away the rights of root is told', async (t) => {
  const warnings = (...lines: readonly string[]) => parse(...lines).warnings.join('; ');
  t.match(
    warnings('ENABLE_CMD_EXEC Y'),
    /^\S+:6: ENABLE_CMD_EXEC: commands from packets have the daemon's rights/,
  );
  t.equal(warnings('ENABLE_CMD_EXEC Y', 'CMD_EXEC_USER root'), '');
  t.equal(warnings('ENABLE_CMD_EXEC Y', 'ENABLE_CMD_SUDO_EXEC Y', 'CMD_EXEC_USER web'), '');
  t.match(warnings('ENABLE_CMD_EXEC Y', 'ENABLE_CMD_SUDO_EXEC Y'), /sudo is run by the daemon/);
  t.match(warnings('ENABLE_CMD_SUDO_EXEC Y'), /ENABLE_CMD_SUDO_EXEC: it has no effect/);
  const cycle = ['CMD_CYCLE_OPEN x', 'CMD_CYCLE_CLOSE y', 'CMD_CYCLE_TIMER 5'];
  t.match(warnings('ENABLE_CMD_EXEC Y', ...cycle), /ENABLE_CMD_EXEC: it has no effect/);
});

t.test('how long a command may run, and which sudo, is in fwknopd.conf', async (t) => {
  const commands = (text: string) => parseServerConfig('/etc/fwknop/fwknopd.conf', text, []).value.commands;
  t.same(commands(''), { sudo: '/usr/bin/sudo', messageSeconds: 300, cycleSeconds: 30 });
  t.same(commands('CMD_EXEC_TIMEOUT 5\nSUDO_EXE /opt/sudo'), {
    sudo: '/opt/sudo',
    messageSeconds: 5,
    cycleSeconds: 5,
  });
  t.throws(() => commands('CMD_EXEC_TIMEOUT 0'), { message: /write a number from 1 to 86400 \(seconds\)$/ });
});
