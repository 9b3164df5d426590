import { ConfigError } from 'spa-host';
import t from 'tap';
import { readSettings, type Statement } from '../src/config/keywords.ts';
import { natPolicy, SERVER_NAT_KEYWORDS, STANZA_NAT_KEYWORDS } from '../src/config/nat-config.ts';
import { mayReach, type NatPolicy, NO_NAT } from '../src/decision/nat.ts';
import { addressOf } from './gate.ts';

const ALLOWED = 'ENABLE_IPT_FORWARDING Y';
const FORCED = 'FORCE_NAT 10.0.0.5 22';
/** As if both files had said nothing more. */
const FORWARDING: NatPolicy = { ...NO_NAT, forwarding: true };

t.test('what both files say of NAT comes together', async (t) => {
  const cases: readonly (readonly [server: readonly string[], stanza: readonly string[], NatPolicy])[] = [
    [[], [], NO_NAT],
    [[ALLOWED], [], FORWARDING],
    [['ENABLE_IPT_LOCAL_NAT Y', 'ENABLE_NAT_DNS N'], [], { ...NO_NAT, local: true, dns: false }],
    [[ALLOWED, 'ENABLE_IPT_SNAT Y'], [], { ...FORWARDING, sourceAs: 'masquerade' }],
    [
      [ALLOWED, 'ENABLE_IPT_SNAT Y', 'SNAT_TRANSLATE_IP 10.0.0.1'],
      [],
      { ...FORWARDING, sourceAs: addressOf('10.0.0.1') },
    ],
    [[ALLOWED, 'SNAT_TRANSLATE_IP 10.0.0.1'], [], FORWARDING],
    [
      [ALLOWED, 'ENABLE_IPT_SNAT Y'],
      [FORCED, 'FORCE_SNAT 10.0.0.9'],
      {
        ...FORWARDING,
        force: { address: addressOf('10.0.0.5'), port: 22 },
        sourceAs: addressOf('10.0.0.9'),
      },
    ],
    [
      [ALLOWED],
      ['FORWARD_ALL Y', 'DISABLE_DNAT Y', 'FORCE_MASQUERADE Y'],
      { ...FORWARDING, forwardAll: true, translates: false, sourceAs: 'masquerade' },
    ],
    [[], ['FORWARD_ALL Y', 'DISABLE_DNAT Y'], NO_NAT],
  ];
  for (const [server, stanza, expected] of cases) t.same(policyOf(server, stanza), expected);
});

t.test('a stanza may say where NAT leads, otherwise the server does', async (t) => {
  const server = [ALLOWED, 'NAT_TARGETS 10.0.0.0/24:22, 10.0.1.5, [2001:db8::/64]:443'];
  const { targets } = policyOf(server, []);
  const reaches = (host: string, port: number): boolean => mayReach(targets, addressOf(host), port);
  t.equal(reaches('10.0.0.77', 22), true);
  t.equal(reaches('10.0.0.77', 23), false);
  t.equal(reaches('10.0.1.5', 8080), true);
  t.equal(reaches('10.0.1.6', 8080), false);
  t.equal(reaches('2001:db8::7', 443), true);
  t.equal(reaches('2001:db8::7', 22), false);
  t.equal(policyOf(server, ['NAT_TARGETS 192.0.2.1']).targets?.length, 1);
});

t.test('what cannot be meant is an error that says what to write', (t) => {
  const cases = [
    [[], [FORCED], 'FORCE_NAT: write ENABLE_IPT_FORWARDING Y into fwknopd.conf too, or remove the line'],
    [
      [ALLOWED],
      ['FORCE_SNAT 10.0.0.1'],
      'FORCE_SNAT: only with FORCE_NAT or FORWARD_ALL Y; write one of them too',
    ],
    [
      [ALLOWED],
      [FORCED, 'FORCE_SNAT 2001:db8::1'],
      'FORCE_SNAT: write an address of the same family as 10.0.0.5',
    ],
  ] as const;
  for (const [server, stanza, message] of cases) {
    t.throws(() => policyOf(server, stanza), new ConfigError({ file: 'f', line: 1 }, message), message);
  }
  t.end();
});

t.test('who leaves open where NAT leads is told so', async (t) => {
  const warnings: string[] = [];
  policyOf([ALLOWED], [], warnings);
  t.match(warnings, [/^f:1: ENABLE_IPT_FORWARDING: messages may lead to any host/]);
  warnings.length = 0;
  policyOf([ALLOWED], [FORCED], warnings);
  policyOf([ALLOWED, 'NAT_TARGETS 10.0.0.5'], [], warnings);
  t.same(warnings, []);
  policyOf([], ['FORWARD_ALL Y'], warnings);
  t.match(warnings, [/^f:1: FORWARD_ALL: no effect without ENABLE_IPT_FORWARDING Y/]);
});

function policyOf(server: readonly string[], stanza: readonly string[], warnings: string[] = []): NatPolicy {
  return natPolicy(
    readSettings(SERVER_NAT_KEYWORDS, server.map(statementOf)),
    readSettings(STANZA_NAT_KEYWORDS, stanza.map(statementOf)),
    (line) => warnings.push(line),
  );
}

function statementOf(line: string): Statement {
  const [keyword = '', ...value] = line.split(' ');
  return { keyword, value: value.join(' '), place: { file: 'f', line: 1, keyword } };
}
