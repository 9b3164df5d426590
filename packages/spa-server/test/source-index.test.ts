import * as fc from 'fast-check';
import { type IpNetwork, ipFamily, networkContains, parseIpNetwork } from 'spa-core';
import t from 'tap';
import { indexBySource } from '../src/decision/source-index.ts';
import { addressOf } from './gate.ts';

t.test(
  'values are found by the networks that hold an address, of either family, and by any source',
  async (t) => {
    const index = indexBySource(
      [
        { name: 'office', sources: [networkOf('192.0.2.0/24'), networkOf('2001:db8::/32')] },
        { name: 'desk', sources: [networkOf('192.0.2.7')] },
        { name: 'everybody', sources: 'any' as const },
        { name: 'nobody', sources: [] },
      ],
      (items) => items.map(({ name }) => name).join(),
    );
    t.same(index.find(addressOf('192.0.2.7')), ['everybody', 'office', 'desk']);
    t.same(index.find(addressOf('192.0.2.8')), ['everybody', 'office']);
    t.same(index.find(addressOf('2001:db8::1')), ['everybody', 'office']);
    t.same(index.find(addressOf('::ffff:192.0.2.7')), ['everybody', 'office', 'desk'], 'IPv4 over IPv6');
    t.same(index.find(addressOf('2001:db9::1')), ['everybody']);
  },
);

t.test('an index finds what asking network by network finds', async (t) => {
  const address = fc
    .oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('0.0.0.0', '255.255.255.255', '::'))
    .map(addressOf);
  const network: fc.Arbitrary<IpNetwork> = fc
    .tuple(address, fc.nat(128))
    .map(([address, bits]) => ({ address, prefixLength: ipFamily(address) === 4 ? bits % 33 : bits }));
  const sources = fc.oneof(fc.constant('any' as const), fc.array(network, { maxLength: 4 }));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(sources, { maxLength: 8 }), address, (all, source) => {
        const items = all.map((sources, number) => ({ sources, number }));
        const index = indexBySource(items, (some) => some.map(({ number }) => number));
        const expected = items.filter(
          ({ sources }) => sources === 'any' || sources.some((one) => networkContains(one, source)),
        );
        const found = new Set(index.find(source).flat());
        return found.size === expected.length && expected.every(({ number }) => found.has(number));
      }),
      { numRuns: 300 },
    ),
  );
});

function networkOf(text: string): IpNetwork {
  const network = parseIpNetwork(text);
  if (network === null) throw new TypeError(text);
  return network;
}
