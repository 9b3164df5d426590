import type { Brand } from './brand.ts';

/** An IPv4 address in dotted form or an IPv6 address as RFC 5952 spells it. Made by {@link parseIpAddress}. */
export type IpAddress = Brand<string, 'IpAddress'>;

/** A range of addresses. `prefixLength` counts bits of `address`'s family. Made by {@link parseIpNetwork}. */
export interface IpNetwork {
  readonly address: IpAddress;
  readonly prefixLength: number;
}

/**
 * The address that `text` spells, in canonical form; null if it spells none.
 *
 * IPv4 parts are decimal without leading zeros (inet_aton reads `010` as 8). IPv6 has no zone. An IPv4-mapped
 * IPv6 address (RFC 4291 section 2.5.5.2) is the IPv4 address.
 */
export function parseIpAddress(text: string): IpAddress | null {
  if (text.includes(':')) return parseIpv6(text);
  return IPV4.test(text) ? (text as IpAddress) : null;
}

/**
 * The address of a family whose octets are at `at`, in network order, in canonical form; an IPv4-mapped IPv6 address is the IPv4
 * address. At tens of thousands a second it makes no detour by a text that has to be parsed.
 */
export function readIpAddress(bytes: Uint8Array, at: number, family: 4 | 6): IpAddress {
  if (family === 4) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}` as IpAddress;
  const groups: number[] = [];
  for (let i = at; i < at + 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  return canonicalIpv6(groups);
}

/** 4 or 6. */
export function ipFamily(address: IpAddress): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** `address` or `address/prefix`; null if it is neither or has bits set beyond the prefix's family width. */
export function parseIpNetwork(text: string): IpNetwork | null {
  const [addressText = '', prefixText, ...rest] = text.split('/');
  const address = parseIpAddress(addressText);
  if (address === null || rest.length > 0) return null;
  const width = ipFamily(address) === 4 ? 32 : 128;
  if (prefixText === undefined) return { address, prefixLength: width };
  if (!/^(0|[1-9]\d{0,2})$/.test(prefixText) || Number(prefixText) > width) return null;
  return { address, prefixLength: Number(prefixText) };
}

/** True if `address` is of the network's family and shares its prefix. */
export function networkContains(network: IpNetwork, address: IpAddress): boolean {
  if (ipFamily(network.address) !== ipFamily(address)) return false;
  const a = addressBits(network.address);
  const b = addressBits(address);
  const shift = BigInt((ipFamily(address) === 4 ? 32 : 128) - network.prefixLength);
  return a >> shift === b >> shift;
}

/** The address as a number: of 32 bits (IPv4) or 128 (IPv6). */
export function addressBits(address: IpAddress): bigint {
  const groups = ipFamily(address) === 4 ? parseIpv4(address) : expandIpv6(address);
  if (groups === null) throw new TypeError(`not a parsed address: ${address}`);
  const bitsPerGroup = ipFamily(address) === 4 ? 8n : 16n;
  return groups.reduce((bits, group) => (bits << bitsPerGroup) | BigInt(group), 0n);
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

function parseIpv4(text: string): number[] | null {
  return IPV4.test(text) ? text.split('.').map(Number) : null;
}

function parseIpv6(text: string): IpAddress | null {
  const groups = expandIpv6(text);
  return groups === null ? null : canonicalIpv6(groups);
}

function canonicalIpv6(groups: readonly number[]): IpAddress {
  const [g0, g1, g2, g3, g4, g5, high = 0, low = 0] = groups;
  if ([g0, g1, g2, g3, g4].every((group) => group === 0) && g5 === 0xffff) {
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}` as IpAddress;
  }
  return formatIpv6(groups) as IpAddress;
}

/** The eight 16-bit groups of an IPv6 address; null if `text` spells none. */
function expandIpv6(text: string): number[] | null {
  const sides = text.split('::');
  if (sides.length > 2) return null;
  const [head, tail] = sides.map((side, index) => parseGroups(side, index === sides.length - 1));
  if (head === null || head === undefined || tail === null) return null;
  if (tail === undefined) return head.length === 8 ? head : null;
  const missing = 8 - head.length - tail.length;
  return missing >= 1 ? [...head, ...new Array<number>(missing).fill(0), ...tail] : null;
}

function parseGroups(side: string, mayEndInIpv4: boolean): number[] | null {
  if (side === '') return [];
  const groups: number[] = [];
  const parts = side.split(':');
  for (const [index, part] of parts.entries()) {
    if (part.includes('.')) {
      const ipv4 = mayEndInIpv4 && index === parts.length - 1 ? parseIpv4(part) : null;
      if (ipv4 === null) return null;
      const [a = 0, b = 0, c = 0, d = 0] = ipv4;
      groups.push((a << 8) | b, (c << 8) | d);
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return null;
    }
  }
  return groups.length <= 8 ? groups : null;
}

/** RFC 5952 section 4: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function formatIpv6(groups: readonly number[]): string {
  let start = -1;
  let length = 1;
  for (let i = 0; i < groups.length; i++) {
    let run = 0;
    while (groups[i + run] === 0) run++;
    if (run > length) [start, length] = [i, run];
  }
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  return start < 0 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}
