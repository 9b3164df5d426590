import type { GatePolicy } from './firewall.ts';
import { formatNftChain, type NftChain, type NftPlace } from './nft-place.ts';
import {
  acceptsEstablished,
  acceptsTranslated,
  obstacles,
  type Ruleset,
  rootsOf,
  shutsByDefault,
} from './nft-ruleset.ts';

/** Why our rules cannot be attached where the operator wants them, or null if they can. */
export function missingChain(ruleset: Ruleset, place: NftPlace): string | null {
  const missing = (name: string | null, attached: Attached): string | null =>
    name === null ? null : missingFor(ruleset, formatNftChain({ ...place, chain: name }), attached);
  return missing(place.from, ATTACHED.input) ?? missing(place.forwardFrom, ATTACHED.forward);
}

interface Attached {
  readonly keyword: string;
  readonly hook: 'input' | 'forward';
  /** What to do if the host has no chain with that hook. */
  readonly otherwise: string;
}

const ATTACHED = {
  input: { keyword: 'NFT_ATTACH_CHAIN', hook: 'input', otherwise: 'so NFT_MODE own is right' },
  forward: { keyword: 'NFT_ATTACH_FORWARD_CHAIN', hook: 'forward', otherwise: 'so remove the line' },
} as const satisfies Readonly<Record<string, Attached>>;

function missingFor(ruleset: Ruleset, wanted: string, { keyword, hook, otherwise }: Attached): string | null {
  const found = ruleset.chains.find((chain) => formatNftChain(chain) === wanted);
  if (found?.hook === hook || found?.hook === null) return null;
  const there = ruleset.chains.filter((chain) => chain.hook === hook).map(formatNftChain);
  const instead =
    there.length === 0
      ? `there is no chain with hook ${hook}, ${otherwise}`
      : `chains with hook ${hook} are: ${there.join(', ')}`;
  return found === undefined
    ? `${keyword}: there is no chain ${wanted}; ${instead}`
    : `${keyword}: chain ${wanted} has hook ${found.hook}; ${instead}`;
}

/** What the operator should know about the host's other rules, one line each. */
export function rulesetWarnings(ruleset: Ruleset, place: NftPlace, policy: GatePolicy): readonly string[] {
  const passing = [...policy.spaPorts, ...policy.protectedPorts];
  const leading = [
    ...(policy.answers === true ? answerWarnings(ruleset) : []),
    ...(policy.forwards === true ? forwardWarnings(ruleset, place) : []),
  ];
  if (place.from === null) return [...obstacles(ruleset, [place], passing), ...leading];
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
    ...leading,
  ];
  return found.filter((warning) => warning !== false);
}

/** Chains that will drop what this host answers: an accept of ours is not heard there. */
function answerWarnings(ruleset: Ruleset): readonly string[] {
  return ruleset.chains
    .filter((chain) => chain.hook === 'output' && shutsByDefault(ruleset, chain))
    .filter((chain) => !acceptsEstablished(ruleset, chain))
    .map(
      (chain) =>
        `chain ${formatNftChain(chain)} drops this host's answers; put "ct state established accept" there: ENABLE_IPT_OUTPUT is for iptables`,
    );
}

/** Chains that will drop what our translation leads to inner hosts, or its answers. */
function forwardWarnings(ruleset: Ruleset, place: NftPlace): readonly string[] {
  const { forwardFrom } = place;
  const roots =
    forwardFrom === null
      ? []
      : rootsOf(ruleset, { ...place, chain: forwardFrom }, 'forward').map(formatNftChain);
  return ruleset.chains
    .filter((chain) => chain.hook === 'forward' && shutsByDefault(ruleset, chain))
    .flatMap((chain) => {
      const name = formatNftChain(chain);
      const isOurs = roots.includes(name);
      if (!acceptsEstablished(ruleset, chain)) {
        return `chain ${name} drops by default and has no rule "ct state established,related accept": no connection to an inner host works without`;
      }
      if (isOurs || acceptsTranslated(ruleset, chain)) return [];
      const attaching = `NFT_MODE attach and NFT_ATTACH_FORWARD_CHAIN ${name}`;
      return `chain ${name} drops by default what NAT leads to inner hosts: accept it there with "ct status dnat accept", or write ${attaching}`;
    });
}
