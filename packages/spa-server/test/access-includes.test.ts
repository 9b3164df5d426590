import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatProtoPorts } from 'spa-core';
import t from 'tap';
import { parseAccessConfig } from '../src/config/access-config.ts';
import { HOST_FILES } from '../src/config/config-files.ts';
import { filesOf } from './access-text.ts';

const MAIN = '/etc/fwknop/access.conf';
const stanza = (address: string): string => `SOURCE ${address}\nKEY k\n`;
const parse = (texts: Readonly<Record<string, string>>) => parseAccessConfig([MAIN], filesOf(texts));
const sourcesOf = (texts: Readonly<Record<string, string>>): readonly unknown[] =>
  parse(texts).value.map(({ sources }) => (sources === 'any' ? sources : sources[0]?.address));

t.test('an included file has stanzas of its own, after the one that includes it', async (t) => {
  const { value } = parse({
    [MAIN]: `%include first.conf\n${stanza('10.0.0.1')}%include /more/a.conf\n%include /more/b.conf\nFW_ACCESS_TIMEOUT 7\n${stanza('10.0.0.9')}`,
    '/etc/fwknop/first.conf': stanza('10.0.0.2'),
    '/more/a.conf': `${stanza('10.0.0.3')}%include deeper.conf\n`,
    '/more/deeper.conf': stanza('10.0.0.4'),
    '/more/b.conf': stanza('10.0.0.5'),
  });
  t.match(value, [
    { number: 1, place: '/etc/fwknop/first.conf:1', accessTimeoutSeconds: 30 },
    { number: 2, place: `${MAIN}:2`, accessTimeoutSeconds: 7 },
    { number: 3, place: '/more/a.conf:1', accessTimeoutSeconds: 30 },
    { number: 4, place: '/more/deeper.conf:1' },
    { number: 5, place: '/more/b.conf:1' },
    { number: 6, place: `${MAIN}:7` },
  ]);
});

t.test('a folder is its *.conf, by name; several files are several stanzas', async (t) => {
  const texts = {
    [MAIN]: `${stanza('10.0.0.1')}%include_folder access.d\n`,
    '/etc/fwknop/access.d/b.conf': stanza('10.0.0.3'),
    '/etc/fwknop/access.d/a.conf': stanza('10.0.0.2'),
    '/etc/fwknop/access.d/notes': 'nothing',
  };
  t.same(sourcesOf(texts), ['10.0.0.1', '10.0.0.2', '10.0.0.3']);
  const files = filesOf(texts);
  t.match(parseAccessConfig(files.list('/etc/fwknop/access.d'), files).value, [{ number: 1 }, { number: 2 }]);
});

t.test('however many files there are, each stanza opens its own ports, once', async (t) => {
  const files = filesOf({
    '/d/a.conf': `${stanza('10.0.0.1')}OPEN_PORTS tcp/22, udp/53\n`,
    '/d/b.conf': `${stanza('10.0.0.2')}OPEN_PORTS tcp/443\n%include c.inc\n`,
    '/d/c.inc': `${stanza('10.0.0.3')}OPEN_PORTS tcp/22\n`,
  });
  const { value } = parseAccessConfig(files.list('/d'), files);
  t.same(
    value.map(({ openPorts }) => formatProtoPorts(openPorts ?? [])),
    ['tcp/22,udp/53', 'tcp/443', 'tcp/22'],
  );
});

t.test('%include_keys takes keys and nothing else', async (t) => {
  const { value, warnings } = parse({
    [MAIN]: 'SOURCE ANY\nOPEN_PORTS tcp/22\n%include_keys keys\nKEY main\nREQUIRE_SOURCE_ADDRESS Y\n',
    '/etc/fwknop/keys': 'SOURCE 10.0.0.1\nKEY included\nHMAC_KEY hmac\nOPEN_PORTS tcp/99\n',
  });
  t.match(value, [{ place: `${MAIN}:1`, sources: 'any', openPorts: [{ port: 22 }] }]);
  t.equal(value[0]?.hmac?.bytes().toString(), 'hmac');
  t.equal(value[0]?.symmetric?.bytes().toString(), 'main');
  t.same(warnings.slice(0, 3), [
    '/etc/fwknop/keys:1: %include_keys reads no such line; put it elsewhere',
    '/etc/fwknop/keys:4: %include_keys reads no such line; put it elsewhere',
    `${MAIN}:4: KEY is in /etc/fwknop/keys:2 too; the last one counts`,
  ]);
});

t.test('what is wrong is told of the line that has to be changed', async (t) => {
  const cases: readonly (readonly [texts: Readonly<Record<string, string>>, message: string])[] = [
    [
      { [MAIN]: `${stanza('ANY')}%include none\n` },
      `${MAIN}:3: %include: /etc/fwknop/none: cannot be read: there is no such file`,
    ],
    [
      { [MAIN]: 'SOURCE ANY\n%include_keys none\n' },
      `${MAIN}:2: %include_keys: /etc/fwknop/none: cannot be read: there is no such file`,
    ],
    [
      { [MAIN]: '%include a', '/etc/fwknop/a': `${stanza('ANY')}OPEN_PORTS tcp\n` },
      '/etc/fwknop/a:3: OPEN_PORTS: "tcp" is no port; write protocol/port, as in tcp/22',
    ],
    [
      { [MAIN]: `${stanza('ANY')}%include a`, '/etc/fwknop/a': 'OPEN_PORTS tcp/22\n' },
      '/etc/fwknop/a:1: OPEN_PORTS: this belongs to no stanza; write a line SOURCE ANY above it',
    ],
    [
      { [MAIN]: '%include a', '/etc/fwknop/a': '%include access.conf' },
      `/etc/fwknop/a:1: %include: ${MAIN} would include itself; remove the line`,
    ],
    [
      {
        [MAIN]: '%include a',
        '/etc/fwknop/a': '%include b',
        '/etc/fwknop/b': '%include c',
        '/etc/fwknop/c': stanza('ANY'),
      },
      `/etc/fwknop/b:1: %include: files are 3 deep at most, as in fwknopd; name /etc/fwknop/c in ${MAIN}`,
    ],
    [
      { [MAIN]: '%include_keys a\n' },
      `${MAIN}:1: %include_keys: this belongs to no stanza; write a line SOURCE ANY above it`,
    ],
  ];
  for (const [texts, message] of cases) t.throws(() => parse(texts), { name: 'ConfigError', message });
});

t.test('a file that others can read is no place for keys, whoever includes it', async (t) => {
  const folder = t.testdir({});
  const path = (name: string): string => join(folder, name);
  const write = (name: string, text: string, mode = 0o600): void => {
    writeFileSync(path(name), text);
    chmodSync(path(name), mode);
  };
  mkdirSync(path('access.d'));
  write('access.d/b.conf', stanza('10.0.0.2'));
  write('access.d/a.conf', stanza('10.0.0.1'));
  write('access.d/.c.conf', 'half written');
  write('access.conf', '%include_folder access.d\n');
  const { value } = parseAccessConfig([path('access.conf')], HOST_FILES);
  t.match(value, [{ place: `${path('access.d/a.conf')}:1` }, { place: `${path('access.d/b.conf')}:1` }]);

  write('access.d/b.conf', stanza('10.0.0.2'), 0o644);
  t.throws(() => parseAccessConfig([path('access.conf')], HOST_FILES), {
    message: `${path('access.conf')}:1: %include_folder: ${path('access.d/b.conf')}: holds a secret and others have access to it; run: chmod 600 ${path('access.d/b.conf')}`,
  });
  execFileSync('mkfifo', ['-m', '600', path('pipe')]);
  t.throws(() => HOST_FILES.read(path('pipe')), { message: `${path('pipe')}: this is a pipe; name a file` });
  t.throws(() => HOST_FILES.list(path('none')), { message: `${path('none')}: there is no such folder` });
});
