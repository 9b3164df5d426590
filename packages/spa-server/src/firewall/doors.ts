import { formatProtoPort, type IpAddress, type ProtoPort } from 'spa-core';
import type { Grant } from './firewall.ts';

/** One key per door: two grants of the same door have the same. */
export function doorKey(address: IpAddress, port: ProtoPort): string {
  return `${address} ${formatProtoPort(port)}`;
}

/**
 * Returns `grant` if each of its plain values can stand in a rule; its ports without repetitions.
 *
 * A grant may have crossed a process boundary, where types do not reach; what stands in a rule is the last place to look.
 * @throws RangeError otherwise.
 */
export function checkGrant(grant: Grant): Grant {
  if (!/^[0-9A-Za-z]{1,64}$/.test(grant.id)) throw new RangeError(`grant id ${JSON.stringify(grant.id)}`);
  if (!/^[0-9a-f.:]{2,45}$/.test(grant.address))
    throw new RangeError(`address ${JSON.stringify(grant.address)}`);
  if (!Number.isInteger(grant.timeoutSeconds) || grant.timeoutSeconds < 1) {
    throw new RangeError(`timeoutSeconds ${grant.timeoutSeconds}`);
  }
  if (grant.ports.length === 0) throw new RangeError('a grant without ports');
  grant.ports.forEach(checkPort);
  const unique = new Map(grant.ports.map((port) => [formatProtoPort(port), port]));
  return { ...grant, ports: [...unique.values()] };
}

function checkPort({ protocol, port }: ProtoPort): void {
  const known = protocol === 'tcp' || protocol === 'udp';
  if (!known || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new RangeError(`port ${protocol}/${port}`);
  }
}
