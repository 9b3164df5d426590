import type { FirewallConfig } from '../config/server-config.ts';
import { runCommand } from './command.ts';
import { FirewallError } from './firewall.ts';
import { findProgram } from './programs.ts';

/** How each program prints every rule that it knows, ours and others'. */
const COMMANDS = {
  nftables: [['nft', 'list', 'ruleset']],
  iptables: [['iptables-save'], ['ip6tables-save']],
} as const;

/**
 * All rules of the host, in the firewall's own notation. nftables shows those of today's iptables too, so that with
 * `FIREWALL auto` it is asked if it is there.
 * @throws FirewallError
 */
export async function listAllRules({ kind }: FirewallConfig): Promise<string> {
  const preferred = findProgram('nft') === null ? 'iptables' : 'nftables';
  const wanted = COMMANDS[kind === 'auto' ? preferred : kind];
  const installed = wanted.filter(([program]) => findProgram(program) !== null);
  if (installed.length === 0) throw new FirewallError(wanted[0][0], null, 'is not installed');
  return (await Promise.all(installed.map((command) => runCommand(command)))).join('');
}
