import { addresses, type Lab } from 'spa-lab';

/** Networks behind the operator's host, of 65,536 addresses each. All of them are its own. */
const NETWORKS = { operators: '10.78', spoofed: '10.98' } as const;
/** `numgen` wants a modulus; the last addresses are never used. */
const SPOOFED_ADDRESSES = 65_000;
const SPOOFED_FIRST = 0x0a620000;
const SPOOFED_PORTS = 64_000;
const SPOOFED_FIRST_PORT = 1024;

/** Whose datagrams somebody's are: those of the lab's `other4`, or of many at random. */
export type Sources = 'one' | 'spoofed';

/** Where a datagram comes from. */
export interface UdpSource {
  /** Of IPv4. */
  readonly address: number;
  readonly port: number;
}

/** Routes many addresses to the operator's host, which may send from any of them. */
export async function addAddresses({ operator, bastion }: Pick<Lab, 'operator' | 'bastion'>): Promise<void> {
  for (const network of Object.values(NETWORKS)) {
    await operator.must(['ip', 'route', 'add', 'local', `${network}.0.0/16`, 'dev', 'lo']);
    await bastion.must(['ip', 'route', 'add', `${network}.0.0/16`, 'via', addresses.client4]);
  }
}

/** What is sent from the lab's `other4` to the SPA port leaves from random addresses and ports from now on. */
export async function spoofSources({ operator }: Pick<Lab, 'operator'>): Promise<void> {
  const random = `numgen random mod ${SPOOFED_ADDRESSES} offset ${SPOOFED_FIRST}`;
  const port = `udp sport set numgen random mod ${SPOOFED_PORTS} offset ${SPOOFED_FIRST_PORT}`;
  const rule = `ip saddr ${addresses.other4} udp dport 62201 ip saddr set ${random} ${port}`;
  const chain = `type filter hook output priority 0; policy accept;\n${rule}`;
  await operator.must(['nft', '-f', '-'], `table ip spoof {\nchain output {\n${chain}\n}\n}\n`);
}

/** One of those, at random. */
export function spoofedSource(): UdpSource {
  return {
    address: SPOOFED_FIRST + Math.floor(Math.random() * SPOOFED_ADDRESSES),
    port: SPOOFED_FIRST_PORT + Math.floor(Math.random() * SPOOFED_PORTS),
  };
}

/** Octets of an address that are neither the first nor the last of their network. */
const OCTETS = { third: 255, fourth: 254 } as const;

/** An operator's address; `index` counts from 0. There are 64,770, then they come again. */
export function operatorAddress(index: number): string {
  const third = Math.floor(index / OCTETS.fourth) % OCTETS.third;
  return `${NETWORKS.operators}.${1 + third}.${1 + (index % OCTETS.fourth)}`;
}
