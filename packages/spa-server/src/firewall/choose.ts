import { basename, dirname, join } from 'node:path';
import { runCommand } from './command.ts';
import { FirewallError } from './firewall.ts';
import { DEFAULT_IPTABLES_CHAIN, type IptablesChain, parseTable } from './iptables-chain.ts';
import { guardPrefix } from './nft-place.ts';
import { readRuleset } from './nft-read.ts';
import { isMadeByIptables } from './nft-ruleset.ts';
import { findProgram, searchPath } from './programs.ts';

/** The firewall that fits this host, with the paths of its programs, and why, in a few words for the log. */
export type FirewallChoice =
  | { readonly kind: 'nftables'; readonly nft: string; readonly reason: string }
  | {
      readonly kind: 'iptables';
      readonly iptables: string;
      /** Null if it is not installed. */
      readonly ip6tables: string | null;
      readonly reason: string;
    };

/** What {@link chooseFirewall} goes by. */
export interface ChoiceOptions {
  /** The keyword FIREWALL. */
  readonly firewall: 'auto' | 'nftables' | 'iptables';
  /** fwknop's FIREWALL_EXE: the path of nft or of iptables, instead of a search. */
  readonly program?: string;
  /** The table that is ours in mode own; its chains say nothing about the host. */
  readonly ownTable: string;
  readonly chain?: IptablesChain;
  /** Where to look for programs. Default: PATH and the system's directories. */
  readonly directories?: readonly string[];
  /** Stands before each command, to look at another network namespace. */
  readonly prefix?: readonly string[];
}

/**
 * Chooses between nftables and iptables: with `auto`, nftables unless this host's rules for incoming packets are written
 * in iptables.
 * @throws FirewallError if the program is missing, or the rules cannot be read.
 */
export async function chooseFirewall(options: ChoiceOptions): Promise<FirewallChoice> {
  const { firewall, program, directories = searchPath() } = options;
  if (program !== undefined) return chooseProgram(program, firewall, directories);
  const nft = findProgram('nft', directories);
  const iptables = findProgram('iptables', directories);
  const ip6tables = findProgram('ip6tables', directories);
  const nftables = (reason: string): FirewallChoice => ({
    kind: 'nftables',
    nft: nft ?? missing('nft'),
    reason,
  });
  const legacy = (reason: string): FirewallChoice => ({
    kind: 'iptables',
    iptables: iptables ?? missing('iptables'),
    ip6tables,
    reason,
  });
  if (firewall === 'nftables') return nftables('configured');
  if (firewall === 'iptables') return legacy('configured');
  if (nft === null && iptables === null) return missing('nft');
  if (iptables === null) return nftables('iptables is not installed');
  if (nft === null) return legacy('nft is not installed');
  if (!(await hasIptablesRules(iptables, options)))
    return nftables('no rules for incoming packets in iptables');
  if (await hasNftChains(nft, options))
    return nftables("the host's rules are in nftables, beside some in iptables");
  return legacy("the host's rules for incoming packets are in iptables");
}

/** FIREWALL_EXE names a program of one of the two; FIREWALL must not name the other. */
function chooseProgram(
  program: string,
  firewall: ChoiceOptions['firewall'],
  directories: readonly string[],
): FirewallChoice {
  const path = findProgram(program, directories) ?? missing(program);
  const name = basename(path);
  const kind = name.includes('iptables') ? 'iptables' : 'nftables';
  if (firewall !== 'auto' && firewall !== kind) {
    throw new FirewallError(
      path,
      null,
      `FIREWALL_EXE is for ${kind}, but FIREWALL says ${firewall}: leave one out`,
    );
  }
  const reason = 'FIREWALL_EXE names it';
  if (kind === 'nftables') return { kind, nft: path, reason };
  const ip6tables = findProgram(join(dirname(path), name.replace('iptables', 'ip6tables')), directories);
  return { kind, iptables: path, ip6tables: name.startsWith('iptables') ? ip6tables : null, reason };
}

async function hasIptablesRules(iptables: string, options: ChoiceOptions): Promise<boolean> {
  const { chain = DEFAULT_IPTABLES_CHAIN, prefix = [] } = options;
  const saved = await runCommand([...prefix, `${iptables}-save`, '-t', 'filter']);
  const { policies, rules } = parseTable(saved, chain);
  const isOurs = (rule: string): boolean => rule === `-A ${chain.from} -j ${chain.chain}`;
  return (
    (policies.get('INPUT') ?? 'ACCEPT') !== 'ACCEPT' ||
    rules.some((rule) => rule.startsWith('-A INPUT ') && !isOurs(rule))
  );
}

/** True if somebody but us and iptables has a chain for incoming packets in nftables. */
async function hasNftChains(nft: string, { ownTable, prefix = [] }: ChoiceOptions): Promise<boolean> {
  const { chains } = await readRuleset([...prefix, nft]);
  return chains
    .filter((chain) => chain.hook === 'input' && !isMadeByIptables(chain))
    .some(
      ({ family, table }) =>
        family !== 'inet' || !(table === ownTable || table.startsWith(guardPrefix(ownTable))),
    );
}

function missing(program: string): never {
  const advice =
    basename(program) === 'nft' ? 'install nftables, or iptables' : `install ${basename(program)}`;
  throw new FirewallError(program, null, `not found; ${advice}, or write its path as FIREWALL_EXE`);
}
