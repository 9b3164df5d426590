import * as fc from 'fast-check';
import {
  type IpAddress,
  type IpNetwork,
  identify,
  type Message,
  type ProtoPort,
  parseIpNetwork,
  type Request,
} from 'spa-core';
import t from 'tap';
import { authorize } from '../src/decision/authorize.ts';
import { NO_NAT } from '../src/decision/nat.ts';
import type { Stanza } from '../src/decision/stanza.ts';
import type { Arrival, Authentic, Verdict } from '../src/decision/verdict.ts';
import { addressOf, messageOf, portsOf, stanzaOf } from './gate.ts';

const now = 1_795_310_900;
const clock = { nowSeconds: now, maxAgeSeconds: 120 };
const here = addressOf('192.0.2.7');
const arrival = { source: here, destination: null, forwardedFor: null };
const there = addressOf('198.51.100.9');

const COMMAND: Request = { kind: 'command', source: null, command: 'id -u' };
const POLICY = { account: { name: 'nobody:65534', uid: 65_534, gid: 65_534 }, sudo: null };
const CYCLE = { open: ['ipset', 'add', '$IP'], close: null, timerSeconds: 9 };
const TARGETS = networksOf('10.0.0.0/24').map((network) => ({ network, ports: [22] }));

interface Case {
  readonly arrival?: Partial<Arrival>;
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
    message: { request: { kind: 'access', source: there, ports: portsOf('tcp/22') } },
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
    message: { request: { kind: 'access', source: here, ports: portsOf('tcp/22') } },
    stanza: { requireSourceAddress: true },
    gets: { kind: 'grant' },
  },
  'one port too many costs all of them': {
    message: { request: { kind: 'access', source: null, ports: portsOf('tcp/22,tcp/23') } },
    gets: { kind: 'deny', reason: 'port-not-open' },
  },
  'the same number of another protocol is another port': {
    message: { request: { kind: 'access', source: null, ports: portsOf('udp/22') } },
    gets: { kind: 'deny', reason: 'port-not-open' },
  },
  'a restricted port is denied also where it is open': {
    stanza: { restrictPorts: portsOf('tcp/22') },
    gets: { kind: 'deny', reason: 'port-restricted' },
  },
  'without OPEN_PORTS any port is given': {
    message: { request: { kind: 'access', source: null, ports: portsOf('udp/53') } },
    stanza: { openPorts: null },
    gets: { kind: 'grant', grant: { ports: portsOf('udp/53') } },
  },
  'without OPEN_PORTS a restricted port is still denied': {
    stanza: { openPorts: null, restrictPorts: portsOf('tcp/22') },
    gets: { kind: 'deny', reason: 'port-restricted' },
  },
  'a client gets the time that it asks for': {
    message: { clientTimeoutSeconds: 5 },
    gets: { kind: 'grant', grant: { timeoutSeconds: 5 } },
  },
  'but no more than the stanza allows': {
    message: { clientTimeoutSeconds: 65_536 },
    gets: { kind: 'grant', grant: { timeoutSeconds: 300 } },
  },
  'asking for no time means the time of the stanza': {
    message: { clientTimeoutSeconds: 0 },
    gets: { kind: 'grant', grant: { timeoutSeconds: 30 } },
  },
  'a stanza that has expired gives nothing': {
    stanza: { expiresAtSeconds: now },
    gets: { kind: 'deny', reason: 'stanza-expired' },
  },
  'a door does not outlive its stanza': {
    stanza: { expiresAtSeconds: now + 7 },
    gets: { kind: 'grant', grant: { timeoutSeconds: 7 } },
  },
  'a packet to another destination gets nothing': {
    arrival: { destination: there },
    stanza: { destinations: networksOf('192.0.2.0/24') },
    gets: { kind: 'deny', reason: 'destination' },
  },
  'nor does one whose destination nobody knows': {
    stanza: { destinations: networksOf('192.0.2.0/24') },
    gets: { kind: 'deny', reason: 'destination' },
  },
  'a packet to the destination of the stanza gets its door, there only if the stanza says so': {
    arrival: { destination: here },
    stanza: { destinations: networksOf('192.0.2.0/24'), doorsAtDestination: true },
    gets: { kind: 'grant', grant: { destination: here } },
  },
  'what a proxy forwarded is for whom it says': {
    arrival: { forwardedFor: there },
    gets: { kind: 'grant', grant: { address: there } },
  },
  'unless the message names an address': {
    arrival: { forwardedFor: there },
    message: { request: access('tcp/22', here) },
    gets: { kind: 'grant', grant: { address: here } },
  },
  'a command is not run unless the stanza says so': {
    message: { request: COMMAND },
    gets: { kind: 'deny', reason: 'command-not-allowed' },
  },
  'a command is run, whatever the ports': {
    message: { request: COMMAND },
    stanza: { commands: POLICY, openPorts: [] },
    gets: { kind: 'run', run: { command: 'id -u', policy: POLICY } },
  },
  'a command needs the required user as well': {
    message: { request: COMMAND },
    stanza: { commands: POLICY, requireUsername: 'bob' },
    gets: { kind: 'deny', reason: 'user' },
  },
  'a stanza of commands of its own runs no other': {
    message: { request: COMMAND },
    stanza: { commands: POLICY, cycle: CYCLE },
    gets: { kind: 'deny', reason: 'command-not-allowed' },
  },
  'instead of a door the commands of the stanza are run': {
    message: { request: access('tcp/22,tcp/443', there) },
    stanza: { cycle: CYCLE, openPorts: null },
    gets: {
      kind: 'cycle',
      cycle: {
        cycle: CYCLE,
        variables: {
          address: there,
          packetSource: here,
          port: { protocol: 'tcp', port: 22 },
          timeoutSeconds: 9,
        },
      },
    },
  },
  'for ports that are not open they are not': {
    message: { request: access('tcp/443') },
    stanza: { cycle: CYCLE },
    gets: { kind: 'deny', reason: 'port-not-open' },
  },
  'a client gets no more time from them than from a door': {
    message: { clientTimeoutSeconds: 65_536 },
    stanza: { cycle: CYCLE },
    gets: { kind: 'cycle', cycle: { variables: { timeoutSeconds: 300 } } },
  },
  'nor do they run for NAT that is not enabled': {
    message: { request: nat('nat-access', '10.0.0.5', 22) },
    stanza: { cycle: CYCLE },
    gets: { kind: 'deny', reason: 'nat-not-allowed' },
  },
  'NAT is denied unless it is enabled': {
    message: { request: nat('nat-access', '10.0.0.5', 22) },
    stanza: { nat: { ...NO_NAT, local: true } },
    gets: { kind: 'deny', reason: 'nat-not-allowed' },
  },
  'NAT leads where the message says': {
    message: { request: nat('nat-access', '10.0.0.5', 2222) },
    stanza: { nat: { ...NO_NAT, forwarding: true, sourceAs: 'masquerade' } },
    gets: {
      kind: 'grant',
      grant: { forward: { kind: 'nat', target: { host: '10.0.0.5', port: 2222 }, sourceAs: 'masquerade' } },
    },
  },
  'but not past NAT_TARGETS': {
    message: { request: nat('nat-access', '10.0.1.5', 22) },
    stanza: { nat: { ...NO_NAT, forwarding: true, targets: TARGETS } },
    gets: { kind: 'deny', reason: 'nat-target' },
  },
  'nor, wherever it may lead, to where no inner host is': {
    message: { request: nat('nat-access', '169.254.169.254', 80) },
    stanza: { nat: { ...NO_NAT, forwarding: true } },
    gets: { kind: 'deny', reason: 'nat-target' },
  },
  'nor to another port there': {
    message: { request: nat('nat-access', '10.0.0.5', 23) },
    stanza: { nat: { ...NO_NAT, forwarding: true, targets: TARGETS } },
    gets: { kind: 'deny', reason: 'nat-target' },
  },
  'nor to a name, where names are not asked for': {
    message: { request: nat('nat-access', 'inside', 22) },
    stanza: { nat: { ...NO_NAT, forwarding: true, dns: false } },
    gets: { kind: 'deny', reason: 'nat-target' },
  },
  'FORCE_NAT leads a plain request elsewhere': {
    stanza: { nat: { ...NO_NAT, forwarding: true, force: { address: there, port: 22 } } },
    gets: { kind: 'grant', grant: { forward: { kind: 'nat', target: { host: there, port: 22 } } } },
  },
  'FORCE_NAT counts more than what a message asks for': {
    message: { request: nat('nat-access', '10.0.0.5', 22) },
    stanza: { nat: { ...NO_NAT, forwarding: true, force: { address: there, port: 22 } } },
    gets: { kind: 'grant', grant: { forward: { target: { host: there, port: 22 } } } },
  },
  'FORWARD_ALL leads all that the client sends on': {
    stanza: { nat: { ...NO_NAT, forwardAll: true } },
    gets: { kind: 'grant', grant: { forward: { kind: 'nat', target: null, all: true } } },
  },
  'local NAT leads to an open port': {
    message: { request: nat('local-nat-access', '192.0.2.1', 22) },
    stanza: { nat: { ...NO_NAT, local: true } },
    gets: { kind: 'grant', grant: { forward: { kind: 'local', target: { host: '192.0.2.1', port: 22 } } } },
  },
  'local NAT does not open what OPEN_PORTS does not': {
    message: { request: nat('local-nat-access', '192.0.2.1', 3306) },
    stanza: { nat: { ...NO_NAT, local: true } },
    gets: { kind: 'deny', reason: 'nat-target' },
  },
  'a stale message of the wrong user is outdated, which is what can be mended': {
    message: { timestampSeconds: now - 1000 },
    stanza: { requireUsername: 'bob' },
    gets: { kind: 'outdated' },
  },
};

for (const [title, { message = {}, signedAtSeconds = null, stanza = {}, gets, ...rest }] of Object.entries(
  CASES,
)) {
  t.test(title, async (t) => {
    const arrived = { ...arrival, ...rest.arrival };
    t.match(authorize(authenticOf(message, signedAtSeconds), arrived, stanzaOf(stanza), clock), gets);
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
        request: { kind: 'access', source, ports },
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
        return isOutdated === (authorize(opened, arrival, stanza, clock).kind === 'outdated');
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
        const verdict = authorize(opened, arrival, stanza, clock);
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

function access(ports: string, source: IpAddress | null = null): Request {
  return { kind: 'access', source, ports: portsOf(ports) };
}

function nat(kind: 'nat-access' | 'local-nat-access', host: string, port: number): Request {
  return { kind, source: null, ports: portsOf('tcp/22'), target: { host, port } };
}

function networksOf(text: string): readonly IpNetwork[] {
  const network = parseIpNetwork(text);
  if (network === null) throw new TypeError(text);
  return [network];
}

function includes(list: readonly ProtoPort[], wanted: ProtoPort): boolean {
  return list.some((other) => other.protocol === wanted.protocol && other.port === wanted.port);
}
