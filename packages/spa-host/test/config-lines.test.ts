import fc from 'fast-check';
import t from 'tap';
import { ConfigError, parseConfigLine, parseConfigLines } from '../src/index.ts';

t.test('a line is a keyword, a blank or a colon with a blank, and a value', async (t) => {
  const cases: readonly (readonly [line: string, keyword: string, value: string])[] = [
    ['SOURCE ANY', 'SOURCE', 'ANY'],
    ['SOURCE: ANY', 'SOURCE', 'ANY'],
    ['SOURCE\t\t ANY', 'SOURCE', 'ANY'],
    ['  SOURCE ANY\r', 'SOURCE', 'ANY'],
    ['OPEN_PORTS tcp/22, udp/53', 'OPEN_PORTS', 'tcp/22, udp/53'],
    ['VERBOSE 0;', 'VERBOSE', '0'],
    ['VERBOSE 0; # quiet', 'VERBOSE', '0'],
    ['KEY a # b', 'KEY', 'a # b'],
    ['KEY_BASE64 YQ==', 'KEY_BASE64', 'YQ=='],
    ['%include_keys /etc/keys', '%include_keys', '/etc/keys'],
  ];
  for (const [line, keyword, value] of cases) {
    t.same(parseConfigLines('f', line), [{ file: 'f', line: 1, keyword, value }], line);
  }
});

t.test('blanks behind a value are no part of it, and are told', async (t) => {
  for (const line of ['KEY a b ', 'KEY a b\t \r', 'KEY a b ; comment']) {
    t.same(parseConfigLines('f', line), [
      { file: 'f', line: 1, keyword: 'KEY', value: 'a b', endsBlank: true },
    ]);
  }
});

t.test('comments and blank lines count as lines and say nothing', async (t) => {
  const text = '# one\n\n; three\n   \n \t# five\nSOURCE ANY\n';
  t.same(parseConfigLines('f', text), [{ file: 'f', line: 6, keyword: 'SOURCE', value: 'ANY' }]);
});

t.test('a line that is none of these is an error that does not repeat it', async (t) => {
  const message = 'access.conf:2: this line is no setting; write NAME value, with a blank between them';
  for (const line of [
    'hunter2',
    'KEY',
    'KEY:',
    'KEY=hunter2',

    'KEY:hunter2',
    'KEY ;hunter2',
  ]) {
    t.throws(() => parseConfigLines('access.conf', `# x\n${line}\n`), { name: 'ConfigError', message }, line);
  }
});

t.test('the place is as complete as what is known', async (t) => {
  t.equal(new ConfigError({ file: 'f' }, 'wrong').message, 'f: wrong');
  t.equal(new ConfigError({ file: 'f', line: 3 }, 'wrong').message, 'f:3: wrong');
  t.equal(new ConfigError({ file: 'f', line: 3, keyword: 'KEY' }, 'wrong').message, 'f:3: KEY: wrong');
  t.same(parseConfigLine('f', 7, 'A b'), { file: 'f', line: 7, keyword: 'A', value: 'b' });
});

t.test('any text gives lines or a ConfigError', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          parseConfigLines('f', text);
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
        }
      }),
    ),
  );
});
