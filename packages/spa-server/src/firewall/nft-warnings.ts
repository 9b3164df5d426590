import type { GatePolicy } from './firewall.ts';
import { formatNftChain, type NftChain, type NftPlace } from './nft-place.ts';
import { acceptsEstablished, obstacles, type Ruleset, rootsOf, shutsByDefault } from './nft-ruleset.ts';

/** Why our rules cannot be attached where the operator wants them, or null if they can. */
export function missingChain(ruleset: Ruleset, place: NftPlace): string | null {
  if (place.from === null) return null;
  const wanted = formatNftChain({ ...place, chain: place.from });
  const found = ruleset.chains.find((chain) => formatNftChain(chain) === wanted);
  if (found?.hook === 'input' || found?.hook === null) return null;
  const inputs = ruleset.chains.filter((chain) => chain.hook === 'input').map(formatNftChain);
  const instead =
    inputs.length === 0
      ? 'there is no chain with hook input, so NFT_MODE own is right'
      : `chains with hook input are: ${inputs.join(', ')}`;
  return found === undefined
    ? `NFT_ATTACH_CHAIN: there is no chain ${wanted}; ${instead}`
    : `NFT_ATTACH_CHAIN: chain ${wanted} has hook ${found.hook}; ${instead}`;
}

/** What the operator should know about the host's other rules, one line each. */
export function rulesetWarnings(ruleset: Ruleset, place: NftPlace, policy: GatePolicy): readonly string[] {
  const passing = [...policy.spaPorts, ...policy.protectedPorts];
  if (place.from === null) return obstacles(ruleset, [place], passing);
  const from: NftChain = { ...place, chain: place.from };
  const name = formatNftChain(from);
  const roots = rootsOf(ruleset, from);
  const otherFamily = { inet: null, ip: 'IPv6', ip6: 'IPv4' }[place.family];
  const found: readonly (string | false)[] = [
    ...obstacles(ruleset, roots, passing),
    roots.length === 0 && `no chain with hook input leads to chain ${name}: its rules see no packet`,
    roots.some((root) => !shutsByDefault(ruleset, root)) &&
      `chain ${name} lets everything through that it does not know: the doors guard nothing; give it policy drop`,
    roots.some((root) => !acceptsEstablished(ruleset, root)) &&
      `chain ${name} has no rule "ct state established,related accept": sessions will die with their door`,
    otherFamily !== null &&
      `chain ${name} is of family ${place.family}: no doors for ${otherFamily}; a chain of family inet has both`,
  ];
  return found.filter((warning) => warning !== false);
}
