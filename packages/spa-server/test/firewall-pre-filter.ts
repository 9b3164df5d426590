import { readFileSync } from 'node:fs';
import { packetBeginnings } from 'spa-core';
import { until } from 'spa-lab';
import type { Test } from 'tap';
import type { Firewall, GatePolicy } from '../src/firewall/firewall.ts';
import { client4, client6, grantOf, other4, policy } from './firewall-contract.ts';
import type { RealRig } from './firewall-rig.ts';

/** What the tests let through. */
export const preFilter: NonNullable<GatePolicy['preFilter']> = {
  minBytes: 140,
  maxBytes: 1500,
  beginnings: null,
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
    t.equal(await rig.answersPackets(client4, { text: textOf(bytes), count: 1 }), false, `${bytes} octets`);
    t.equal(
      await rig.answersPackets(client6, { text: textOf(bytes), count: 1 }),
      false,
      `${bytes} octets, IPv6`,
    );
  }
  t.equal(await count('length'), 2 * impossible.length);
  for (const bytes of [140, 1500]) {
    t.equal(await rig.answersPackets(other4, { text: textOf(bytes), count: 1 }), true, `${bytes} octets`);
    t.equal(
      await rig.answersPackets(client6, { text: textOf(bytes), count: 1 }),
      true,
      `${bytes} octets, IPv6`,
    );
  }
  t.equal(await count('rate'), 0);
  for (const from of [client4, client6]) await rig.answersPackets(from, { text: textOf(200), count: 300 });
  t.ok((await count('rate')) >= 400, 'two floods');
  t.equal(await rig.answersPackets(other4, { text: textOf(200), count: 1 }), true, 'another source');
  await until('the source is heard again', () =>
    rig.answersPackets(client4, { text: textOf(200), count: 1 }),
  );
  const dropped = await count('rate');
  await firewall.install({ ...policy, preFilter }, { flush: false, doors: [] });
  await firewall.grant(grantOf());
  t.equal(await count('rate'), dropped, 'a reload loses no count');
  await firewall.install(policy, { flush: false, doors: [] });
  t.same(await firewall.counters(), []);
  t.equal(await firewall.isIntact(), true);
}

/** What no packet begins like is dropped and counted; what stock clients made gets through. */
export async function provesBeginnings(t: Test, rig: RealRig, firewall: Firewall): Promise<void> {
  const beginnings = packetBeginnings();
  const strict = { ...preFilter, beginnings, ratePerSource: null };
  t.same(await firewall.install({ ...policy, preFilter: strict }, { flush: false, doors: [] }), []);
  const dropped = async (): Promise<number | undefined> =>
    (await firewall.counters()).find(({ reason }) => reason === 'beginning')?.packets;
  const packets = uniqueBeginnings(stockPackets());
  t.ok(packets.length > 20, 'packets that begin otherwise');
  for (const text of packets) {
    t.equal(await rig.answersPackets(client4, { text, count: 1 }), true, text.slice(0, 4));
  }
  for (const text of packets.slice(-3)) {
    t.equal(await rig.answersPackets(client6, { text, count: 1 }), true, `${text.slice(0, 4)}, IPv6`);
  }
  t.equal(await dropped(), 0);
  const junk = [textOf(200), '\0'.repeat(200), `GET /${textOf(200)}`, 'Av'.repeat(100), 'BdBw'.repeat(50)];
  for (const text of junk) {
    t.equal(await rig.answersPackets(client4, { text, count: 1 }), false, text.slice(0, 4));
    t.equal(await rig.answersPackets(client6, { text, count: 1 }), false, `${text.slice(0, 4)}, IPv6`);
  }
  t.equal(await dropped(), 2 * junk.length);
}

function textOf(bytes: number): string {
  return 'x'.repeat(bytes);
}

/** One for each way to begin: of the first four characters all others depend on keys. */
function uniqueBeginnings(packets: readonly string[]): readonly string[] {
  return [...new Map(packets.map((packet) => [packet.slice(0, 4), packet])).values()];
}

/** What the stock client made with shared keys, and then with OpenPGP keys of all kinds. */
function stockPackets(): readonly string[] {
  return ['02-modes', '03-message-types', '06-gpg'].flatMap((name) => {
    const file = new URL(`../../../../test/vectors/${name}.json`, import.meta.url);
    const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as {
      readonly vectors: readonly { readonly packet?: string }[];
    };
    return vectors.flatMap(({ packet }) => packet ?? []);
  });
}
