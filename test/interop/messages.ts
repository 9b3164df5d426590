import * as fc from 'fast-check';
import {
  CIPHER_MODES,
  type CipherMode,
  DIGEST_NAMES,
  formatNatTarget,
  formatRequest,
  type Message,
  messageTypeOf,
  natTargetOf,
  parseIpAddress,
  type Request,
} from 'spa-core';
import type { Fields, Secrets } from './libfko.ts';

const digest = fc.constantFrom(...DIGEST_NAMES);

/** Keys of all lengths that both sides take, any byte in them, with any mode and any HMAC. */
export const secrets: fc.Arbitrary<Secrets> = fc.record({
  key: keyOf(32),
  mode: fc.constantFrom(...(Object.keys(CIPHER_MODES) as CipherMode[])),
  hmac: fc.option(fc.record({ key: keyOf(128), digest })),
});

/** User names that both sides take. */
const username = fc.string({
  unit: fc.constantFrom(..."abcXYZ019 ._-@$()!#%&'^`{}~"),
  minLength: 1,
  maxLength: 48,
});

const port = fc.integer({ min: 1, max: 65_535 });

const protoPort = fc.record({ protocol: fc.constantFrom('tcp' as const, 'udp' as const), port });

/** The wire says 0.0.0.0 for "as seen". */
const source = fc
  .option(fc.ipV4())
  .map((text) => (text === null || text === '0.0.0.0' ? null : parseIpAddress(text)));

const label = fc.string({ unit: fc.constantFrom(...'abcz09-'), minLength: 1, maxLength: 12 });

const host = fc.oneof(
  fc.ipV4(),
  fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => `h${labels.join('.')}.example`),
);

const command = fc
  .string({
    unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
    minLength: 1,
    maxLength: 130,
  })
  .map((text) => `/${text}`);

const request: fc.Arbitrary<Request> = fc.oneof(
  fc.record({ kind: fc.constant('command' as const), source, command }),
  fc.record({
    kind: fc.constant('access' as const),
    source,
    ports: fc.array(protoPort, { minLength: 1, maxLength: 8 }),
  }),
  fc.record({
    kind: fc.constantFrom('nat-access' as const, 'local-nat-access' as const),
    source,
    ports: fc.array(protoPort, { minLength: 1, maxLength: 3 }),
    target: fc.record({ host, port }, { noNullPrototype: true }),
  }),
);

/** Messages of all types, as an honest client makes them. */
export const message: fc.Arbitrary<Message> = fc
  .record({
    randomValue: fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 16, maxLength: 16 }),
    username,
    timestampSeconds: fc.integer({ min: 1_000_000_000, max: 2 ** 31 - 1 }),
    version: fc.constant('3.0.0'),
    request,
    // A timeout of 0 is what libfko takes for none.
    clientTimeoutSeconds: fc.option(fc.integer({ min: 1, max: 65_536 })),
    digest,
  })
  .map((fields) => (fields.request.kind === 'command' ? { ...fields, clientTimeoutSeconds: null } : fields));

/** What the wire text of a message says. */
export function fieldsOf(message: Message, serverAuth = ''): Fields {
  const target = natTargetOf(message.request);
  return {
    randomValue: message.randomValue,
    username: message.username,
    timestampSeconds: message.timestampSeconds,
    type: messageTypeOf(message).number,
    message: formatRequest(message.request),
    nat: target === null ? '' : formatNatTarget(target),
    serverAuth,
    timeoutSeconds: message.clientTimeoutSeconds ?? 0,
    digest: message.digest,
  };
}

/** The key "0" is none to Perl. */
function keyOf(maxLength: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: 1, maxLength }).filter((key) => key.length > 1 || key[0] !== 0x30);
}
