import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { addressBits, type IpAddress, ipFamily } from 'spa-core';

/** Where a UDP socket is bound. */
export interface BoundPlace {
  readonly address: IpAddress;
  readonly port: number;
}

/** Where Linux lists the sockets of this network namespace (proc(5)). */
const TABLES = { 4: '/proc/net/udp', 6: '/proc/net/udp6' } as const;

/**
 * Datagrams that the kernel has received for these sockets and thrown away since they were made, most often because nobody
 * read fast enough and the receive buffer was full. Null where that is not to be found out.
 */
export function kernelDrops(places: readonly BoundPlace[]): number | null {
  try {
    return places.reduce((sum, place) => {
      const table = readFileSync(TABLES[ipFamily(place.address)], 'latin1');
      return sum + dropsIn(table, place, endianness());
    }, 0);
  } catch {
    return null;
  }
}

/** The drops of the sockets at one place, as the kernel's `table` has them. */
export function dropsIn(table: string, place: BoundPlace, order: 'BE' | 'LE'): number {
  const local = formatPlace(place, order);
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, address]) => address === local)
    .reduce((sum, columns) => sum + Number(columns.at(-1)), 0);
}

/** `0100007F:F2F9`: words of 32 bits in the machine's order, then the port. */
function formatPlace({ address, port }: BoundPlace, order: 'BE' | 'LE'): string {
  const digits = ipFamily(address) === 4 ? 8 : 32;
  const bytes = Buffer.from(addressBits(address).toString(16).padStart(digits, '0'), 'hex');
  if (order === 'LE') bytes.swap32();
  return `${bytes.toString('hex').toUpperCase()}:${port.toString(16).toUpperCase().padStart(4, '0')}`;
}
