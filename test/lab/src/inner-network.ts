import { joinByCable } from './cable.ts';
import type { Hosts, Namespace } from './hosts.ts';

/** Addresses of {@link createInnerNetwork}; `inner` is the bastion's towards the host behind it. */
export const innerAddresses = {
  client4: '192.0.2.7',
  other4: '192.0.2.8',
  client6: '2001:db8:1::7',
  bastion4: '192.0.2.1',
  bastion6: '2001:db8:1::1',
  inner4: '10.0.0.1',
  inside4: '10.0.0.5',
  elsewhere4: '10.0.0.6',
  inside6: '2001:db8:2::5',
} as const;

/** A host that is reached through the bastion only. */
export interface InnerNetwork {
  readonly client: Namespace;
  readonly bastion: Namespace;
  readonly inside: Namespace;
}

/**
 * A client, a bastion that forwards packets, and a host behind it, which sends its answers through the bastion:
 *
 *     client ──────────────── bastion ─────────────── inside
 *       192.0.2.7, .8    192.0.2.1, 10.0.0.1    10.0.0.5, .6
 *       2001:db8:1::7      …::1, 2001:db8:2::1   2001:db8:2::5
 */
export async function createInnerNetwork(hosts: Hosts): Promise<InnerNetwork> {
  const client = await hosts.add({ device: 'veth0' });
  const bastion = await hosts.add({ device: 'veth1' });
  const inside = await hosts.add({ device: 'veth2' });
  const at = innerAddresses;
  await joinByCable(
    { host: bastion, device: 'veth1', addresses: [at.bastion4, at.bastion6] },
    { host: client, device: 'veth0', addresses: [at.client4, at.other4, at.client6] },
  );
  await joinByCable(
    { host: bastion, device: 'inner', addresses: [at.inner4, '2001:db8:2::1'] },
    { host: inside, device: 'veth2', addresses: [at.inside4, at.elsewhere4, at.inside6] },
  );
  await client.must(['ip', 'route', 'add', 'default', 'via', at.bastion4]);
  await inside.must(['ip', 'route', 'add', 'default', 'via', at.inner4]);
  await bastion.must(['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
  return { client, bastion, inside };
}
