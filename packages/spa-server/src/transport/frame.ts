import { type IpAddress, ipFamily, readIpAddress } from 'spa-core';

/** What one frame carries over IP: a UDP datagram, or a TCP segment with data. */
export interface Segment {
  readonly protocol: 'udp' | 'tcp';
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly destinationPort: number;
  /** True for a TCP segment that begins a connection. */
  readonly isSyn: boolean;
  /** All of it, a view of the frame. */
  readonly payload: Buffer;
}

/** True if {@link readFrame} understands frames of this LINKTYPE_. */
export function isKnownLinkType(linkType: number): boolean {
  return LINKS.has(linkType);
}

/**
 * What a captured frame carries; null if it is nothing of that kind: another protocol, no payload, a fragment, cut off, or
 * malformed. Ethernet with VLAN tags, Linux cooked captures (of `any`), raw IP; IPv4 with options, IPv6 with extension
 * headers. Checksums are not looked at: network cards fill them in after us. A source that nobody can be answered at is
 * nobody's.
 */
export function readFrame(linkType: number, bytes: Buffer): Segment | null {
  const place = LINKS.get(linkType)?.(bytes) ?? null;
  if (place === null) return null;
  const { etherType, at } = behindTags(bytes, place);
  if (etherType === IPV4) return readIpv4(bytes.subarray(at));
  if (etherType === IPV6) return readIpv6(bytes.subarray(at));
  return null;
}

/** Where in a frame the network's packet begins, and what kind it is. */
interface Place {
  readonly etherType: number;
  readonly at: number;
}

const IPV4 = 0x0800;
const IPV6 = 0x86dd;
/** IEEE 802.1Q, 802.1ad, and what was used before it. */
const VLAN_TAGS: ReadonlySet<number> = new Set([0x8100, 0x88a8, 0x9100]);
const MAX_TAGS = 4;

type FindPlace = (bytes: Buffer) => Place | null;

/** By the numbers of https://www.tcpdump.org/linktypes.html, and what libpcap itself calls raw IP. */
const LINKS: ReadonlyMap<number, FindPlace> = new Map([
  [0, ipAt(4)],
  [1, etherTypeAt(12, 14)],
  [12, ipAt(0)],
  [14, ipAt(0)],
  [101, ipAt(0)],
  [108, ipAt(4)],
  [113, etherTypeAt(14, 16)],
  [228, ipAt(0)],
  [229, ipAt(0)],
  [276, etherTypeAt(0, 20)],
]);

/** The packet begins at `headBytes`, and its kind is said at `typeAt`. */
function etherTypeAt(typeAt: number, headBytes: number): FindPlace {
  return (bytes) =>
    bytes.length < headBytes ? null : { etherType: bytes.readUInt16BE(typeAt), at: headBytes };
}

/** An IP packet begins at `at`, and says itself of which version it is. */
function ipAt(at: number): FindPlace {
  return (bytes) => {
    const version = (bytes[at] ?? 0) >> 4;
    if (version === 4) return { etherType: IPV4, at };
    return version === 6 ? { etherType: IPV6, at } : null;
  };
}

function behindTags(bytes: Buffer, { etherType, at }: Place): Place {
  let place = { etherType, at };
  for (let tags = 0; tags < MAX_TAGS && VLAN_TAGS.has(place.etherType); tags++) {
    if (bytes.length < place.at + 4) return { etherType: 0, at: 0 };
    place = { etherType: bytes.readUInt16BE(place.at + 2), at: place.at + 4 };
  }
  return place;
}

/** The two ends of an IP packet, what it carries and by which protocol. */
interface Carried {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly protocol: number;
  readonly bytes: Buffer;
}

const IPV4_HEAD_BYTES = 20;
const IPV6_HEAD_BYTES = 40;
const MORE_FRAGMENTS_OR_OFFSET = 0x3fff;

/** RFC 791 section 3.1. */
function readIpv4(bytes: Buffer): Segment | null {
  if (bytes.length < IPV4_HEAD_BYTES || (bytes[0] ?? 0) >> 4 !== 4) return null;
  const headBytes = ((bytes[0] ?? 0) & 0x0f) * 4;
  const totalBytes = bytes.readUInt16BE(2);
  if (headBytes < IPV4_HEAD_BYTES || totalBytes < headBytes || totalBytes > bytes.length) return null;
  if ((bytes.readUInt16BE(6) & MORE_FRAGMENTS_OR_OFFSET) !== 0) return null;
  if (isNobodys(bytes[12] ?? 0)) return null;
  const source = readIpAddress(bytes, 12, 4);
  const destination = readIpAddress(bytes, 16, 4);
  const carried = bytes.subarray(headBytes, totalBytes);
  return readCarried({ source, destination, protocol: bytes[9] ?? 0, bytes: carried });
}

/** 0.0.0.0/8, multicast, reserved, broadcast. */
function isNobodys(firstOctet: number): boolean {
  return firstOctet === 0 || firstOctet >= 224;
}

/** RFC 8200 section 3. */
function readIpv6(bytes: Buffer): Segment | null {
  if (bytes.length < IPV6_HEAD_BYTES || (bytes[0] ?? 0) >> 4 !== 6) return null;
  const end = IPV6_HEAD_BYTES + bytes.readUInt16BE(4);
  if (end > bytes.length) return null;
  const source = ipv6Address(bytes, 8);
  const destination = ipv6Address(bytes, 24);
  if (source === null || destination === null || source === '::' || bytes[8] === 0xff) return null;
  const last = behindExtensions(bytes.subarray(0, end));
  if (last === null) return null;
  return readCarried({ source, destination, protocol: last.protocol, bytes: bytes.subarray(last.at, end) });
}

/** Null for an address that spells an IPv4 one: on the wire it is nobody's. */
function ipv6Address(bytes: Buffer, at: number): IpAddress | null {
  const address = readIpAddress(bytes, at, 6);
  return ipFamily(address) === 6 ? address : null;
}

/** Extension headers that tell nothing of the payload: hop-by-hop and destination options, routing. */
const SKIPPED: ReadonlySet<number> = new Set([0, 43, 60]);
const FRAGMENT = 44;
const MAX_EXTENSIONS = 8;

/** The protocol behind the extension headers, and where it begins; null for fragments and for what does not end. */
function behindExtensions(bytes: Buffer): { readonly protocol: number; readonly at: number } | null {
  let protocol = bytes[6] ?? 0;
  let at = IPV6_HEAD_BYTES;
  for (let count = 0; count < MAX_EXTENSIONS; count++) {
    const isFragment = protocol === FRAGMENT;
    if (!isFragment && !SKIPPED.has(protocol)) return { protocol, at };
    if (bytes.length < at + 8) return null;
    // A fragment that is the whole packet (RFC 6946) has neither offset nor more to come.
    if (isFragment && (bytes.readUInt16BE(at + 2) & 0xfff9) !== 0) return null;
    protocol = bytes[at] ?? 0;
    at += isFragment ? 8 : ((bytes[at + 1] ?? 0) + 1) * 8;
  }
  return null;
}

const TCP = 6;
const UDP = 17;

function readCarried(carried: Carried): Segment | null {
  if (carried.protocol === UDP) return readUdp(carried);
  return carried.protocol === TCP ? readTcp(carried) : null;
}

const UDP_HEAD_BYTES = 8;

/** RFC 768. */
function readUdp({ source, destination, bytes }: Carried): Segment | null {
  if (bytes.length < UDP_HEAD_BYTES) return null;
  const length = bytes.readUInt16BE(4);
  if (length <= UDP_HEAD_BYTES || length > bytes.length) return null;
  const payload = bytes.subarray(UDP_HEAD_BYTES, length);
  return {
    protocol: 'udp',
    source,
    destination,
    destinationPort: bytes.readUInt16BE(2),
    isSyn: false,
    payload,
  };
}

const TCP_HEAD_BYTES = 20;
const SYN = 0x02;

/** RFC 9293 section 3.1. */
function readTcp({ source, destination, bytes }: Carried): Segment | null {
  if (bytes.length < TCP_HEAD_BYTES) return null;
  const headBytes = ((bytes[12] ?? 0) >> 4) * 4;
  if (headBytes < TCP_HEAD_BYTES || headBytes >= bytes.length) return null;
  return {
    protocol: 'tcp',
    source,
    destination,
    destinationPort: bytes.readUInt16BE(2),
    isSyn: ((bytes[13] ?? 0) & SYN) !== 0,
    payload: bytes.subarray(headBytes),
  };
}
