import { type IpAddress, parseIpAddress } from './address.ts';
import { formatProtoPorts, type ProtoPort, parseProtoPorts } from './proto-port.ts';

/** How a request spells "the address that the packet came from". */
const AS_SEEN = '0.0.0.0';

/** What all requests have: for whom. `source` null: the address that the packet came from. */
interface Requested {
  readonly source: IpAddress | null;
}

/** These ports of the server itself. */
export interface AccessRequest extends Requested {
  readonly kind: 'access';
  readonly ports: readonly ProtoPort[];
}

/** These ports of the server lead to another host, or (`local-nat-access`) to another port of its own. */
export interface NatAccessRequest extends Requested {
  readonly kind: 'nat-access' | 'local-nat-access';
  readonly ports: readonly ProtoPort[];
  readonly target: NatTarget;
}

/** The server runs a command: printable ASCII, words separated by blanks, no shell's line. */
export interface CommandRequest extends Requested {
  readonly kind: 'command';
  readonly command: string;
}

/** What a message asks for. */
export type Request = AccessRequest | NatAccessRequest | CommandRequest;

export type RequestKind = Request['kind'];

/** Where a port leads. `host` is an address or a name of at most 70 characters. */
export interface NatTarget {
  readonly host: string;
  readonly port: number;
}

/** Characters of {@link NatTarget.host}. */
const HOST_MAX_LENGTH = 70;

/**
 * What the message field of a request of that kind says, e.g. `10.1.2.3,tcp/22,udp/53` or `10.1.2.3,/usr/bin/id`; null for
 * anything else. An IPv6 address in the place of the first is our extension: fwknop has none. It has to be spelled as RFC 5952
 * says, so that a request has one spelling. `target` is what the NAT field says, null without one.
 */
export function parseRequest(kind: RequestKind, text: string, target: NatTarget | null): Request | null {
  const comma = text.indexOf(',');
  if (comma < 0) return null;
  const spelled = text.slice(0, comma);
  const address = parseIpAddress(spelled);
  if (address === null || address !== spelled) return null;
  const source = address === AS_SEEN ? null : address;
  const rest = text.slice(comma + 1);
  if (kind === 'command') return isCommand(rest) ? { kind, source, command: rest } : null;
  const ports = parseProtoPorts(rest);
  if (ports === null) return null;
  if (kind === 'access') return { kind, source, ports };
  return target === null ? null : { kind, source, ports, target };
}

/** The inverse of {@link parseRequest}: the text of the message field. */
export function formatRequest(request: Request): string {
  const what = request.kind === 'command' ? request.command : formatProtoPorts(request.ports);
  return `${request.source ?? AS_SEEN},${what}`;
}

/** The target that a request has; null if its kind has none. */
export function natTargetOf(request: Request): NatTarget | null {
  return 'target' in request ? request.target : null;
}

/** What the NAT field says: `10.0.0.5,22` or `inside.example.org,22`; null for anything else. */
export function parseNatTarget(text: string): NatTarget | null {
  const [host = '', port = '', ...rest] = text.split(',');
  if (rest.length > 0 || !isHost(host) || !/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535) return null;
  return { host, port: Number(port) };
}

/** The inverse of {@link parseNatTarget}. */
export function formatNatTarget({ host, port }: NatTarget): string {
  return `${host},${port}`;
}

/** An address in its one spelling, or what may be the name of a host: no name ends in a number (WHATWG URL, host parsing). */
export function isHost(text: string): boolean {
  if (text.length > HOST_MAX_LENGTH) return false;
  if (parseIpAddress(text) === text) return true;
  return /^[\w.-]+$/.test(text) && /^\w/.test(text) && !/(^|\.)(\d+|0x[\da-f]*)\.?$/i.test(text);
}

/** Printable ASCII, and not only blanks. */
export function isCommand(text: string): boolean {
  return /^[\x20-\x7e]*[\x21-\x7e][\x20-\x7e]*$/.test(text);
}
