import type { Firewall } from '../src/firewall/firewall.ts';
import { createIptables } from '../src/firewall/iptables.ts';
import type { NftPlacement } from '../src/firewall/nft-place.ts';
import { createNftables } from '../src/firewall/nftables.ts';

/** Which real firewall, as data that can go to another process. */
export type FirewallPlan =
  | { readonly kind: 'nftables'; readonly placement: NftPlacement }
  | { readonly kind: 'iptables'; readonly variant: 'nft' | 'legacy'; readonly ipset: boolean };

/** The plan's firewall; `prefix` enters the namespace in which it is to work. */
export function makeFirewall(plan: FirewallPlan, prefix: readonly string[]): Firewall {
  const now = (): number => Date.now();
  if (plan.kind === 'nftables') {
    return createNftables({ command: [...prefix, 'nft'], placement: plan.placement, now });
  }
  return createIptables({
    iptables: [...prefix, `iptables-${plan.variant}`],
    ip6tables: [...prefix, `ip6tables-${plan.variant}`],
    ipset: plan.ipset ? [...prefix, 'ipset'] : null,
    now,
    sweepAfterMs: 100,
  });
}
