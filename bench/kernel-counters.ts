import { readFileSync } from 'node:fs';
import type { Namespace } from 'spa-lab';

/** What the kernel has counted on a host since it exists. */
export interface KernelCounters {
  /** SYNs that were sent a second time or more: `TCPSynRetrans`. The first time that is a second after the SYN. */
  readonly synsSentAgain: number;
  /** UDP datagrams sent: `Udp: OutDatagrams`. */
  readonly datagramsSent: number;
}

/** Reads a host's counters: /proc/net/netstat and /proc/net/snmp as its processes see them. */
export function kernelCounters(host: Namespace): KernelCounters {
  const read = (file: string, group: string, name: string): number => {
    const lines = readFileSync(`/proc/${host.pid}/net/${file}`, 'utf8').split('\n');
    const [names = [], values = []] = lines
      .filter((line) => line.startsWith(`${group}: `))
      .map((line) => line.split(' '));
    const value = values[names.indexOf(name)];
    if (value === undefined) throw new Error(`the kernel does not count ${name}`);
    return Number(value);
  };
  return {
    synsSentAgain: read('netstat', 'TcpExt', 'TCPSynRetrans'),
    datagramsSent: read('snmp', 'Udp', 'OutDatagrams'),
  };
}
