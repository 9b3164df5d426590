import { formatProtoPort, type IpAddress, type ProtoPort } from 'spa-core';
import type { DoorChange, Grant } from './firewall.ts';

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
  checkGrantId(grant.id);
  checkAddress(grant.address);
  if (!Number.isInteger(grant.timeoutSeconds) || grant.timeoutSeconds < 1) {
    throw new RangeError(`timeoutSeconds ${grant.timeoutSeconds}`);
  }
  if (grant.ports.length === 0) throw new RangeError('a grant without ports');
  grant.ports.forEach(checkPort);
  const unique = new Map(grant.ports.map((port) => [formatProtoPort(port), port]));
  return { ...grant, ports: [...unique.values()] };
}

/**
 * Returns the last change of each door, if its plain values can stand in a rule: see {@link checkGrant}.
 * @throws RangeError otherwise.
 */
export function checkChanges(changes: readonly DoorChange[]): readonly DoorChange[] {
  for (const { address, port, timeoutSeconds, grantId } of changes) {
    if (grantId !== null) checkGrantId(grantId);
    checkAddress(address);
    checkPort(port);
    if (timeoutSeconds !== null && !(timeoutSeconds >= 0.001 && timeoutSeconds <= MAX_TIMEOUT_SECONDS)) {
      throw new RangeError(`timeoutSeconds ${timeoutSeconds}`);
    }
  }
  return [...new Map(changes.map((change) => [doorKey(change.address, change.port), change])).values()];
}

/** More than a door is ever granted; what the narrowest of the kernels' fields holds. */
const MAX_TIMEOUT_SECONDS = 2_147_483;

function checkGrantId(id: string): void {
  if (!/^[0-9A-Za-z]{1,64}$/.test(id)) throw new RangeError(`grant id ${JSON.stringify(id)}`);
}

function checkAddress(address: IpAddress): void {
  if (!/^[0-9a-f.:]{2,45}$/.test(address)) throw new RangeError(`address ${JSON.stringify(address)}`);
}

function checkPort({ protocol, port }: ProtoPort): void {
  const known = protocol === 'tcp' || protocol === 'udp';
  if (!known || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new RangeError(`port ${protocol}/${port}`);
  }
}
