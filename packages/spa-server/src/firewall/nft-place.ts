import type { GatePolicy } from './firewall.ts';

/** Families of nftables tables that filter packets for this host. */
export type NftFamily = 'inet' | 'ip' | 'ip6';

/** A chain of nftables by its full name. Made by {@link parseNftChain}. */
export interface NftChain {
  readonly family: NftFamily;
  readonly table: string;
  readonly chain: string;
}

/** `inet filter input`: family inet, ip or ip6, table, chain. Null for anything else. */
export function parseNftChain(text: string): NftChain | null {
  const match = /^\s*(inet|ip6?)\s+([A-Za-z][\w./-]{0,127})\s+([A-Za-z][\w./-]{0,127})\s*$/.exec(text);
  if (match === null) return null;
  const [, family, table = '', chain = ''] = match;
  return { family: family as NftFamily, table, chain };
}

/** `inet filter input`. */
export function formatNftChain({ family, table, chain }: NftChain): string {
  return `${family} ${table} ${chain}`;
}

/**
 * Where our rules stand. *own*: in a table `inet NAME` of ours that itself shuts the protected ports. *attach*: in a
 * chain of the operator's table, to which a jump at the top of the operator's `chain` leads. nftables jumps only
 * within a table, and an accept in one table does not overrule a drop in another.
 */
export type NftPlacement =
  | { readonly mode: 'own'; readonly table: string }
  | { readonly mode: 'attach'; readonly chain: NftChain };

/** The names of what we put into nftables. */
export interface NftPlace {
  readonly family: NftFamily;
  readonly table: string;
  /** The chain with our rules. */
  readonly chain: string;
  /** The set of IPv4 doors; null in a table of family ip6. */
  readonly doors4: string | null;
  /** The set of IPv6 doors; null in a table of family ip. */
  readonly doors6: string | null;
  /** The operator's chain that jumps to ours; null if ours is a base chain. */
  readonly from: string | null;
}

/** The names that `placement` gives. @throws RangeError if the table's name is none that needs no quotes. */
export function nftPlace(placement: NftPlacement): NftPlace {
  if (placement.mode === 'own') {
    if (parseNftChain(`inet ${placement.table} x`) === null) throw new RangeError(`table ${placement.table}`);
    const { table } = placement;
    return { family: 'inet', table, chain: 'input', doors4: 'doors4', doors6: 'doors6', from: null };
  }
  const { family, table, chain } = placement.chain;
  return {
    family,
    table,
    chain: 'spa_doors',
    doors4: family === 'ip6' ? null : 'spa_doors4',
    doors6: family === 'ip' ? null : 'spa_doors6',
    from: chain,
  };
}

/** The names of the place's sets of doors. */
export function doorSets(place: NftPlace): readonly string[] {
  return [place.doors4, place.doors6].filter((set) => set !== null);
}

/**
 * The transaction that puts our rules in place, or anew. `jumps` are the handles of jumps to our chain
 * that stand in the operator's chain already.
 */
export function installScript(
  place: NftPlace,
  policy: GatePolicy,
  options: { readonly flush: boolean; readonly jumps: readonly number[] },
): string {
  const { family, table, chain, from } = place;
  const ours = `${family} ${table}`;
  const base = from === null ? ' { type filter hook input priority -10; policy accept; }' : '';
  return lines([
    from === null && `add table ${ours}`,
    ...setTypes(place).map(
      ([set, type]) => `add set ${ours} ${set} { type ${type} . inet_proto . inet_service; flags timeout; }`,
    ),
    ...doorSets(place).map((set) => options.flush && `flush set ${ours} ${set}`),
    `add chain ${ours} ${chain}${base}`,
    `flush chain ${ours} ${chain}`,
    ...rules(place, policy).map((rule) => `add rule ${ours} ${chain} ${rule}`),
    ...deleteJumps(place, options.jumps),
    from !== null && `insert rule ${ours} ${from} jump ${chain} comment "SPA doors"`,
  ]);
}

/** The transaction that takes all that is ours out of the operator's table; `found` is what is there. */
export function detachScript(
  place: NftPlace,
  found: { readonly jumps: readonly number[]; readonly chain: boolean; readonly sets: readonly string[] },
): string {
  const ours = `${place.family} ${place.table}`;
  return lines([
    ...deleteJumps(place, found.jumps),
    found.chain && `flush chain ${ours} ${place.chain}`,
    found.chain && `delete chain ${ours} ${place.chain}`,
    ...found.sets.map((set) => `delete set ${ours} ${set}`),
  ]);
}

function setTypes({ doors4, doors6 }: NftPlace): readonly (readonly [set: string, type: string])[] {
  return [
    ...(doors4 === null ? [] : [[doors4, 'ipv4_addr'] as const]),
    ...(doors6 === null ? [] : [[doors6, 'ipv6_addr'] as const]),
  ];
}

/** Our base chain meets every packet, so it waves established ones through; in the operator's chain that is his. */
function rules(place: NftPlace, policy: GatePolicy): readonly string[] {
  const { doors4, doors6, from } = place;
  const shared = [
    `udp dport ${policy.spaPort} accept`,
    ...(doors4 === null ? [] : [`ip saddr . meta l4proto . th dport @${doors4} accept`]),
    ...(doors6 === null ? [] : [`ip6 saddr . meta l4proto . th dport @${doors6} accept`]),
  ];
  if (from !== null) return shared;
  const shut = (['tcp', 'udp'] as const).flatMap((protocol) => {
    const ports = policy.protectedPorts.filter((port) => port.protocol === protocol);
    if (ports.length === 0) return [];
    return [`${protocol} dport { ${[...new Set(ports.map(({ port }) => port))].join(', ')} } drop`];
  });
  return ['ct state established,related accept', 'iif lo accept', ...shared, ...shut];
}

function deleteJumps(place: NftPlace, handles: readonly number[]): readonly string[] {
  return handles.map((handle) => `delete rule ${place.family} ${place.table} ${place.from} handle ${handle}`);
}

function lines(parts: readonly (string | false)[]): string {
  return parts
    .filter((part) => part !== false)
    .map((part) => `${part}\n`)
    .join('');
}
