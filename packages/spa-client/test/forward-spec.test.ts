import { UsageError } from 'spa-host';
import t from 'tap';
import {
  describeForward,
  type ForwardSyntax,
  forwardOption,
  mustDiffer,
  parseForward,
} from '../src/forward-spec.ts';

t.test('a forward becomes an option of ssh, with the address that is bound', async (t) => {
  const cases: readonly (readonly [ForwardSyntax, string, string, string])[] = [
    [
      'local',
      '5000:db.internal:5432',
      '-L localhost:5000:db.internal:5432',
      'localhost:5000 -> db.internal:5432',
    ],
    ['local', '*:80:web:8080', '-L *:80:web:8080', '*:80 -> web:8080'],
    ['local', ':80:web:8080', '-L *:80:web:8080', '*:80 -> web:8080'],
    ['local', '127.0.0.2:80:10.0.0.1:80', '-L 127.0.0.2:80:10.0.0.1:80', '127.0.0.2:80 -> 10.0.0.1:80'],
    ['local', '[::1]:80:[fd00::1]:80', '-L [::1]:80:[fd00::1]:80', '[::1]:80 -> [fd00::1]:80'],
    [
      'local',
      '2375:/run/docker.sock',
      '-L localhost:2375:/run/docker.sock',
      'localhost:2375 -> /run/docker.sock',
    ],
    ['socks', '1080', '-D localhost:1080', 'localhost:1080 (SOCKS)'],
    ['socks', '*:1080', '-D *:1080', '*:1080 (SOCKS)'],
    [
      'remote',
      '9000:localhost:3000',
      '-R localhost:9000:localhost:3000',
      "the bastion's localhost:9000 -> localhost:3000",
    ],
    ['remote', '1080', '-R localhost:1080', "the bastion's localhost:1080 (SOCKS)"],
  ];
  for (const [syntax, text, option, description] of cases) {
    const forward = parseForward(syntax, text);
    t.equal(forwardOption(forward).join(' '), option);
    t.equal(describeForward(forward), description);
  }
});

t.test('what is no forward is an error that says what to write', async (t) => {
  const cases: readonly (readonly [ForwardSyntax, string, string])[] = [
    ['local', '', 'write [BIND:]PORT:HOST:PORT, as in 5000:db.internal:5432'],
    ['local', '5000', 'write [BIND:]PORT:HOST:PORT, as in 5000:db.internal:5432'],
    ['local', 'db.internal:5432', 'write 5432:db.internal:5432'],
    ['local', '5000:fd00::1:5432', 'write [BIND:]PORT:HOST:PORT'],
    ['local', '5000:db:5432:', 'write [BIND:]PORT:HOST:PORT'],
    ['local', '5000:db; rm:5432', 'write [BIND:]PORT:HOST:PORT'],
    ['local', '5000:/run/%h.sock', 'write [BIND:]PORT:HOST:PORT'],
    ['socks', 'x', 'write [BIND:]PORT, as in 1080'],
    ['remote', 'web', 'write [BIND:]PORT:HOST:PORT, as in 9000:localhost:3000'],
    ['local', '0:db:5432', '0 is no port; write a number from 1 to 65535'],
    ['local', '5000:db:65536', '65536 is no port'],
    ['socks', '70000', '70000 is no port'],
    ['remote', '0:localhost:3000', '0 is no port'],
  ];
  for (const [syntax, text, message] of cases) {
    const error = t.throws(() => parseForward(syntax, text), UsageError) as unknown as Error;
    t.match(error.message, `"${text}"`);
    t.match(error.message, message);
  }
});

t.test('two forwards want two ports, on each side', async (t) => {
  const [one, other] = [parseForward('local', '80:a:1'), parseForward('local', '80:b:2')];
  t.throws(
    () => mustDiffer([one, other]),
    new UsageError('port 80 is given twice; each forward needs its own'),
  );
  t.throws(() => mustDiffer([one, parseForward('socks', '80')]), UsageError);
  t.doesNotThrow(() =>
    mustDiffer([one, parseForward('remote', '80:a:1'), parseForward('local', '[::2]:80:a:1')]),
  );
});
