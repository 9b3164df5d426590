import type { FirewallConfig } from '../config/server-config.ts';
import { chooseFirewall } from './choose.ts';
import type { Firewall } from './firewall.ts';
import { createIptables } from './iptables.ts';
import type { NftPlacement } from './nft-place.ts';
import { createNftables } from './nftables.ts';
import { findProgram } from './programs.ts';

/** The name of our own table, in mode own. */
const OWN_TABLE = 'spa';

/**
 * The firewall that the configuration asks for. `warn` takes what the operator should know when nobody has asked, a line each.
 * @throws FirewallError if the host has none.
 */
export async function firewallFromConfig(
  config: FirewallConfig,
  warn: (line: string) => void = () => {},
): Promise<Firewall> {
  const choice = await chooseFirewall({
    firewall: config.kind,
    ownTable: OWN_TABLE,
    chain: config.iptables,
    ...(config.program === null ? {} : { program: config.program }),
  });
  const now = Date.now;
  switch (choice.kind) {
    case 'nftables':
      return createNftables({ command: [choice.nft], placement: placementOf(config), now, warn });
    case 'iptables': {
      const ip6tables = choice.ip6tables === null ? null : [choice.ip6tables];
      const ipset = findProgram('ipset');
      return createIptables({
        iptables: [choice.iptables],
        ip6tables,
        ipset: ipset === null ? null : [ipset],
        chain: config.iptables,
        forwardChains: config.iptablesForwards,
        outputChain: config.iptablesOutput,
        now,
      });
    }
  }
}

function placementOf(config: FirewallConfig): NftPlacement {
  return config.nftAttach === null
    ? { mode: 'own', table: OWN_TABLE }
    : { mode: 'attach', chain: config.nftAttach, forwardChain: config.nftAttachForward };
}
