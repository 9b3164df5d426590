import * as fc from 'fast-check';
import { identify, type Message, type ProtoPort } from 'spa-core';
import t from 'tap';
import { authorize } from '../src/decision/authorize.ts';
import type { Stanza } from '../src/decision/stanza.ts';
import type { Authentic, Verdict } from '../src/decision/verdict.ts';
import { addressOf, messageOf, portsOf, stanzaOf } from './gate.ts';

const now = 1_795_310_900;
const clock = { nowSeconds: now, maxAgeSeconds: 120 };
const here = addressOf('192.0.2.7');
const there = addressOf('198.51.100.9');

interface Case {
  readonly message?: Partial<Message>;
  readonly signedAtSeconds?: number;
  readonly stanza?: Partial<Stanza>;
  readonly gets: object;
}

const CASES: Readonly<Record<string, Case>> = {
  'a plain request gets its port, for the address it came from, for the time of the stanza': {
    gets: { kind: 'grant', grant: { address: here, ports: portsOf('tcp/22'), timeoutSeconds: 30 } },
  },
  'a request that names an address gets it for that address': {
    message: { request: { source: there, ports: portsOf('tcp/22') } },
    gets: { kind: 'grant', grant: { address: there } },
  },
  'a message of exactly the greatest age is accepted': {
    message: { timestampSeconds: now - 120 },
    gets: { kind: 'grant' },
  },
  'a message one second older is outdated': {
    message: { timestampSeconds: now - 121 },
    gets: { kind: 'outdated', differenceSeconds: 121 },
  },
  'a message that is ahead by exactly the greatest age is accepted': {
    message: { timestampSeconds: now + 120 },
    gets: { kind: 'grant' },
  },
  'a message one second further ahead is outdated': {
    message: { timestampSeconds: now + 121 },
    gets: { kind: 'outdated', differenceSeconds: -121 },
  },
  'a signature at the edge of the window counts': { signedAtSeconds: now - 120, gets: { kind: 'grant' } },
  'a signature older than the window is outdated, however fresh the message claims to be': {
    signedAtSeconds: now - 121,
    gets: { kind: 'outdated', differenceSeconds: 121 },
  },
  'a signature from the future is outdated': {
    signedAtSeconds: now + 121,
    gets: { kind: 'outdated', differenceSeconds: -121 },
  },
  'the required user is let in': { stanza: { requireUsername: 'alice' }, gets: { kind: 'grant' } },
  'another user is not': { stanza: { requireUsername: 'Alice' }, gets: { kind: 'deny', reason: 'user' } },
  'a request without an address is denied where one is required': {
    stanza: { requireSourceAddress: true },
    gets: { kind: 'deny', reason: 'source-required' },
  },
  'a request with an address is not': {
    message: { request: { source: here, ports: portsOf('tcp/22') } },
    stanza: { requireSourceAddress: true },
    gets: { kind: 'grant' },
  },
  'one port too many costs all of them': {
    message: { request: { source: null, ports: portsOf('tcp/22,tcp/23') } },
    gets: { kind: 'deny', reason: 'port-not-open' },
  },
  'the same number of another protocol is another port': {
    message: { request: { source: null, ports: portsOf('udp/22') } },
    gets: { kind: 'deny', reason: 'port-not-open' },
  },
  'a restricted port is denied also where it is open': {
    stanza: { restrictPorts: portsOf('tcp/22') },
    gets: { kind: 'deny', reason: 'port-restricted' },
  },
  'without OPEN_PORTS any port is given': {
    message: { request: { source: null, ports: portsOf('udp/53') } },
    stanza: { openPorts: null },
    gets: { kind: 'grant', grant: { ports: portsOf('udp/53') } },
  },
  'without OPEN_PORTS a restricted port is still denied': {
    stanza: { openPorts: null, restrictPorts: portsOf('tcp/22') },
    gets: { kind: 'deny', reason: 'port-restricted' },
  },
  'a client gets the time that it asks for': {
    message: { messageType: 3, clientTimeoutSeconds: 5 },
    gets: { kind: 'grant', grant: { timeoutSeconds: 5 } },
  },
  'but no more than the stanza allows': {
    message: { messageType: 3, clientTimeoutSeconds: 65_536 },
    gets: { kind: 'grant', grant: { timeoutSeconds: 300 } },
  },
  'asking for no time means the time of the stanza': {
    message: { messageType: 3, clientTimeoutSeconds: 0 },
    gets: { kind: 'grant', grant: { timeoutSeconds: 30 } },
  },
  'a stale message of the wrong user is outdated, which is what can be mended': {
    message: { timestampSeconds: now - 1000 },
    stanza: { requireUsername: 'bob' },
    gets: { kind: 'outdated' },
  },
};

for (const [title, { message = {}, signedAtSeconds = null, stanza = {}, gets }] of Object.entries(CASES)) {
  t.test(title, async (t) => {
    t.match(authorize(authenticOf(message, signedAtSeconds), here, stanzaOf(stanza), clock), gets);
  });
}

const port: fc.Arbitrary<ProtoPort> = fc.record(
  { protocol: fc.constantFrom('tcp' as const, 'udp' as const), port: fc.integer({ min: 1, max: 6 }) },
  { noNullPrototype: true },
);
const ports = fc.array(port, { minLength: 1, maxLength: 4 });
const policy: fc.Arbitrary<Stanza> = fc
  .record({
    openPorts: fc.option(ports),
    restrictPorts: fc.array(port, { maxLength: 2 }),
    maxTimeoutSeconds: fc.integer({ min: 1, max: 8_388_608 }),
    accessTimeoutSeconds: fc.integer({ min: 1, max: 8_388_608 }),
    requireSourceAddress: fc.boolean(),
    requireUsername: fc.option(fc.constantFrom('alice', 'bob')),
  })
  .map(({ accessTimeoutSeconds, ...rest }) =>
    stanzaOf({ ...rest, accessTimeoutSeconds: Math.min(accessTimeoutSeconds, rest.maxTimeoutSeconds) }),
  );
const authentic: fc.Arbitrary<Authentic> = fc
  .record({
    timestampSeconds: fc.integer({ min: now - 130, max: now + 130 }),
    signedAtSeconds: fc.option(fc.integer({ min: now - 130, max: now + 130 })),
    clientTimeoutSeconds: fc.option(fc.integer({ min: 0, max: 65_536 })),
    source: fc.option(fc.constant(there)),
    ports,
  })
  .map(({ signedAtSeconds, source, ports, ...message }) =>
    authenticOf(
      {
        ...message,
        messageType: message.clientTimeoutSeconds === null ? 1 : 3,
        request: { source, ports },
      },
      signedAtSeconds,
    ),
  );

t.test('a grant never names a port that the stanza does not open or that it restricts', async (t) => {
  always(t, (grant, _, stanza) =>
    grant.ports.every(
      (wanted) =>
        !includes(stanza.restrictPorts, wanted) &&
        (stanza.openPorts === null || includes(stanza.openPorts, wanted)),
    ),
  );
});

t.test('a grant lasts a second at least and MAX_FW_TIMEOUT at most', async (t) => {
  always(
    t,
    ({ timeoutSeconds }, _, stanza) =>
      Number.isInteger(timeoutSeconds) && timeoutSeconds >= 1 && timeoutSeconds <= stanza.maxTimeoutSeconds,
  );
});

t.test('a grant is never for a message or a signature beyond the greatest age', async (t) => {
  always(t, (_, { message, signedAtSeconds }) =>
    [message.timestampSeconds, signedAtSeconds ?? now].every((seconds) => Math.abs(now - seconds) <= 120),
  );
});

t.test('a grant is for the address that the message names, otherwise for where it came from', async (t) => {
  always(t, ({ address }, { message }) => address === (message.request.source ?? here));
});

t.test('within the age a message is granted or denied, outside of it it is outdated', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(authentic, policy, (opened, stanza) => {
        const times = [opened.message.timestampSeconds, opened.signedAtSeconds ?? now];
        const isOutdated = times.some((seconds) => Math.abs(now - seconds) > 120);
        return isOutdated === (authorize(opened, here, stanza, clock).kind === 'outdated');
      }),
    ),
  );
});

function always(
  t: { doesNotThrow(check: () => void): unknown },
  holds: (grant: (Verdict & { kind: 'grant' })['grant'], opened: Authentic, stanza: Stanza) => boolean,
): void {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(authentic, policy, (opened, stanza) => {
        const verdict = authorize(opened, here, stanza, clock);
        return verdict.kind !== 'grant' || holds(verdict.grant, opened, stanza);
      }),
      { numRuns: 500 },
    ),
  );
}

function authenticOf(message: Partial<Message>, signedAtSeconds: number | null): Authentic {
  return {
    id: identify('a message'),
    message: messageOf({ timestampSeconds: now, ...message }),
    signer: null,
    signedAtSeconds,
    stanzaNumber: 1,
    operatorName: null,
  };
}

function includes(list: readonly ProtoPort[], wanted: ProtoPort): boolean {
  return list.some((other) => other.protocol === wanted.protocol && other.port === wanted.port);
}
