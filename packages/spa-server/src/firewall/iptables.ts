import { ipFamily } from 'spa-core';
import { checkChanges, checkGrant } from './doors.ts';
import {
  type DoorChange,
  type Firewall,
  type FirewallCounter,
  FirewallError,
  type GatePolicy,
  type Grant,
  type InstallOptions,
} from './firewall.ts';
import { DEFAULT_IPTABLES_CHAIN, type IptablesChain } from './iptables-chain.ts';
import { createIptablesFamily, type IptablesFamily } from './iptables-family.ts';
import {
  createIptablesForwards,
  DEFAULT_FORWARD_CHAINS,
  type ForwardChains,
  type IptablesForwards,
} from './iptables-forwards.ts';
import { createIptablesOutput, DEFAULT_OUTPUT_CHAIN, type IptablesOutput } from './iptables-output.ts';

/** How to reach iptables, and where our rules go. */
export interface IptablesOptions {
  /** iptables' path, with what has to stand before it. `…-save` and `…-restore` stand beside it. */
  readonly iptables: readonly string[];
  /** The same for ip6tables; null if there is none. */
  readonly ip6tables: readonly string[] | null;
  /** The same for ipset. Default: none, and each door is a rule. */
  readonly ipset?: readonly string[] | null;
  /** fwknop's `IPT_INPUT_ACCESS`. */
  readonly chain?: IptablesChain;
  /** fwknop's `IPT_FORWARD_ACCESS` and so on. */
  readonly forwardChains?: ForwardChains;
  /** fwknop's `IPT_OUTPUT_ACCESS`. */
  readonly outputChain?: IptablesChain;
  /** Milliseconds since epoch, of the same clock as the kernel's. */
  readonly now: () => number;
  /** Milliseconds of a clock that nobody sets. */
  readonly uptime?: () => number;
  /** How long one change may take, waiting for the xtables lock included. */
  readonly timeLimitMs?: number;
  /** Rules that have expired, and do nothing any more, may pile up for so long. */
  readonly sweepAfterMs?: number;
}

/** Doors in a chain of iptables' and one of ip6tables': see {@link createIptablesFamily}. */
export function createIptables(options: IptablesOptions): Firewall {
  const { iptables, ip6tables, chain = DEFAULT_IPTABLES_CHAIN } = options;
  const ipv4 = createIptablesFamily({ ...options, chain, command: iptables, family: 4 });
  const ipv6 =
    ip6tables === null ? null : createIptablesFamily({ ...options, chain, command: ip6tables, family: 6 });
  const chains = options.forwardChains ?? DEFAULT_FORWARD_CHAINS;
  const forwards4 = createIptablesForwards({ ...options, chains, command: iptables, family: 4 });
  const forwards6 =
    ip6tables === null ? null : createIptablesForwards({ ...options, chains, command: ip6tables, family: 6 });
  const output = { chain: options.outputChain ?? DEFAULT_OUTPUT_CHAIN, ...timeLimit(options) };
  const output4 = createIptablesOutput({ ...output, command: iptables });
  const output6 = ip6tables === null ? null : createIptablesOutput({ ...output, command: ip6tables });
  /** Why IPv6 does not work, or null if it does. */
  let ipv6Problem: string | null = ip6tables === null ? 'ip6tables is not installed' : null;

  const own = (): readonly IptablesFamily[] =>
    ipv6 === null || ipv6Problem !== null ? [ipv4] : [ipv4, ipv6];
  const outputs = (): readonly IptablesOutput[] =>
    output6 === null || ipv6Problem !== null ? [output4] : [output4, output6];
  const families = (): readonly (IptablesFamily | IptablesForwards)[] => [
    ...own(),
    forwards4,
    ...(forwards6 === null || ipv6Problem !== null ? [] : [forwards6]),
  ];

  async function install(
    policy: GatePolicy,
    { flush, doors: wanted }: InstallOptions,
  ): Promise<readonly string[]> {
    const doors = checkChanges(wanted);
    const some = (is: (change: DoorChange) => boolean): InstallOptions => ({
      flush,
      doors: doors.filter(is),
    });
    const warnings = [
      ...(await ipv4.install(policy, some(isOf(4)))),
      ...(await forwards4.install(policy, some(leadsFrom(4)))),
      ...(await output4.install(policy)),
    ];
    if (ipv6 === null) return [...warnings, noIpv6(ipv6Problem)];
    try {
      warnings.push(...(await ipv6.install(policy, some(isOf(6)))));
      warnings.push(...((await forwards6?.install(policy, some(leadsFrom(6)))) ?? []));
      await output6?.install(policy);
      ipv6Problem = null;
    } catch (error) {
      if (!(error instanceof FirewallError)) throw error;
      ipv6Problem = error.message;
      warnings.push(noIpv6(ipv6Problem));
    }
    return warnings;
  }

  async function grant(wanted: Grant): Promise<{ readonly expiresAt: number }> {
    const checked = checkGrant(wanted);
    const { forward } = checked;
    const isIpv4 = ipFamily(checked.address) === 4;
    const [own, leading] = isIpv4 ? [ipv4, forwards4] : [ipv6, forwards6];
    if (own === null || leading === null || (!isIpv4 && ipv6Problem !== null))
      throw new FirewallError('ip6tables', null, noIpv6(ipv6Problem));
    return forward === undefined ? own.grant(checked) : leading.grant({ ...checked, forward });
  }

  return {
    name: `iptables, chain ${chain.table} ${chain.chain}`,
    install,
    grant,
    adjust: async (changes) => {
      const checked = checkChanges(changes);
      await ipv4.adjust(checked.filter(isOf(4)));
      await forwards4.adjust(checked.filter(leadsFrom(4)));
      await ipv6?.adjust(checked.filter(isOf(6)));
      await forwards6?.adjust(checked.filter(leadsFrom(6)));
    },
    isIntact: async () =>
      (await Promise.all([...families(), ...outputs()].map((part) => part.isIntact()))).every(Boolean),
    counters: async () => sum((await Promise.all(own().map((family) => family.counters()))).flat()),
    mark: () => null,
    list: async () => (await Promise.all(families().map((family) => family.list()))).flat(),
    flush: async () => {
      await Promise.all(families().map((family) => family.flush()));
    },
    close: async ({ flush }) => {
      await Promise.all(families().map((family) => family.close(flush)));
      for (const one of outputs()) await one.close(flush);
    },
  };
}

function timeLimit({ timeLimitMs }: IptablesOptions): { readonly timeLimitMs?: number } {
  return timeLimitMs === undefined ? {} : { timeLimitMs };
}

function sum(counters: readonly FirewallCounter[]): readonly FirewallCounter[] {
  return [...new Set(counters.map(({ reason }) => reason))].map((reason) => {
    const packets = counters.filter((counter) => counter.reason === reason).map((counter) => counter.packets);
    return { reason, packets: packets.reduce((all, some) => all + some, 0) };
  });
}

/** Doors of this host's own. */
function isOf(family: 4 | 6): (change: DoorChange) => boolean {
  return ({ address, forward }) => forward === undefined && ipFamily(address) === family;
}

/** Doors that lead elsewhere. */
function leadsFrom(family: 4 | 6): (change: DoorChange) => boolean {
  return ({ address, forward }) => forward !== undefined && ipFamily(address) === family;
}

function noIpv6(problem: string | null): string {
  return `no doors for IPv6: ${problem}`;
}
