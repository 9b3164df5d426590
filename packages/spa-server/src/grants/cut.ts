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
  for (const { from, port } of all) {
    if (conntrack !== null) connections += await forget(conntrack, from, port);
    if (ss !== null) await shutSockets(ss, from, port);
  }
  if (conntrack !== null) return { connections, problem: null };
  const problem =
    'conntrack is not installed, so connections that were made through the doors may live on; install it (package conntrack, or conntrack-tools) and give the same command with address=IP';
  return { connections, problem };
}

async function forget(conntrack: string, from: IpNetwork, { protocol, port }: ProtoPort): Promise<number> {
  const family = ipFamily(from.address) === 4 ? 'ipv4' : 'ipv6';
  const which = ['-f', family, '-p', protocol, '-s', formatNetwork(from), '--dport', String(port)];
  try {
    const deleted = await runCommand([conntrack, '-D', ...which]);
    return deleted.split('\n').filter((line) => line !== '').length;
  } catch (error) {
    // It calls it a failure if there was nothing to delete.
    if (error instanceof FirewallError && error.message.includes(' 0 flow entries')) return 0;
    throw error;
  }
}

/** A kernel that cannot do this (CONFIG_INET_DIAG_DESTROY) says nothing, and neither do we. */
async function shutSockets(ss: string, from: IpNetwork, { protocol, port }: ProtoPort): Promise<void> {
  const kind = protocol === 'tcp' ? '-t' : '-u';
  const isThese = ['dst', formatNetwork(from), 'and', 'sport', '=', `:${port}`];
  await runCommand([ss, '-K', '-n', kind, ...isThese]);
}

function formatNetwork({ address, prefixLength }: IpNetwork): string {
  return `${address}/${prefixLength}`;
}
