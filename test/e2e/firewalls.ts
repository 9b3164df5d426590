import type { Lab } from 'spa-lab';

/** A bastion's firewall, as its own rules and as the daemon is told of it. */
export interface FirewallSetup {
  readonly name: string;
  /** In what the bastion's own rules are written. */
  readonly rules: 'nftables' | 'iptables';
  /** Lines of fwknopd.conf. */
  readonly server: readonly string[];
  /** What has to be installed. */
  readonly programs: readonly string[];
  /** What the firewall says about doors, for a failing test. */
  show(lab: Lab): Promise<string>;
}

/** Every firewall that the daemon speaks to. */
export const FIREWALLS: readonly FirewallSetup[] = [
  {
    name: 'nftables',
    rules: 'nftables',
    server: ['FIREWALL nftables', 'NFT_MODE attach', 'NFT_ATTACH_CHAIN inet filter input'],
    programs: ['nft'],
    show: (lab) => lab.bastion.must(['nft', 'list', 'ruleset']),
  },
  {
    name: 'iptables',
    rules: 'iptables',
    server: ['FIREWALL iptables'],
    programs: ['iptables', 'ip6tables', 'nft'],
    show: (lab) => lab.bastion.must(['iptables-save']),
  },
];
