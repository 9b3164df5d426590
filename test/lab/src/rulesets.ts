import type { Namespace } from './hosts.ts';

/** A bastion's own rules in nftables: everything is dropped but what belongs to a connection that was let in. */
export const NFT_DEFAULT_DROP: string = `\
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iif lo accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  }
}
`;

/** The same in iptables, for one address family. */
export const IPTABLES_DEFAULT_DROP: string = `*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
COMMIT
`;

const NEIGHBOUR_DISCOVERY = ['neighbour-solicitation', 'neighbour-advertisement']
  .map((type) => `-A INPUT -p icmpv6 --icmpv6-type ${type} -j ACCEPT\n`)
  .join('');

/** Makes a host's firewall drop everything, with rules of nftables or of iptables. */
export async function dropEverything(host: Namespace, firewall: 'nftables' | 'iptables'): Promise<void> {
  await host.must(['nft', 'flush', 'ruleset']);
  if (firewall === 'nftables') {
    await host.must(['nft', '-f', '-'], NFT_DEFAULT_DROP);
    return;
  }
  await host.must(['iptables-restore'], IPTABLES_DEFAULT_DROP);
  await host.must(
    ['ip6tables-restore'],
    IPTABLES_DEFAULT_DROP.replace('COMMIT', `${NEIGHBOUR_DISCOVERY}COMMIT`),
  );
}
