import * as fc from 'fast-check';
import { parseIpNetwork } from 'spa-core';
import t from 'tap';
import { doorKey } from '../src/firewall/doors.ts';
import type { Door } from '../src/firewall/firewall.ts';
import {
  createLedger,
  GRANTS_PER_HOLDER,
  type GrantSelector,
  type Ledger,
  type LiveGrant,
} from '../src/grants/ledger.ts';
import { reconcile } from '../src/grants/reconcile.ts';
import { addressOf, portsOf } from './gate.ts';

const ALICE = 'A'.repeat(40);
const BOB = `B${'0'.repeat(39)}`;

t.test('a door stays until the last of its grants ends, whoever has them', async (t) => {
  const ledger = createLedger();
  ledger.add(grantOf({ id: 'a1', operator: ALICE, endsAt: 30_000 }));
  ledger.add(grantOf({ id: 'b1', operator: BOB, endsAt: 20_000 }));
  t.match(ledger.doors(0), [{ endsAt: 30_000, grantId: 'a1' }]);
  ledger.delete(['a1']);
  t.match(ledger.doors(0), [{ endsAt: 20_000, grantId: 'b1' }], "what is left is bob's");
  t.same(ledger.doors(20_000), [], 'and it ends with his grant');
});

t.test(
  'grants are named by operator, key ID, user, address, network and the beginning of an id',
  async (t) => {
    const ledger = createLedger();
    ledger.add(grantOf({ id: 'a1b2c3d4e5', operator: ALICE, username: 'alice' }));
    ledger.add(
      grantOf({ id: 'b1b2c3d4e5', operator: BOB, username: 'bob', address: addressOf('192.0.2.200') }),
    );
    ledger.add(grantOf({ id: 'c1', operator: null, username: null, address: addressOf('2001:db8::7') }));
    const named = (selector: GrantSelector) => ledger.grants(selector, 0).map(({ id }) => id[0]);
    t.same(named({ by: 'all' }), ['a', 'b', 'c']);
    t.same(named({ by: 'operator', fingerprint: BOB }), ['b']);
    t.same(named({ by: 'operator', fingerprint: '0'.repeat(16) }), ['b']);
    t.same(named({ by: 'user', name: 'alice' }), ['a']);
    t.same(named({ by: 'address', network: networkOf('192.0.2.200') }), ['b']);
    t.same(named({ by: 'address', network: networkOf('192.0.2.0/24') }), ['a', 'b']);
    t.same(named({ by: 'address', network: networkOf('2001:db8::/64') }), ['c']);
    t.same(named({ by: 'grant', id: 'a1b2c3d4' }), ['a']);
  },
);

t.test('whoever knocks again and again takes up no more room, and his door is open as long', async (t) => {
  const ledger = createLedger();
  for (let i = 0; i < 10_000; i++) {
    ledger.add(grantOf({ id: `a${i}`, operator: ALICE, endsAt: 30_000 + (i % 5_000) }));
    ledger.add(grantOf({ id: `b${i}`, operator: BOB, endsAt: 30_000 + i }));
  }
  t.equal(ledger.size, 2 * GRANTS_PER_HOLDER);
  t.match(ledger.doors(0), [{ endsAt: 39_999, grantId: 'b9999' }]);
  ledger.delete(ledger.grants({ by: 'operator', fingerprint: BOB }, 0).map(({ id }) => id));
  t.match(ledger.doors(0), [{ endsAt: 34_999 }]);
});

/** What happens to a ledger, and how long after the last. */
type Step = { readonly afterMs: number } & (
  | { readonly kind: 'add'; readonly grant: Omit<LiveGrant, 'endsAt'>; readonly forMs: number }
  | { readonly kind: 'remove'; readonly selector: GrantSelector }
  | { readonly kind: 'expire' }
  | { readonly kind: 'restart'; readonly lost: readonly string[] }
);

t.test(
  'after any grants, revocations and restarts every door ends with the last of its live grants',
  async (t) => {
    fc.assert(
      fc.property(fc.array(anyStep(), { maxLength: 60 }), (steps) => {
        let ledger = createLedger();
        /** The model: a list. */
        let model: readonly LiveGrant[] = [];
        let now = 1_000;
        for (const step of steps) {
          now += step.afterMs;
          model = model.filter(({ endsAt }) => endsAt > now);
          switch (step.kind) {
            case 'add': {
              const grant = { ...step.grant, endsAt: now + step.forMs };
              ledger.add(grant);
              model = [...model.filter(({ id }) => id !== grant.id), grant];
              break;
            }
            case 'remove': {
              const going = model.filter((grant) => isNamed(step.selector, grant));
              const named = ledger.grants(step.selector, now);
              if (idsOf(named) !== idsOf(going)) throw new Error(`${idsOf(named)} named`);
              ledger.delete(named.map(({ id }) => id));
              model = model.filter((grant) => !going.includes(grant));
              break;
            }
            case 'expire':
              now += 1_000;
              ledger.expire(now);
              if (ledger.size > model.length) throw new Error('what ended a second ago is held');
              model = model.filter(({ endsAt }) => endsAt > now);
              break;
            case 'restart': {
              const open = kernelOf(model, now).filter(({ address }) => !step.lost.includes(address));
              const before = model;
              model = reconcile({ grants: model, revoked: [] }, open, now);
              ledger = createLedger();
              for (const grant of model) ledger.add(grant);
              checkRestart(before, model, open, now);
            }
          }
          check(ledger, model, now);
        }
      }),
      { numRuns: 300 },
    );
    t.pass();
  },
);

t.test(
  'a start opens no door, shortens what the kernel has shortened, and adopts what nobody explains',
  async (t) => {
    const now = 50_000;
    const [ssh, https] = portsOf('tcp/22,tcp/443');
    if (ssh === undefined || https === undefined) throw new Error('two ports');
    const a = grantOf({ id: 'a1', ports: [ssh, https], endsAt: now + 30_000 });
    const b = grantOf({ id: 'b1', address: addressOf('192.0.2.8'), endsAt: now + 30_000 });
    const c = grantOf({ id: 'c1', address: addressOf('192.0.2.9'), endsAt: now + 30_000 });
    const door = (changes: Partial<Door>): Door => ({
      ...{ address: addressOf('192.0.2.7'), port: ssh, remainingSeconds: 29, grantId: null },
      ...changes,
    });
    const live = reconcile(
      { grants: [a, b, c], revoked: [] },
      [
        door({ grantId: 'a1' }),
        door({ address: b.address, remainingSeconds: 5, grantId: 'b1' }),
        door({ address: addressOf('192.0.2.10'), grantId: 'd1' }),
        door({ address: addressOf('192.0.2.10'), port: https, remainingSeconds: 28, grantId: 'd1' }),
        door({ address: addressOf('192.0.2.11') }),
      ],
      now,
    );
    t.match(live, [
      { id: 'a1', ports: [ssh], endsAt: now + 29_000 },
      { id: 'b1', endsAt: now + 5_000 },
      { id: 'd1', operator: null, username: null, ports: [ssh, https], endsAt: now + 28_000 },
      { id: /^unknown/, operator: null, address: '192.0.2.11' },
    ]);
    t.equal(live.length, 4);
    const longer = reconcile(
      { grants: [b], revoked: [] },
      [door({ address: b.address, remainingSeconds: 300, grantId: 'b2' })],
      now,
    );
    t.match(longer, [
      { id: 'b1', endsAt: now + 30_000 },
      { id: 'b2', operator: null, endsAt: now + 300_000 },
    ]);
  },
);

function check(ledger: Ledger, model: readonly LiveGrant[], now: number): void {
  const ends = new Map<string, number>();
  for (const { address, ports, endsAt } of model) {
    for (const port of ports) {
      const key = doorKey({ address, port });
      if (endsAt > now) ends.set(key, Math.max(ends.get(key) ?? 0, endsAt));
    }
  }
  const doors = ledger.doors(now);
  const found = new Map(doors.map(({ address, port, endsAt }) => [doorKey({ address, port }), endsAt]));
  if (found.size !== doors.length || found.size !== ends.size) throw new Error('doors');
  for (const [key, end] of ends)
    if (found.get(key) !== end) throw new Error(`${key}: ${found.get(key)}, ${end}`);
  for (const door of doors) {
    const owners = ledger.grantsOf(door, now);
    if (!owners.some(({ id, endsAt }) => id === door.grantId && endsAt === door.endsAt))
      throw new Error('owner');
  }
}

/** No door is open after a start that was not, or for longer, and none is open that the ledger does not have. */
function checkRestart(
  before: readonly LiveGrant[],
  after: readonly LiveGrant[],
  open: readonly Door[],
  now: number,
): void {
  const known = new Map(before.map((grant) => [grant.id, grant]));
  const remaining = new Map(open.map((door) => [doorKey(door), door.remainingSeconds]));
  for (const { id, address, ports, endsAt } of after) {
    if (endsAt > (known.get(id)?.endsAt ?? 0)) throw new Error(`${id} became longer`);
    for (const port of ports) {
      if (endsAt > now + (remaining.get(doorKey({ address, port })) ?? 0) * 1000)
        throw new Error(`${id} opens`);
    }
  }
}

/** What a kernel says of doors that these grants opened. */
function kernelOf(grants: readonly LiveGrant[], now: number): readonly Door[] {
  const ledger = createLedger();
  for (const grant of grants) ledger.add(grant);
  return ledger.doors(now).map(({ address, port, endsAt, grantId }) => {
    return { address, port, grantId, remainingSeconds: Math.floor((endsAt - now) / 1000) };
  });
}

/** The same as the ledger's own, spelled otherwise. */
function isNamed(selector: GrantSelector, grant: LiveGrant): boolean {
  if (selector.by === 'operator') return grant.operator === selector.fingerprint;
  if (selector.by === 'user') return grant.username === selector.name;
  if (selector.by === 'address') return grant.address === selector.network.address;
  return selector.by === 'all' || grant.id === selector.id;
}

function anyStep(): fc.Arbitrary<Step> {
  const operator = fc.constantFrom(ALICE, BOB, null);
  const username = fc.constantFrom('alice', 'bob');
  const address = fc.constantFrom('192.0.2.1', '192.0.2.2', '2001:db8::1').map(addressOf);
  const id = fc.integer({ min: 1, max: 40 }).map((number) => `id${String(number).padStart(2, '0')}`);
  const ports = fc.constantFrom('tcp/22', 'tcp/22,tcp/443', 'udp/22').map(portsOf);
  const afterMs = fc.integer({ min: 0, max: 4_000 });
  const selector: fc.Arbitrary<GrantSelector> = fc.oneof(
    fc.constant({ by: 'all' as const }),
    operator.map((fingerprint) => ({ by: 'operator' as const, fingerprint: fingerprint ?? BOB })),
    username.map((name) => ({ by: 'user' as const, name })),
    address.map((text) => ({ by: 'address' as const, network: networkOf(text) })),
    id.map((text) => ({ by: 'grant' as const, id: text })),
  );
  const grant = fc.record({ id, operator, username, stanza: fc.constant(1), address, ports });
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('add' as const),
        afterMs,
        grant,
        forMs: fc.integer({ min: 1_000, max: 30_000 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), afterMs, selector }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const), afterMs }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('restart' as const),
        afterMs,
        lost: fc.subarray(['192.0.2.1', '192.0.2.2']),
      }),
    },
  );
}

function grantOf(changes: Partial<LiveGrant>): LiveGrant {
  return {
    id: 'a1',
    operator: null,
    username: 'alice',
    stanza: 1,
    address: addressOf('192.0.2.7'),
    ports: portsOf('tcp/22'),
    endsAt: 30_000,
    ...changes,
  };
}

function networkOf(text: string) {
  const network = parseIpNetwork(text);
  if (network === null) throw new TypeError(text);
  return network;
}

function idsOf(grants: readonly LiveGrant[]): string {
  return grants
    .map(({ id }) => id)
    .sort()
    .join(' ');
}
