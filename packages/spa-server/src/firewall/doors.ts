import { formatProtoPort, type IpAddress, type ProtoPort } from 'spa-core';
import type { DoorChange, DoorName, Grant } from './firewall.ts';
import { canLead, type Forward } from './forward.ts';

/** One key per door: two grants of the same door have the same. A forward of all ports is one door. */
export function doorKey({ address, port, forward }: DoorName): string {
  if (forward === undefined) return `${address} ${formatProtoPort(port)}`;
  if (isAtAddress(forward)) return `${address} ${formatProtoPort(port)} at ${forward.target?.address}`;
  return forward.all ? `${address} forwarded` : `${address} ${formatProtoPort(port)} forwarded`;
}

/** The door in the operator's words: `tcp/22`, `tcp/2222 to 10.0.0.5:22`. */
export function formatDoor({ port, forward }: Pick<DoorName, 'port' | 'forward'>): string {
  if (forward === undefined) return formatProtoPort(port);
  const { target, all, sourceAs } = forward;
  if (isAtAddress(forward)) return `${formatProtoPort(port)} at ${target?.address}`;
  const what = all ? 'all ports' : formatProtoPort(port);
  const where = target === null ? 'inner hosts' : formatTarget(target);
  const as = sourceAs === null ? '' : ` as ${sourceAs === 'masquerade' ? 'this host' : sourceAs}`;
  return `${what} to ${where}${as}`;
}

/** True for a port of this host, as it is, at one of its addresses. */
function isAtAddress({ kind, translates }: Forward): boolean {
  return kind === 'local' && !translates;
}

/** `10.0.0.5:22`. */
export function formatTarget({ address, port }: NonNullable<Forward['target']>): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
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
  checkForward(grant.address, grant.forward);
  const unique = new Map(grant.ports.map((port) => [formatProtoPort(port), port]));
  return { ...grant, ports: [...unique.values()] };
}

/**
 * Returns the last change of each door, if its plain values can stand in a rule: see {@link checkGrant}.
 * @throws RangeError otherwise.
 */
export function checkChanges(changes: readonly DoorChange[]): readonly DoorChange[] {
  for (const { address, port, timeoutSeconds, grantId, forward } of changes) {
    if (grantId !== null) checkGrantId(grantId);
    checkAddress(address);
    checkPort(port);
    checkForward(address, forward);
    if (timeoutSeconds !== null && !(timeoutSeconds >= 0.001 && timeoutSeconds <= MAX_TIMEOUT_SECONDS)) {
      throw new RangeError(`timeoutSeconds ${timeoutSeconds}`);
    }
  }
  return [...new Map(changes.map((change) => [doorKey(change), change])).values()];
}

/** More than a door is ever granted; what the narrowest of the kernels' fields holds. */
const MAX_TIMEOUT_SECONDS = 2_147_483;

function checkGrantId(id: string): void {
  if (!/^[0-9A-Za-z]{1,64}$/.test(id)) throw new RangeError(`grant id ${JSON.stringify(id)}`);
}

function checkAddress(address: IpAddress): void {
  if (!/^[0-9a-f.:]{2,45}$/.test(address)) throw new RangeError(`address ${JSON.stringify(address)}`);
}

function checkForward(from: IpAddress, forward: Forward | undefined): void {
  if (forward === undefined) return;
  const { target, sourceAs } = forward;
  if (target !== null) {
    checkAddress(target.address);
    checkPort({ protocol: 'tcp', port: target.port });
  }
  if (sourceAs !== null && sourceAs !== 'masquerade') checkAddress(sourceAs);
  if (!canLead(from, forward)) throw new RangeError(`a forward from ${from} to another family of addresses`);
  if (target === null && !forward.all) throw new RangeError('a forward to nowhere');
}

function checkPort({ protocol, port }: ProtoPort): void {
  const known = protocol === 'tcp' || protocol === 'udp';
  if (!known || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new RangeError(`port ${protocol}/${port}`);
  }
}
