import {
  type AccessRequest,
  type IpAddress,
  type IpNetwork,
  type NatAccessRequest,
  type NatTarget,
  networkContains,
  type ProtoPort,
  parseIpAddress,
  parseIpNetwork,
} from 'spa-core';

/** What a stanza lets ports lead to. */
export interface NatPolicy {
  /** `ENABLE_IPT_FORWARDING`: messages may ask for other hosts. */
  readonly forwarding: boolean;
  /** `ENABLE_IPT_LOCAL_NAT`: messages may ask for other ports of this host. */
  readonly local: boolean;
  /** `FORCE_NAT`: where all doors of the stanza lead, whatever messages say. */
  readonly force: { readonly address: IpAddress; readonly port: number } | null;
  /** `FORWARD_ALL`: all ports and protocols of whoever sends the packet are forwarded. */
  readonly forwardAll: boolean;
  /** False: `DISABLE_DNAT`, what is forwarded keeps its destination. */
  readonly translates: boolean;
  /** As what the inner host sees the client: itself (null), the bastion (`masquerade`), or that address. */
  readonly sourceAs: IpAddress | 'masquerade' | null;
  /** `NAT_TARGETS`: where messages may lead; null: anywhere, see {@link mayReach}. */
  readonly targets: readonly NatTargetRule[] | null;
  /** `ENABLE_NAT_DNS`: messages may name hosts. */
  readonly dns: boolean;
}

/** Hosts that NAT may reach, and their ports; null: all of them. */
export interface NatTargetRule {
  readonly network: IpNetwork;
  readonly ports: readonly number[] | null;
}

/** A stanza without NAT. */
export const NO_NAT: NatPolicy = {
  forwarding: false,
  local: false,
  force: null,
  forwardAll: false,
  translates: true,
  sourceAs: null,
  targets: null,
  dns: true,
};

/** Where doors lead that do not lead to this host's own ports. */
export interface ForwardTerms {
  readonly kind: 'nat' | 'local';
  /** Null: wherever the client sends to (`FORWARD_ALL` without `FORCE_NAT`). The host may be a name. */
  readonly target: NatTarget | null;
  /** False: the destination stays as it is. */
  readonly translates: boolean;
  readonly sourceAs: IpAddress | 'masquerade' | null;
  /** All ports and protocols of the client, not only those of the grant. */
  readonly all: boolean;
  /** Where a name may lead, once its address is known; null: anywhere. */
  readonly targets: NatPolicy['targets'];
}

/**
 * Where a request's doors lead: null, to this host's own ports; or why they must not. What local NAT leads to has to be open as
 * well (`openPorts`), or to be named by `NAT_TARGETS`: fwknopd opens any port of the host that way. Its host is this one, by
 * whatever name or outer address the client knows it.
 */
export function forwardOf(
  request: AccessRequest | NatAccessRequest,
  policy: NatPolicy,
  openPorts: readonly ProtoPort[] | null,
): ForwardTerms | null | 'nat-not-allowed' | 'nat-target' {
  const { force, forwardAll, translates, sourceAs } = policy;
  const terms = { translates, sourceAs, all: forwardAll, targets: null };
  if (request.kind !== 'access' && !policy[request.kind === 'nat-access' ? 'forwarding' : 'local']) {
    return 'nat-not-allowed';
  }
  if (force !== null) {
    const kind = policy.forwarding ? 'nat' : 'local';
    return { kind, target: { host: force.address, port: force.port }, ...terms };
  }
  if (request.kind === 'access') return forwardAll ? { kind: 'nat', target: null, ...terms } : null;
  const { target } = request;
  const address = parseIpAddress(target.host);
  const isNamed =
    policy.targets !== null && address !== null && mayReach(policy.targets, address, target.port);
  if (request.kind === 'nat-access') {
    const mayBe = address === null ? policy.dns : mayReach(policy.targets, address, target.port);
    return mayBe ? { kind: 'nat', target, ...terms, targets: policy.targets } : 'nat-target';
  }
  const isOpen =
    isNamed ||
    openPorts === null ||
    request.ports.every(({ protocol }) => isIn(openPorts, protocol, target.port));
  return isOpen ? { kind: 'local', target, ...terms, sourceAs: null, all: false } : 'nat-target';
}

/**
 * True if NAT may lead to that port of that host, because a message says so: anywhere is any host but those that are on no
 * network, or that a host knows by its own link only. Of a host that was named it is asked when its address is known.
 */
export function mayReach(targets: NatPolicy['targets'], address: IpAddress, port: number): boolean {
  if (targets === null) return !NOWHERE.some((network) => networkContains(network, address));
  return targets.some(
    ({ network, ports }) => networkContains(network, address) && (ports === null || ports.includes(port)),
  );
}

/** This host, loopback, link-local (where clouds keep secrets of their hosts), multicast, reserved and broadcast. */
const NOWHERE: readonly IpNetwork[] = [
  ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'],
  ...['::/127', 'fe80::/10', 'ff00::/8'],
].flatMap((text) => parseIpNetwork(text) ?? []);

function isIn(ports: readonly ProtoPort[], protocol: ProtoPort['protocol'], port: number): boolean {
  return ports.some((other) => other.protocol === protocol && other.port === port);
}
