import { type IpNetwork, ipFamily, type ProtoPort } from 'spa-core';
import { runCommand } from '../firewall/command.ts';
import { FirewallError } from '../firewall/firewall.ts';
import { findProgram, searchPath } from '../firewall/programs.ts';

/** Connections from these addresses to this port. */
export interface Connections {
  readonly from: IpNetwork;
  readonly port: ProtoPort;
}

/** What was cut. */
export interface Cut {
  /** Connections that the kernel knew of and forgot. */
  readonly connections: number;
  /** Why some may live on, in one line for the operator; null if none can. */
  readonly problem: string | null;
}

/**
 * Ends connections that were let in, whose doors are shut by now.
 *
 * The kernel's table of connections forgets them (conntrack), so that what comes through them meets the rules for new
 * ones. That alone is not the end: a packet that this host sends makes the kernel learn such a connection again, and as one
 * of its own. So the sockets on this host are shut too (ss), and the other side hears of it at once.
 * `directories` is where the programs are looked for.
 * @throws FirewallError if a program says that it could not.
 */
export async function cutConnections(
  all: readonly Connections[],
  directories: readonly string[] = searchPath(),
): Promise<Cut> {
  const conntrack = findProgram('conntrack', directories);
  const ss = findProgram('ss', directories);
  let connections = 0;
  let surviving = 0;
  for (const { from, port } of all) {
    if (conntrack !== null) connections += await forget(conntrack, from, port);
    if (ss !== null) surviving += await shutSockets(ss, from, port);
  }
  const missing = [...(conntrack === null ? ['conntrack'] : []), ...(ss === null ? ['ss'] : [])];
  return { connections, problem: problemOf(missing, surviving) };
}

function problemOf(missing: readonly string[], surviving: number): string | null {
  if (missing.length > 0) {
    return `${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not installed, so connections that were made through the doors may live on; install the package (conntrack, iproute2) and give the same command with address=IP`;
  }
  if (surviving === 0) return null;
  return `${surviving} connections live on, because this kernel cannot shut them (CONFIG_INET_DIAG_DESTROY); end the processes that "ss -tnp" shows`;
}

async function forget(conntrack: string, from: IpNetwork, { protocol, port }: ProtoPort): Promise<number> {
  const family = ipFamily(from.address) === 4 ? 'ipv4' : 'ipv6';
  const which = ['-f', family, '-p', protocol, '-s', formatNetwork(from), '--dport', String(port)];
  try {
    const deleted = await runCommand([conntrack, '-D', ...which]);
    return countLines(deleted);
  } catch (error) {
    // It calls it a failure if there was nothing to delete.
    if (error instanceof FirewallError && error.message.includes(' 0 flow entries')) return 0;
    throw error;
  }
}

/** Resolves to how many are still there: a kernel that cannot shut them says nothing. */
async function shutSockets(ss: string, from: IpNetwork, { protocol, port }: ProtoPort): Promise<number> {
  const options = ['-H', '-n', protocol === 'tcp' ? '-t' : '-u'];
  const isThese = ['dst', formatNetwork(from), 'and', 'sport', '=', `:${port}`];
  await runCommand([ss, '-K', ...options, ...isThese]);
  const left = await runCommand([ss, ...options, 'state', 'established', ...isThese]);
  return countLines(left);
}

function countLines(text: string): number {
  return text.split('\n').filter((line) => line.trim() !== '').length;
}

function formatNetwork({ address, prefixLength }: IpNetwork): string {
  return `${address}/${prefixLength}`;
}
