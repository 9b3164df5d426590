import t from 'tap';
import type { GatePolicy } from '../src/firewall/firewall.ts';
import { type NftPlacement, nftPlace } from '../src/firewall/nft-place.ts';
import type { ListedChain, Ruleset } from '../src/firewall/nft-ruleset.ts';
import { missingChain, rulesetWarnings } from '../src/firewall/nft-warnings.ts';

const POLICY: GatePolicy = { spaPorts: [], protectedPorts: [], preFilter: null, forwards: true };
const OWN: NftPlacement = { mode: 'own', table: 'spa' };
const INPUT: ListedChain = { ...named('input'), hook: 'input', policy: 'accept' };
const FORWARD: ListedChain = { ...named('forward'), hook: 'forward', policy: 'drop' };
const OUTPUT: ListedChain = { ...named('output'), hook: 'output', policy: 'drop' };
const ESTABLISHED = match({ ct: { key: 'state' } }, ['established', 'related']);
const TRANSLATED = match({ ct: { key: 'status' } }, 'dnat');

t.test('what drops forwarded packets is named, with what to write', async (t) => {
  const warningsOf = (statements: readonly Statements[], placement: NftPlacement = OWN): readonly string[] =>
    rulesetWarnings(rulesetOf(FORWARD, statements), nftPlace(placement), POLICY);
  t.match(warningsOf([]), [
    /^chain inet filter forward drops by default and has no rule "ct state established/,
  ]);
  t.match(warningsOf([ESTABLISHED]), [
    /^chain inet filter forward drops by default what NAT leads .* "ct status dnat accept", or write NFT_MODE attach/,
  ]);
  t.same(warningsOf([ESTABLISHED, TRANSLATED]), []);
  const attached = { mode: 'attach', chain: named('input'), forwardChain: named('forward') } as const;
  t.notMatch(warningsOf([ESTABLISHED], attached).join('\n'), 'forward');
  const { forwards: _, ...plain } = POLICY;
  t.same(rulesetWarnings(rulesetOf(FORWARD, []), nftPlace(OWN), plain), [], 'without NAT it is nobody');
});

t.test('ENABLE_IPT_OUTPUT is told what a table of our own cannot do', async (t) => {
  const policy = { ...POLICY, forwards: false, answers: true };
  const warningsOf = (statements: readonly Statements[]): readonly string[] =>
    rulesetWarnings(rulesetOf(OUTPUT, statements), nftPlace(OWN), policy);
  t.match(warningsOf([]), [/^chain inet filter output drops this host's answers; put "ct state established/]);
  t.same(warningsOf([ESTABLISHED]), []);
});

t.test('a chain that does not forward is none to attach to', async (t) => {
  const placeAt = (forwardChain: string) =>
    nftPlace({ mode: 'attach', chain: named('input'), forwardChain: named(forwardChain) });
  const ruleset = rulesetOf(FORWARD, []);
  t.equal(missingChain(ruleset, placeAt('forward')), null);
  t.equal(
    missingChain(ruleset, placeAt('input')),
    'NFT_ATTACH_FORWARD_CHAIN: chain inet filter input has hook input; chains with hook forward are: inet filter forward',
  );
  t.match(
    missingChain(ruleset, placeAt('fwd')),
    /^NFT_ATTACH_FORWARD_CHAIN: there is no chain inet filter fwd/,
  );
});

type Statements = Ruleset['rules'][number]['statements'];

function rulesetOf(chain: ListedChain, rules: readonly Statements[]): Ruleset {
  return {
    chains: [INPUT, chain],
    rules: rules.map((statements, handle) => ({ ...named(chain.chain), handle, statements })),
    sets: [],
  };
}

function match(left: object, right: unknown): Statements {
  return [{ match: { op: 'in', left, right } }, { accept: null }];
}

function named(chain: string): { readonly family: 'inet'; readonly table: 'filter'; readonly chain: string } {
  return { family: 'inet', table: 'filter', chain };
}
