import { readFileSync } from 'node:fs';

/** What has to be 1 for packets to pass through this host, and for whom. */
const SWITCHES = [
  { family: 'IPv4', path: '/proc/sys/net/ipv4/ip_forward', name: 'net.ipv4.ip_forward' },
  { family: 'IPv6', path: '/proc/sys/net/ipv6/conf/all/forwarding', name: 'net.ipv6.conf.all.forwarding' },
] as const;

/**
 * Why nothing passes through this host, in one line for the operator; null if IPv4 does, or nobody knows. `read` gives what
 * is in a file.
 */
export function forwardingWarning(read: (path: string) => string = readIfThere): string | null {
  const off = SWITCHES.filter(({ path }) => read(path).trim() === '0');
  if (!off.some(({ family }) => family === 'IPv4')) return null;
  const settings = off.map(({ name }) => `${name}=1`).join(' ');
  return `this host forwards no packets, so that NAT leads to no other: run: sysctl -w ${settings}, and write it to a file in /etc/sysctl.d`;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
