import fc from 'fast-check';
import t from 'tap';
import { formatOptions, parseCommandLine, UsageError } from '../src/index.ts';

const TABLE = [
  { long: 'config-file', short: 'c', argument: 'FILE', help: 'what to read' },
  { long: 'port', short: 'p', argument: 'N', help: 'where to listen' },
  { long: 'foreground', short: 'f', help: 'stay' },
  { long: 'fw-list', help: 'list' },
  { long: 'fw-list-all', help: 'list all' },
  { long: 'verbose', short: 'v', count: true, help: 'say more' },
  { long: 'listen', short: 'l', argument: 'ADDRESS', many: true, help: 'where else' },
] as const;

const parse = (...argv: string[]) => parseCommandLine(TABLE, argv);

t.test('options are read as getopt_long reads them', async (t) => {
  const cases: readonly (readonly [argv: readonly string[], values: object])[] = [
    [[], {}],
    [['-f'], { foreground: true }],
    [['-fvv'], { foreground: true, verbose: 2 }],
    [['-v', '--verbose', '-v'], { verbose: 3 }],
    [['-c', 'a.conf'], { 'config-file': 'a.conf' }],
    [['-ca.conf'], { 'config-file': 'a.conf' }],
    [['-fca.conf'], { foreground: true, 'config-file': 'a.conf' }],
    [['--config-file', 'a.conf'], { 'config-file': 'a.conf' }],
    [['--config-file=a=b'], { 'config-file': 'a=b' }],
    [['--config', 'a.conf'], { 'config-file': 'a.conf' }],
    [['--fw-list'], { 'fw-list': true }],
    [['--fw-list-a'], { 'fw-list-all': true }],
    [['-p', '1', '--port=2'], { port: '2' }],
    [['-l', 'one'], { listen: ['one'] }],
    [['-l', 'one', '-fltwo', '--listen=three'], { foreground: true, listen: ['one', 'two', 'three'] }],
  ];
  for (const [argv, values] of cases) t.same(parse(...argv).values, values, argv.join(' '));
});

t.test('arguments that are no options are kept in order', async (t) => {
  t.same(parse('one', '-f', 'two', '--', '-v').positionals, ['one', 'two', '-v']);
});

t.test('a wrong command line is an error that says what to write', async (t) => {
  const cases: readonly (readonly [argv: readonly string[], message: string])[] = [
    [['--bogus'], 'unknown option --bogus; --help lists them'],
    [['-x'], 'unknown option -x; --help lists them'],
    [['--fw'], 'option --fw is ambiguous: --fw-list, --fw-list-all'],
    [['--port'], 'option --port needs a value: --port N'],
    [['-p'], 'option -p needs a value: -p N'],
    [['--foreground=yes'], 'option --foreground takes no value'],
  ];
  for (const [argv, message] of cases) {
    t.throws(() => parse(...argv), { name: 'UsageError', message }, argv.join(' '));
  }
});

t.test('a beginning that is unique without our additions means what it means there', async (t) => {
  const table = [
    { long: 'gpg-signer-key', argument: 'KEY', help: '' },
    { long: 'gpg-signer-key-file', argument: 'FILE', addition: true, help: '' },
    { long: 'gpg-signer', argument: 'KEY', addition: true, help: '' },
  ] as const;
  const longOf = (argument: string): readonly string[] =>
    Object.keys(parseCommandLine(table, [`${argument}=x`]).values);
  t.same(longOf('--gpg-sign'), ['gpg-signer-key']);
  t.same(longOf('--gpg-signer'), ['gpg-signer'], 'a whole name is itself');
  t.same(longOf('--gpg-signer-key-'), ['gpg-signer-key-file']);
});

t.test('any arguments give values or a UsageError', async (t) => {
  const argument = fc.oneof(
    fc.string(),
    fc.constantFrom('-f', '--port', '--', '-', '--__proto__', '--fw', '-fvc', '--=x', '--constructor=1'),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(argument), (argv) => {
        try {
          parseCommandLine(TABLE, argv);
        } catch (error) {
          if (!(error instanceof UsageError)) throw error;
        }
      }),
    ),
  );
});

t.test('the help has one aligned line for each option', async (t) => {
  t.equal(
    formatOptions(TABLE.slice(1, 4)),
    ['  -p, --port N      where to listen', '  -f, --foreground  stay', '      --fw-list     list'].join(
      '\n',
    ),
  );
});
