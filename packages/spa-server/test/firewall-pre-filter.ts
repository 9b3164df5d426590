import { until } from 'spa-lab';
import type { Test } from 'tap';
import type { Firewall, GatePolicy } from '../src/firewall/firewall.ts';
import { client4, client6, grantOf, other4, policy } from './firewall-contract.ts';
import type { RealRig } from './firewall-rig.ts';

/** What the tests let through. */
export const preFilter: NonNullable<GatePolicy['preFilter']> = {
  minBytes: 140,
  maxBytes: 1500,
  ratePerSource: 20,
};

/** Packets of `impossible` lengths, and more of one source than are allowed, are dropped and counted, and no others. */
export async function provesPreFilter(
  t: Test,
  rig: RealRig,
  firewall: Firewall,
  impossible: readonly number[],
): Promise<void> {
  t.same(await firewall.install({ ...policy, preFilter }, { flush: false, doors: [] }), []);
  const count = async (reason: string): Promise<number> =>
    (await firewall.counters()).find((counter) => counter.reason === reason)?.packets ?? -1;
  t.equal(await count('length'), 0);
  for (const bytes of impossible) {
    t.equal(await rig.answersPackets(client4, { bytes, count: 1 }), false, `${bytes} octets`);
    t.equal(await rig.answersPackets(client6, { bytes, count: 1 }), false, `${bytes} octets, IPv6`);
  }
  t.equal(await count('length'), 2 * impossible.length);
  for (const bytes of [140, 1500]) {
    t.equal(await rig.answersPackets(other4, { bytes, count: 1 }), true, `${bytes} octets`);
    t.equal(await rig.answersPackets(client6, { bytes, count: 1 }), true, `${bytes} octets, IPv6`);
  }
  t.equal(await count('rate'), 0);
  for (const from of [client4, client6]) await rig.answersPackets(from, { bytes: 200, count: 300 });
  t.ok((await count('rate')) >= 400, 'two floods');
  t.equal(await rig.answersPackets(other4, { bytes: 200, count: 1 }), true, 'another source');
  await until('the source is heard again', () => rig.answersPackets(client4, { bytes: 200, count: 1 }));
  const dropped = await count('rate');
  await firewall.install({ ...policy, preFilter }, { flush: false, doors: [] });
  await firewall.grant(grantOf());
  t.equal(await count('rate'), dropped, 'a reload loses no count');
  await firewall.install(policy, { flush: false, doors: [] });
  t.same(await firewall.counters(), []);
  t.equal(await firewall.isIntact(), true);
}
