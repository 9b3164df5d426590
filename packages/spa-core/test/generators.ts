import * as fc from 'fast-check';
import {
  DIGEST_NAMES,
  isCommand,
  type Message,
  type NatTarget,
  type ProtoPort,
  parseIpAddress,
  type Request,
} from 'spa-core';

/** Doors that a request can name. */
export const protoPort: fc.Arbitrary<ProtoPort> = fc.record(
  {
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    port: fc.integer({ min: 1, max: 65_535 }),
  },
  { noNullPrototype: true },
);

/** User names that pass the wire's rule. */
export const username: fc.Arbitrary<string> = fc.string({
  unit: fc.constantFrom(..."abcXYZ019 ._-@$()!#%&'^`{}~"),
  minLength: 1,
  maxLength: 48,
});

/** A request as most are: tcp/22 for whoever sends it. */
export const plainRequest: Message = {
  randomValue: '0123456789012345',
  username: 'alice',
  timestampSeconds: 1_795_310_900,
  version: '3.0.0',
  request: { kind: 'access', source: null, ports: [{ protocol: 'tcp', port: 22 }] },
  clientTimeoutSeconds: null,
  digest: 'sha256',
};

const source: fc.Arbitrary<Request['source']> = fc.option(fc.oneof(fc.ipV4(), fc.ipV6())).map(asSource);
const ports = fc.array(protoPort, { minLength: 1, maxLength: 4 });
const target: fc.Arbitrary<NatTarget> = fc.record(
  {
    host: fc.oneof(
      fc.ipV4(),
      fc.ipV6().map((text) => parseIpAddress(text) ?? text),
      fc.domain().filter((name) => name.length <= 40 && !name.includes('%')),
    ),
    port: fc.integer({ min: 1, max: 65_535 }),
  },
  { noNullPrototype: true },
);
const command = fc
  .string({ unit: fc.constantFrom(...'abcXYZ09/-_.,:=$%\'" '), minLength: 1, maxLength: 60 })
  .filter(isCommand);

/** Requests of every kind. */
export const request: fc.Arbitrary<Request> = fc.oneof(
  fc.record({ kind: fc.constant('access' as const), source, ports }, { noNullPrototype: true }),
  fc.record(
    { kind: fc.constantFrom('nat-access' as const, 'local-nat-access' as const), source, ports, target },
    { noNullPrototype: true },
  ),
  fc.record({ kind: fc.constant('command' as const), source, command }, { noNullPrototype: true }),
);

/** Messages of every type. Those with NAT and many ports may be too long for a packet of AES. */
export const anyMessage: fc.Arbitrary<Message> = messageOf(request);

/** Access messages: they fit into one packet. */
export const message: fc.Arbitrary<Message> = messageOf(
  fc.record({ kind: fc.constant('access' as const), source, ports }, { noNullPrototype: true }),
);

function messageOf(request: fc.Arbitrary<Request>): fc.Arbitrary<Message> {
  return fc
    .record(
      {
        randomValue: fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 16, maxLength: 16 }),
        username,
        // Of nine digits at least: with fewer the shortest message makes a packet that is too short.
        timestampSeconds: fc.integer({ min: 100_000_000, max: 999_999_999_999 }),
        version: fc.constantFrom('3.0.0', '2.0.2', '1'),
        request,
        clientTimeoutSeconds: fc.option(fc.integer({ min: 0, max: 65_536 })),
        digest: fc.constantFrom(...DIGEST_NAMES),
      },
      { noNullPrototype: true },
    )
    .map((fields) =>
      fields.request.kind === 'command' ? { ...fields, clientTimeoutSeconds: null } : fields,
    );
}

/** 0.0.0.0 is how the wire spells "as seen", which a message says with null. */
function asSource(text: string | null): Request['source'] {
  const address = text === null ? null : parseIpAddress(text);
  return address === '0.0.0.0' ? null : address;
}
