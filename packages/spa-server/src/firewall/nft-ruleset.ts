import { formatProtoPort, formatProtoPorts, type ProtoPort } from 'spa-core';
import { formatNftChain, type NftChain } from './nft-place.ts';

/** A chain as nft lists it. `hook` is null for a chain that is only jumped to. */
export interface ListedChain extends NftChain {
  readonly hook: string | null;
  readonly policy: string | null;
}

/** A rule as nft lists it. */
export interface ListedRule extends NftChain {
  readonly handle: number;
  readonly statements: readonly Statement[];
}

/** One match, action or verdict: an object with one member, named by its kind. */
type Statement = Readonly<Record<string, unknown>>;

/** What stands in nftables, as far as packets for this host are concerned. */
export interface Ruleset {
  readonly chains: readonly ListedChain[];
  readonly rules: readonly ListedRule[];
  /** Sets by their full name, `chain` being the set's. */
  readonly sets: readonly NftChain[];
}

/** Reads the output of `nft -j list …` (libnftables-json(5)). @throws SyntaxError if it is no JSON. */
export function parseRuleset(json: string): Ruleset {
  const entries = listed(json);
  const of = (kind: string): readonly Entry[] =>
    entries
      .map((entry) => entry[kind])
      .filter((entry) => isEntry(entry) && isFamily(entry.family)) as Entry[];
  return {
    chains: of('chain').map((chain) => ({
      ...named(chain, 'name'),
      hook: typeof chain.hook === 'string' ? chain.hook : null,
      policy: typeof chain.policy === 'string' ? chain.policy : null,
    })),
    rules: of('rule').map((rule) => ({
      ...named(rule, 'chain'),
      handle: Number(rule.handle),
      statements: Array.isArray(rule.expr) ? rule.expr.filter(isEntry) : [],
    })),
    sets: of('set').map((set) => named(set, 'name')),
  };
}

/** An object of nft's JSON. */
export type Entry = Readonly<Record<string, unknown>>;

/** The rules of `chain`, from its top. */
export function rulesOf(ruleset: Ruleset, chain: NftChain): readonly ListedRule[] {
  return ruleset.rules.filter((rule) => formatNftChain(rule) === formatNftChain(chain));
}

/** The chain to which `rule` jumps or goes, or null. */
export function jumpTarget(rule: ListedRule): string | null {
  const jump = rule.statements.map((statement) => statement.jump ?? statement.goto).find(isEntry);
  return typeof jump?.target === 'string' ? jump.target : null;
}

/** True if whatever no rule of `chain` speaks of is dropped or rejected: by its policy or by its last rule. */
export function shutsByDefault(ruleset: Ruleset, chain: ListedChain): boolean {
  if (chain.policy === 'drop') return true;
  const last = rulesOf(ruleset, chain).at(-1);
  return last !== undefined && matches(last).length === 0 && has(last, 'drop', 'reject');
}

/** True if a rule in `chain`, or in one that it jumps to, accepts packets of established connections. */
export function acceptsEstablished(ruleset: Ruleset, chain: NftChain): boolean {
  const rules = reachableChains(ruleset, chain).flatMap((one) => rulesOf(ruleset, one));
  return rules.some((rule) => {
    const text = JSON.stringify(rule.statements);
    return (
      text.includes('{"ct":{"key":"state"}}') && text.includes('"established"') && text.includes('"accept"')
    );
  });
}

/** True if a rule in `chain`, or in one that it jumps to, accepts whatever was led to another destination. */
export function acceptsTranslated(ruleset: Ruleset, chain: NftChain): boolean {
  const rules = reachableChains(ruleset, chain).flatMap((one) => rulesOf(ruleset, one));
  return rules.some((rule) => {
    const text = JSON.stringify(rule.statements);
    return text.includes('"key":"status"') && text.includes('"dnat"') && text.includes('"accept"');
  });
}

/** Those of `ports` that no rule of `chain`, or of one that it jumps to, accepts from everybody. */
export function portsNotAccepted(
  ruleset: Ruleset,
  chain: NftChain,
  ports: readonly ProtoPort[],
): readonly ProtoPort[] {
  const rules = reachableChains(ruleset, chain).flatMap((one) => rulesOf(ruleset, one));
  const accepting = rules.filter((rule) => has(rule, 'accept'));
  return ports.filter(
    (port) => !accepting.some((rule) => matches(rule).every((match) => concerns(match, port))),
  );
}

/** The chains with that hook whose packets come to `chain`: itself, or those that jump to it. */
export function rootsOf(
  ruleset: Ruleset,
  chain: NftChain,
  hook: 'input' | 'forward' = 'input',
): readonly ListedChain[] {
  const name = formatNftChain(chain);
  return ruleset.chains
    .filter((root) => root.hook === hook)
    .filter((root) => reachableChains(ruleset, root).some((one) => formatNftChain(one) === name));
}

/**
 * Chains with hook input, other than `ours`, that will drop what our rules accept, each as one line for the
 * operator. `ports` are those that our rules let through.
 */
export function obstacles(
  ruleset: Ruleset,
  ours: readonly NftChain[],
  ports: readonly ProtoPort[],
): readonly string[] {
  const ourNames = ours.map(formatNftChain);
  return ruleset.chains
    .filter((chain) => chain.hook === 'input' && !ourNames.includes(formatNftChain(chain)))
    .filter((chain) => shutsByDefault(ruleset, chain))
    .flatMap((chain) => {
      const missing = portsNotAccepted(ruleset, chain, ports);
      return missing.length === 0 ? [] : [obstacle(chain, missing)];
    });
}

function obstacle(chain: NftChain, missing: readonly ProtoPort[]): string {
  const fact = `chain ${formatNftChain(chain)} drops by default and has no plain rule that accepts ${formatProtoPorts(missing)}`;
  if (chain.table === 'firewalld') {
    const options = missing.map(
      (port) => `--add-port=${formatProtoPort(port).split('/').reverse().join('/')}`,
    );
    return `${fact}: let firewalld pass these ports with firewall-cmd --permanent ${options.join(' ')}`;
  }
  if (isMadeByIptables(chain)) return `${fact}: accept these ports there, or write FIREWALL iptables`;
  return `${fact}: accept these ports there, or write NFT_MODE attach and NFT_ATTACH_CHAIN ${formatNftChain(chain)}`;
}

/** True for a chain in which iptables-nft keeps iptables' INPUT rules. */
export function isMadeByIptables({ family, table, chain }: NftChain): boolean {
  return family !== 'inet' && table === 'filter' && chain === 'INPUT';
}

/** `chain` and all chains of its table that can be reached from it. */
function reachableChains(ruleset: Ruleset, chain: NftChain): readonly NftChain[] {
  const { family, table } = chain;
  const names = new Set([chain.chain]);
  // A set's iteration comes to what is added on the way.
  for (const name of names) {
    for (const rule of rulesOf(ruleset, { family, table, chain: name })) {
      const target = jumpTarget(rule);
      if (target !== null) names.add(target);
    }
  }
  return [...names].map((name) => ({ family, table, chain: name }));
}

/** What a rule asks of a packet: all but counting, logging and the verdict. */
function matches(rule: ListedRule): readonly Statement[] {
  const asksNothing = ['counter', 'log', 'accept', 'drop', 'reject'];
  return rule.statements.filter((statement) => !asksNothing.some((kind) => kind in statement));
}

function has(rule: ListedRule, ...kinds: readonly string[]): boolean {
  return rule.statements.some((statement) => kinds.some((kind) => kind in statement));
}

/** True if a statement is a match that every new packet to `port` meets. */
function concerns({ match }: Statement, port: ProtoPort): boolean {
  if (!isEntry(match) || !isEntry(match.left)) return false;
  const { left, right } = match;
  if (isEntry(left.payload)) {
    const { protocol, field } = left.payload;
    return (protocol === port.protocol || protocol === 'th') && field === 'dport' && covers(right, port.port);
  }
  if (isEntry(left.meta)) return left.meta.key === 'l4proto' && covers(right, port.protocol);
  if (isEntry(left.ct)) return left.ct.key === 'state' && covers(right, 'new');
  return false;
}

function covers(right: unknown, value: string | number): boolean {
  if (Array.isArray(right)) return right.some((one) => covers(one, value));
  if (!isEntry(right)) return right === value;
  if ('set' in right) return covers(right.set, value);
  if (!Array.isArray(right.range) || typeof value !== 'number') return false;
  const [low, high] = right.range;
  return Number(low) <= value && value <= Number(high);
}

function listed(json: string): readonly Entry[] {
  const document: unknown = JSON.parse(json);
  return isEntry(document) && Array.isArray(document.nftables) ? document.nftables.filter(isEntry) : [];
}

function named(entry: Entry, nameIn: 'name' | 'chain'): NftChain {
  return {
    family: entry.family as NftChain['family'],
    table: String(entry.table),
    chain: String(entry[nameIn]),
  };
}

function isFamily(value: unknown): value is NftChain['family'] {
  return value === 'inet' || value === 'ip' || value === 'ip6';
}

function isEntry(value: unknown): value is Entry {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
