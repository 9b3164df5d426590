import t from 'tap';
import { doorKey, formatDoor } from '../src/firewall/doors.ts';
import { type Forward, formatForward, isSameForward, parseForward } from '../src/firewall/forward.ts';
import { createLedger, type LiveGrant } from '../src/grants/ledger.ts';
import { reconcile } from '../src/grants/reconcile.ts';
import { addressOf } from './gate.ts';

const CLIENT = addressOf('192.0.2.7');
const OUTER = { protocol: 'tcp', port: 2222 } as const;
const TO: Forward = {
  kind: 'nat',
  target: { address: addressOf('10.0.0.5'), port: 22 },
  translates: true,
  sourceAs: null,
  all: false,
};
const ELSEWHERE: Forward = { ...TO, target: { address: addressOf('10.0.0.6'), port: 22 } };

t.test('a forward is the same after it was written into a comment, and nothing else is one', async (t) => {
  const cases: readonly (readonly [Forward, string])[] = [
    [TO, 'nat,10.0.0.5,22'],
    [{ ...TO, kind: 'local', translates: false }, 'local,10.0.0.5,22,untranslated'],
    [{ ...TO, sourceAs: 'masquerade', all: true }, 'nat,10.0.0.5,22,masquerade,all'],
    [{ ...TO, sourceAs: addressOf('2001:db8::1') }, 'nat,10.0.0.5,22,as=2001:db8::1'],
    [{ ...TO, target: null, all: true }, 'nat,any,all'],
  ];
  for (const [forward, text] of cases) {
    t.equal(formatForward(forward), text);
    t.same(parseForward(text), forward);
  }
  const others = [
    ...['', 'nat', 'nat,any', 'nat,10.0.0.5', 'nat,10.0.0.5,0', 'nat,10.0.0.5,65536', 'nat,here,22'],
    ...['dnat,10.0.0.5,22', 'nat,10.0.0.5,22,more', 'nat,10.0.0.5,22,as=', 'nat,10.0.0.5,22,as=x'],
  ];
  for (const text of others) t.equal(parseForward(text), null, text);
  t.equal(isSameForward(undefined, undefined), true);
  t.equal(isSameForward(TO, undefined), false);
  t.equal(isSameForward(TO, ELSEWHERE), false);
});

t.test('a door that leads elsewhere is another door, and is named by where it leads', async (t) => {
  const door = { address: CLIENT, port: OUTER };
  t.not(doorKey(door), doorKey({ ...door, forward: TO }));
  t.equal(doorKey({ ...door, forward: TO }), doorKey({ ...door, forward: ELSEWHERE }));
  const all = { ...TO, all: true };
  const other = { protocol: 'udp', port: 1 } as const;
  t.equal(doorKey({ ...door, forward: all }), doorKey({ ...door, port: other, forward: all }));
  t.equal(formatDoor(door), 'tcp/2222');
  t.equal(formatDoor({ ...door, forward: TO }), 'tcp/2222 to 10.0.0.5:22');
  t.equal(
    formatDoor({ ...door, forward: { ...all, target: null, sourceAs: 'masquerade' } }),
    'all ports to inner hosts as this host',
  );
});

t.test(
  'of grants that lead one door to different places the latest counts, as long as it lasts',
  async (t) => {
    const ledger = createLedger();
    const name = { address: CLIENT, port: OUTER, forward: TO };
    ledger.add(grantOf('a1', { forward: TO, endsAt: 60_000 }));
    ledger.add(grantOf('b1', { forward: ELSEWHERE, endsAt: 30_000 }));
    ledger.add(grantOf('c1', { endsAt: 90_000 }));
    t.match(ledger.door(name, 0), { forward: ELSEWHERE, endsAt: 30_000, grantId: 'b1' });
    t.equal(ledger.doors(0).length, 2, "the host's own port is another door");
    t.match(ledger.doors(0)[0], { forward: ELSEWHERE, endsAt: 30_000 });
    t.same(ledger.door({ address: CLIENT, port: OUTER }, 0), {
      ...{ address: CLIENT, port: OUTER, endsAt: 90_000, grantId: 'c1' },
    });
    t.match(ledger.door(name, 40_000), { forward: TO, endsAt: 60_000, grantId: 'a1' });
    ledger.delete(['a1', 'b1']);
    t.equal(ledger.door(name, 0), null);
  },
);

t.test('a start believes the kernel about forwards as about doors', async (t) => {
  const remembered = { grants: [grantOf('a1', { forward: TO }), grantOf('b1')], revoked: [] };
  const open = [{ address: CLIENT, port: OUTER, remainingSeconds: 20, grantId: 'a1', forward: TO }];
  t.match(reconcile(remembered, open, 0), [{ id: 'a1', forward: TO, endsAt: 20_000 }]);
  const unknown = [{ address: CLIENT, port: OUTER, remainingSeconds: 20, grantId: null, forward: TO }];
  t.match(reconcile({ grants: [], revoked: [] }, unknown, 0), [
    { operator: null, username: null, ports: [OUTER], forward: TO, endsAt: 20_000 },
  ]);
});

function grantOf(id: string, changes: Partial<LiveGrant> = {}): LiveGrant {
  return {
    ...{ id, operator: null, username: 'alice', stanza: 1, address: CLIENT, ports: [OUTER], endsAt: 60_000 },
    ...changes,
  };
}
