import type { Namespace } from 'spa-lab';

/** Takes the open doors out of a bastion's kernel, past the daemon; resolves to how many there were. */
export type ShutDoors = (bastion: Namespace) => Promise<number>;

/** Our daemon's doors in nftables, attached to the bastion's own chain. */
export const shutInNftables: ShutDoors = async (bastion) => {
  const set = ['inet', 'filter', 'spa_doors4'];
  const { nftables } = JSON.parse(await bastion.must(['nft', '-j', 'list', 'set', ...set])) as {
    readonly nftables: readonly { readonly set?: { readonly elem?: readonly unknown[] } }[];
  };
  const doors = nftables.flatMap((entry) => entry.set?.elem ?? []).length;
  if (doors > 0) await bastion.must(['nft', 'flush', 'set', ...set]);
  return doors;
};

/** The stock daemon keeps its doors in its chain. */
export const shutInIptables: ShutDoors = async (bastion) => {
  const rules = (await bastion.must(['iptables', '-S', 'FWKNOP_INPUT'])).split('\n');
  const positions = rules
    .filter((rule) => rule.startsWith('-A '))
    .flatMap((rule, index) => (rule.includes('--dport 22 ') ? [index + 1] : []));
  for (const position of positions.reverse()) {
    await bastion.must(['iptables', '-D', 'FWKNOP_INPUT', String(position)]);
  }
  return positions.length;
};

/** Our daemon's doors in iptables are in a set, where there is ipset. */
export const shutInIpset: ShutDoors = async (bastion) => {
  const saved = await bastion.must(['ipset', 'save', 'spa_doors4']);
  const doors = saved.split('\n').filter((line) => line.startsWith('add ')).length;
  if (doors > 0) await bastion.must(['ipset', 'flush', 'spa_doors4']);
  return doors;
};
