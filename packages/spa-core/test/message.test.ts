import * as fc from 'fast-check';
import { decodeMessage, encodeMessage, type Message, natTargetOf, type Request, SpaError } from 'spa-core';
import t from 'tap';
import { digestOf } from '../src/digest.ts';
import { anyMessage } from './generators.ts';

const plain: Message = {
  randomValue: '6729400381721675',
  username: 'root',
  timestampSeconds: 1_795_308_447,
  version: '3.0.0',
  request: { kind: 'access', source: null, ports: [{ protocol: 'tcp', port: 22 }] },
  clientTimeoutSeconds: null,
  digest: 'md5',
};

t.test('a message is written as the stock client writes it', async (t) => {
  const request = '6729400381721675:cm9vdA:1795308447:3.0.0:1:MC4wLjAuMCx0Y3AvMjI';
  t.equal(encodeMessage(plain), `${request}:${digestOf('md5', request)}`);
  const timed = encodeMessage({ ...plain, clientTimeoutSeconds: 60 });
  t.match(timed, /:3:MC4wLjAuMCx0Y3AvMjI:60:/);
});

t.test('a field that breaks its rule is never written', async (t) => {
  const many = Array.from({ length: 25 }, (_, i) => ({ protocol: 'tcp' as const, port: 10_000 + i }));
  const wrong: Readonly<Record<string, readonly [Partial<Message>, RegExp]>> = {
    'fifteen digits': [{ randomValue: '123456789012345' }, /16 digits/],
    'a letter among the digits': [{ randomValue: '123456789012345a' }, /16 digits/],
    'no user': [{ username: '' }, /no user name/],
    'a colon in the user': [{ username: 'a:b' }, /no user name/],
    'a user of 49 characters': [{ username: 'a'.repeat(49) }, /no user name/],
    'a user with an umlaut': [{ username: 'jörg' }, /no user name/],
    'a time before 1970': [{ timestampSeconds: -1 }, /seconds/],
    'half a second': [{ timestampSeconds: 1.5 }, /seconds/],
    'a time of 13 digits': [{ timestampSeconds: 10 ** 12 }, /seconds/],
    'no version': [{ version: '' }, /no version/],
    'a long version': [{ version: '3.0.0.0.0' }, /no version/],
    'a colon in the version': [{ version: '3:0' }, /no version/],
    'a command with a timeout': [{ request: run('id'), clientTimeoutSeconds: 5 }, /no client timeout/],
    'a command of blanks': [{ request: run(' ') }, /printable/],
    'a command of two lines': [{ request: run('id\nid') }, /printable/],
    'a command that is too long': [{ request: run('x'.repeat(200)) }, /too long/],
    'a target that is no host': [{ request: natTo('10.0.0.5,22') }, /no host/],
    'a target that inet_aton would read': [{ request: natTo('10.1') }, /no host/],
    'a timeout that is too long': [{ clientTimeoutSeconds: 65_537 }, /0\.\.65536/],
    'a timeout below zero': [{ clientTimeoutSeconds: -1 }, /0\.\.65536/],
    'too many ports': [{ request: { kind: 'access', source: null, ports: many } }, /too long/],
  };
  for (const [name, [changes, text]] of Object.entries(wrong)) {
    t.throws(() => encodeMessage({ ...plain, ...changes }), { name: 'RangeError', message: text }, name);
  }
});

t.test('a field has one spelling', async (t) => {
  const [random, user, time, version, request] = [
    plain.randomValue,
    'cm9vdA',
    '1795308447',
    '3.0.0',
    'MC4wLjAuMCx0Y3AvMjI',
  ];
  const malformed: Readonly<Record<string, readonly string[]>> = {
    'a random value of 17 digits': [`${random}1`, user, time, version, '1', request],
    'a random value with a letter': [random.replace('6', 'x'), user, time, version, '1', request],
    'no user': [random, '', time, version, '1', request],
    'a user that is no base64': [random, 'cm9v*A', time, version, '1', request],
    'a user with padding': [random, 'cm9vdA==', time, version, '1', request],
    'a user with spare bits': [random, 'cm9vdB', time, version, '1', request],
    'a user with a slash': [random, b64('../x'), time, version, '1', request],
    'a user with a line break': [random, b64('a\nb'), time, version, '1', request],
    'a time with a sign': [random, user, '+795308447', version, '1', request],
    'a time with a leading zero': [random, user, '0795308447', version, '1', request],
    'a time with a blank': [random, user, ' 795308447', version, '1', request],
    'a time of 13 digits': [random, user, '1795308447000', version, '1', request],
    'no time': [random, user, '', version, '1', request],
    'no version': [random, user, time, '', '1', request],
    'a version of nine characters': [random, user, time, '3.0.0.0.0', '1', request],
    'a type with a leading zero': [random, user, time, version, '01', request],
    'an unknown type': [random, user, time, version, '7', request],
    'no type': [random, user, time, version, '', request],
    'no request': [random, user, time, version, '1', ''],
    'no request at all': [random, user, time, version, '1'],
    'a request without ports': [random, user, time, version, '1', b64('10.1.2.3')],
    'a request with a trailing comma': [random, user, time, version, '1', b64('10.1.2.3,tcp/22,')],
    'a request with a blank': [random, user, time, version, '1', b64('10.1.2.3, tcp/22')],
    'a port with a leading zero': [random, user, time, version, '1', b64('10.1.2.3,tcp/022')],
    'port zero': [random, user, time, version, '1', b64('10.1.2.3,tcp/0')],
    'port 65536': [random, user, time, version, '1', b64('10.1.2.3,tcp/65536')],
    'another protocol': [random, user, time, version, '1', b64('10.1.2.3,icmp/22')],
    'an octal address': [random, user, time, version, '1', b64('010.1.2.3,tcp/22')],
    'another spelling of an IPv6 address': [random, user, time, version, '1', b64('2001:DB8::1,tcp/22')],
    'an IPv4 address as IPv6': [random, user, time, version, '1', b64('::ffff:10.1.2.3,tcp/22')],
    'a name instead of an address': [random, user, time, version, '1', b64('localhost,tcp/22')],
    'type 3 without its timeout': [random, user, time, version, '3', request],
    'a timeout with a leading zero': [random, user, time, version, '3', request, '060'],
    'a timeout that is too long': [random, user, time, version, '3', request, '65537'],
    'an empty timeout': [random, user, time, version, '3', request, ''],
    'a server auth that is no base64': [random, user, time, version, '1', request, '*'],
    'a field too many': [random, user, time, version, '1', request, 'YQ', 'YQ'],
  };
  for (const [name, fields] of Object.entries(malformed)) {
    t.throws(() => decodeMessage(withDigest(fields)), { code: 'message-malformed' }, name);
  }
});

t.test('every type has its place for NAT and timeout', async (t) => {
  const head = [plain.randomValue, 'cm9vdA', '1795308447', '3.0.0'];
  const access = b64('10.1.2.3,tcp/2222');
  const target = b64('inside.example.org,22');
  const opened = (fields: readonly string[]): Message => decodeMessage(withDigest([...head, ...fields]));
  t.match(opened(['0', b64('10.1.2.3,/usr/bin/id -u')]), {
    request: { kind: 'command', source: '10.1.2.3', command: '/usr/bin/id -u' },
    clientTimeoutSeconds: null,
  });
  for (const [type, kind] of Object.entries({ 2: 'nat-access', 5: 'local-nat-access' })) {
    t.match(opened([type, access, target]), {
      request: { kind, target: { host: 'inside.example.org', port: 22 } },
      clientTimeoutSeconds: null,
    });
  }
  for (const [type, kind] of Object.entries({ 4: 'nat-access', 6: 'local-nat-access' })) {
    t.match(opened([type, access, target, '60']), { request: { kind }, clientTimeoutSeconds: 60 });
    t.equal(opened([type, access, target, 'YQ', '60']).clientTimeoutSeconds, 60, 'after a server auth');
  }
  const malformed: Readonly<Record<string, readonly string[]>> = {
    'a NAT request without target': ['2', access],
    'a target without port': ['2', access, b64('10.0.0.5')],
    'a target with a blank': ['2', access, b64('10.0.0.5, 22')],
    'a target with three parts': ['2', access, b64('10.0.0.5,22,23')],
    'a target with an octal address': ['2', access, b64('010.0.0.5,22')],
    'a target whose port has a leading zero': ['2', access, b64('10.0.0.5,022')],
    'a target of 71 characters': ['2', access, b64(`${'a'.repeat(71)},22`)],
    'a target with a slash': ['2', access, b64('a/b,22')],
    'a command with a timeout': ['0', b64('10.1.2.3,id'), 'YQ', '60'],
    'an empty command': ['0', b64('10.1.2.3,')],
    'a command with a line break': ['0', b64('10.1.2.3,id\nid')],
    'type 4 without its timeout': ['4', access, target],
  };
  for (const [name, fields] of Object.entries(malformed)) {
    t.throws(() => opened(fields), { code: 'message-malformed' }, name);
  }
});

t.test('a message of any type is read as it was written', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(anyMessage, (written) => {
        t.strictSame(decodeMessage(encodeMessage(written)), written);
      }),
      { numRuns: 300 },
    ),
  );
});

t.test('a server auth is passed over', async (t) => {
  const fields = [plain.randomValue, 'cm9vdA', '1795308447', '3.0.0', '3', 'MC4wLjAuMCx0Y3AvMjI'];
  t.equal(decodeMessage(withDigest([...fields, 'YWJj', '60'])).clientTimeoutSeconds, 60);
  t.equal(decodeMessage(withDigest([...fields, '', '60'])).clientTimeoutSeconds, 60);
});

t.test('a text that is not printable, too short or too long is malformed, whatever its digest', async (t) => {
  for (const text of [
    '',
    'short',
    'x'.repeat(1500),
    `${encodeMessage(plain)}\n`,
    `\0${encodeMessage(plain)}`,
  ]) {
    t.throws(() => decodeMessage(text), { code: 'message-malformed' });
  }
});

t.test('a digest that does not fit, or has no known length, is refused', async (t) => {
  const text = encodeMessage(plain);
  t.throws(() => decodeMessage(text.replace('6729', '6728')), { code: 'digest' });
  t.throws(() => decodeMessage(text.slice(0, -1)), { code: 'digest' });
  t.throws(() => decodeMessage('x'.repeat(100)), { code: 'digest' });
});

t.test(
  'any text gives a message or a SpaError, and a message that is written again is the same text',
  async (t) => {
    const fields = fc.array(
      fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom('1', '3', '22', 'MC4wLjAuMCx0Y3AvMjI')),
      {
        maxLength: 9,
      },
    );
    const texts = fc.oneof(
      fc.string({ maxLength: 1600 }),
      fc.string({ unit: 'binary', maxLength: 200 }),
      fields.map(withDigest),
      fc.tuple(anyMessage, fc.nat(), fc.string({ maxLength: 3 })).map(([original, at, text]) => {
        const encoded = encodeMessage(original);
        const cut = at % encoded.lastIndexOf(':');
        const fields = encoded.slice(0, encoded.lastIndexOf(':'));
        return withDigest([fields.slice(0, cut) + text + fields.slice(cut + text.length)]);
      }),
    );
    t.doesNotThrow(() => fc.assert(fc.property(texts, isHandled), { numRuns: 3_000 }));
  },
);

function isHandled(text: string): boolean {
  try {
    const decoded = decodeMessage(text);
    const optional = [decoded.clientTimeoutSeconds, natTargetOf(decoded.request)].filter(
      (part) => part !== null,
    );
    const hasServerAuth = text.split(':').length > 7 + optional.length;
    return hasServerAuth || encodeMessage(decoded) === text;
  } catch (error) {
    return error instanceof SpaError;
  }
}

function withDigest(fields: readonly string[]): string {
  const text = fields.join(':');
  return `${text}:${digestOf('sha256', text)}`;
}

function run(command: string): Request {
  return { kind: 'command', source: null, command };
}

function natTo(host: string): Request {
  return {
    kind: 'nat-access',
    source: null,
    ports: [{ protocol: 'tcp', port: 22 }],
    target: { host, port: 22 },
  };
}

function b64(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64').replaceAll('=', '');
}
