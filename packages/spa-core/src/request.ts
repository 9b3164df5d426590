import { type IpAddress, parseIpAddress } from './address.ts';
import { formatProtoPorts, type ProtoPort, parseProtoPorts } from './proto-port.ts';

/** How a request spells "the address that the packet came from". */
const AS_SEEN = '0.0.0.0';

/** What an access message asks: these ports, for this address. `source` null: the address the packet came from. */
export interface AccessRequest {
  readonly source: IpAddress | null;
  readonly ports: readonly ProtoPort[];
}

/**
 * `10.1.2.3,tcp/22,udp/53`; null for anything else. An IPv6 address in the same place is our extension:
 * fwknop has none. It has to be spelled as RFC 5952 says, so that a request has one spelling.
 */
export function parseAccessRequest(text: string): AccessRequest | null {
  const comma = text.indexOf(',');
  if (comma < 0) return null;
  const spelled = text.slice(0, comma);
  const address = parseIpAddress(spelled);
  const ports = parseProtoPorts(text.slice(comma + 1));
  if (address === null || address !== spelled || ports === null) return null;
  return { source: address === AS_SEEN ? null : address, ports };
}

/** The inverse of {@link parseAccessRequest}. */
export function formatAccessRequest(request: AccessRequest): string {
  return `${request.source ?? AS_SEEN},${formatProtoPorts(request.ports)}`;
}
