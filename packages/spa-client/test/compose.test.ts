import fc from 'fast-check';
import {
  decodeMessage,
  encodeMessage,
  type IpAddress,
  isCommand,
  isUsername,
  parseIpAddress,
} from 'spa-core';
import { UsageError } from 'spa-host';
import t from 'tap';
import {
  type ComposeHost,
  compose,
  defaultUsername,
  destinationOf,
  type ResolvedSettings,
} from '../src/index.ts';

const host: ComposeHost = {
  nowSeconds: 1_700_000_000,
  random: (bytes) => new Uint8Array(bytes).fill(7),
  username: 'alice',
};
const ssh = [{ protocol: 'tcp', port: 22 }] as const;
const address = parseIpAddress('192.0.2.1');

t.test('the least that is needed gives a plain access message', async (t) => {
  t.same(compose({ access: ssh, allowIp: null }, host), {
    message: {
      randomValue: '7777777777777777',
      username: 'alice',
      timestampSeconds: 1_700_000_000,
      version: '3.0.0',
      request: { kind: 'access', source: null, ports: ssh },
      clientTimeoutSeconds: null,
      digest: 'sha256',
    },
    destination: null,
  });
});

t.test('a timeout makes it message type 3, and 0 is no timeout', async (t) => {
  const settings = { access: ssh, allowIp: null };
  t.match(compose({ ...settings, clientTimeoutSeconds: 60 }, host).message, {
    clientTimeoutSeconds: 60,
  });
  t.match(compose({ ...settings, clientTimeoutSeconds: 0 }, host).message, {
    clientTimeoutSeconds: null,
  });
});

t.test('where the port leads is in the NAT field, the port to connect to in the message', async (t) => {
  const settings: ResolvedSettings = { access: ssh, allowIp: null, server: 'bastion.example.org' };
  const tcp = (port: number) => [{ protocol: 'tcp', port }];
  const inside = { host: '10.0.0.5', port: 23 };
  const rows: readonly (readonly [ResolvedSettings, object])[] = [
    [{ natAccess: inside }, { kind: 'nat-access', ports: ssh, target: inside }],
    [
      { natAccess: { ...inside, port: null } },
      { kind: 'nat-access', ports: ssh, target: { host: '10.0.0.5', port: 22 } },
    ],
    [
      { natAccess: inside, natPort: 2222 },
      { kind: 'nat-access', ports: tcp(2222), target: inside },
    ],
    [
      { natLocal: true, natPort: 2222 },
      { kind: 'local-nat-access', ports: tcp(2222), target: { host: 'bastion.example.org', port: 22 } },
    ],
    [
      { natLocal: true, natAccess: inside },
      { kind: 'local-nat-access', ports: ssh, target: inside },
    ],
    // A server with FORCE_NAT says itself where it leads.
    [{ natPort: 2222 }, { kind: 'access', ports: tcp(2222) }],
  ];
  for (const [nat, expected] of rows) {
    const { request } = compose({ ...settings, ...nat }, host).message;
    t.same(request, { kind: 'access', source: null, ...expected }, JSON.stringify(nat));
  }
});

t.test('a random port is one of 10000..65534, whatever the random bytes', async (t) => {
  const portOf = (...bytes: readonly number[]): number | undefined => {
    const rest = [...bytes];
    const random = (count: number): Uint8Array => Uint8Array.from({ length: count }, () => rest.shift() ?? 7);
    const settings = { access: ssh, allowIp: null, natAccess: { host: '10.0.0.5', port: null } };
    const { request } = compose({ ...settings, natRandPort: true }, { ...host, random }).message;
    return request.kind === 'nat-access' ? request.ports[0]?.port : undefined;
  };
  t.equal(portOf(0x27, 0x10), 10_000);
  t.equal(portOf(0xff, 0xfe), 65_534);
  t.equal(portOf(0xff, 0xff, 0x27, 0x0f, 0x80, 0x01), 32_769, 'what is out of the range is not taken');
});

t.test('a command has its own message type and no timeout, and goes before ports', async (t) => {
  const settings = {
    access: ssh,
    allowIp: null,
    command: '/bin/id',
    clientTimeoutSeconds: 60,
    natLocal: true,
  };
  t.match(compose(settings, host).message, {
    request: { kind: 'command', source: null, command: '/bin/id' },
    clientTimeoutSeconds: null,
  });
});

t.test(
  'the destination has the default port, and prefers the family of the address to open for',
  async (t) => {
    const settings: ResolvedSettings = { access: ssh, allowIp: null, server: 'x' };
    t.same(compose(settings, host).destination, {
      host: 'x',
      port: 62201,
      protocol: 'udp',
      proxy: null,
      userAgent: null,
      sourcePort: null,
      family: null,
      preferredFamily: null,
    });
    const more: ResolvedSettings = {
      ...settings,
      allowIp: address,
      serverPort: 9,
      protocol: 'http',
      httpProxy: { host: 'y', port: 3128 },
      httpUserAgent: 'mine',
      sourcePort: 8,
      serverIpv4Only: true,
    };
    t.same(compose(more, host).destination, {
      host: 'x',
      port: 9,
      protocol: 'http',
      proxy: { host: 'y', port: 3128 },
      userAgent: 'mine',
      sourcePort: 8,
      family: 4,
      preferredFamily: 4,
    });
  },
);

t.test('the destination is known before the own address is', async (t) => {
  t.match(destinationOf({ server: 'x', allowIp: 'resolve' }), { host: 'x', preferredFamily: null });
  t.equal(destinationOf({ allowIp: 'resolve' }), null);
});

t.test('what is missing or too much is a UsageError', async (t) => {
  const ports = Array.from({ length: 40 }, () => ssh[0]);
  t.throws(() => compose({ allowIp: null }, host), { name: 'UsageError', message: /-A tcp\/22/ });
  t.throws(() => compose({ access: ssh }, host), { name: 'UsageError', message: /-s for the address/ });
  t.throws(() => compose({ access: ports, allowIp: null }, host), {
    message: '40 ports are too many for one packet; send several',
  });
  t.throws(() => compose({ command: 'x'.repeat(190), allowIp: null }, host), {
    message: 'the command has 190 characters, too many for one packet; have the server keep it as a script',
  });
  t.throws(() => compose({ access: [...ssh, ...ssh], allowIp: null, natPort: 1 }, host), {
    message: 'one port outside leads to one inside: with a NAT port, give -A a single port',
  });
  t.throws(() => compose({ access: ssh, allowIp: null, natLocal: true }, host), {
    message: '--nat-local means a port of the server: give -D HOST',
  });
  t.throws(() => compose({ access: ssh, allowIp: null, natLocal: true, server: 'h'.repeat(71) }, host), {
    message: /is too long for a packet, or no host; give its address with -N ADDRESS$/,
  });
  t.throws(() => compose({ access: ssh, allowIp: null }, { ...host, username: 'a:b' }), {
    message: /"a:b" cannot be sent/,
  });
  t.throws(() => compose({ access: ssh, allowIp: null, timeOffsetSeconds: -1_700_000_001 }, host), {
    message: /before 1970/,
  });
});

t.test(
  'whatever the settings, the message can be encoded and decodes to itself, or is a UsageError',
  async (t) => {
    const ipAddress = fc.oneof(fc.ipV4(), fc.ipV6()).map((text) => parseIpAddress(text));
    const settings = fc.record(
      {
        access: fc.array(
          fc.record(
            { protocol: fc.constantFrom('tcp', 'udp'), port: fc.integer({ min: 1, max: 65535 }) },
            { noNullPrototype: true },
          ),
          { minLength: 1, maxLength: 30 },
        ),
        allowIp: ipAddress.filter((ip): ip is IpAddress => ip !== null && ip !== '0.0.0.0'),
        clientTimeoutSeconds: fc.integer({ min: 0, max: 65536 }),
        timeOffsetSeconds: fc.integer({ min: -1e9, max: 1e9 }),
        username: fc.string({ maxLength: 60 }),
        digest: fc.constantFrom('md5', 'sha256', 'sha3_512'),
        natAccess: fc.record(
          {
            host: fc.oneof(
              fc.domain(),
              fc.ipV4(),
              fc.ipV6().map((text) => parseIpAddress(text) ?? '::1'),
            ),
            port: fc.option(fc.integer({ min: 1, max: 65535 })),
          },
          { noNullPrototype: true },
        ),
        natLocal: fc.boolean(),
        natPort: fc.integer({ min: 1, max: 65535 }),
        server: fc.domain(),
        command: fc.string({ minLength: 1, maxLength: 200 }).filter(isCommand),
      },
      { requiredKeys: ['access', 'allowIp'], noNullPrototype: true },
    );
    fc.assert(
      fc.property(settings, (given) => {
        try {
          const { message } = compose(given as ResolvedSettings, host);
          t.same(decodeMessage(encodeMessage(message)).request, message.request);
        } catch (error) {
          if (!(error instanceof UsageError)) throw error;
        }
      }),
    );
  },
);

t.test("the user name comes from where fwknop takes it, in fwknop's order", async (t) => {
  const env = { SPOOF_USER: 'a', LOGNAME: 'b', USER: 'd' };
  t.equal(defaultUsername(env, 'c'), 'a');
  t.equal(defaultUsername({ ...env, SPOOF_USER: '' }, 'c'), 'b');
  t.equal(defaultUsername({ USER: 'd' }, 'c'), 'c');
  t.equal(defaultUsername({ USER: 'd' }, null), 'd');
  t.ok(isUsername(defaultUsername({}, null)));
});
