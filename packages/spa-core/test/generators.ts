import * as fc from 'fast-check';
import { DIGEST_NAMES, type Message, type ProtoPort, parseIpAddress } from 'spa-core';

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
  messageType: 1,
  request: { source: null, ports: [{ protocol: 'tcp', port: 22 }] },
  clientTimeoutSeconds: null,
  digest: 'sha256',
};

/** Messages that fit into one packet. */
export const message: fc.Arbitrary<Message> = fc
  .record({
    randomValue: fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 16, maxLength: 16 }),
    username,
    // Of nine digits at least: with fewer the shortest message makes a packet that is too short.
    timestampSeconds: fc.integer({ min: 100_000_000, max: 999_999_999_999 }),
    version: fc.constantFrom('3.0.0', '2.0.2', '1'),
    source: fc.option(fc.oneof(fc.ipV4(), fc.ipV6())),
    ports: fc.array(protoPort, { minLength: 1, maxLength: 4 }),
    clientTimeoutSeconds: fc.option(fc.integer({ min: 0, max: 65_536 })),
    digest: fc.constantFrom(...DIGEST_NAMES),
  })
  .map(({ source, ports, ...rest }) => ({
    ...rest,
    messageType: rest.clientTimeoutSeconds === null ? (1 as const) : (3 as const),
    request: { source: asSource(source), ports },
  }));

/** 0.0.0.0 is how the wire spells "as seen", which a message says with null. */
function asSource(text: string | null): Message['request']['source'] {
  const address = text === null ? null : parseIpAddress(text);
  return address === '0.0.0.0' ? null : address;
}
