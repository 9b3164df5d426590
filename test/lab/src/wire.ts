import type { Namespace } from './hosts.ts';

/** What has arrived at a host's interfaces since {@link watchWire}, before any firewall. */
export interface Arrivals {
  /** Datagrams to the port that SPA packets go to, over IPv4. */
  readonly packets4: number;
  readonly packets6: number;
  /** Those that were lost on the way: {@link loseArrivals}. They count as arrived too. */
  readonly lost: number;
  /** Datagrams to addresses at which nobody is. */
  readonly packetsToNobody: number;
  /** First segments of connections to port 22. */
  readonly syns: number;
}

/** Counts on a host what {@link arrivals} tells, and makes some of its addresses ones at which nobody is. */
export async function watchWire(host: Namespace, nobody: readonly string[] = []): Promise<void> {
  const drops = nobody.map((address) => {
    const family = address.includes(':') ? 'ip6' : 'ip';
    return `${family} daddr ${address} udp dport 62201 counter name nobody drop
      ${family} daddr ${address} tcp dport != 0 drop`;
  });
  const counters = COUNTERS.map((name) => `counter ${name} {}`);
  await host.must(
    ['nft', '-f', '-'],
    `table inet wire {
      ${counters.join('\n')}
      chain loss {}
      chain arrive {
        type filter hook prerouting priority -500;
        ${drops.join('\n')}
        meta nfproto ipv4 udp dport 62201 counter name packets4
        meta nfproto ipv6 udp dport 62201 counter name packets6
        tcp dport 22 tcp flags & (syn | ack) == syn counter name syns
        jump loss
      }
    }\n`,
  );
}

/**
 * From now on the wire to a watched host loses as many of a hundred arrivals as `percent` says: of those that `what`, an
 * expression of nft, picks. Replaces what was said before.
 */
export async function loseArrivals(
  host: Namespace,
  percent: number,
  what = 'udp dport 62201',
): Promise<void> {
  const chance = percent === 100 ? '' : `numgen random mod 100 < ${percent}`;
  const rule = `add rule inet wire loss ${what} ${chance} counter name lost drop`;
  await host.must(['nft', '-f', '-'], `flush chain inet wire loss\n${percent === 0 ? '' : rule}\n`);
}

/** What has arrived until now. */
export async function arrivals(host: Namespace): Promise<Arrivals> {
  const { nftables } = JSON.parse(
    await host.must(['nft', '-j', 'list', 'counters', 'table', 'inet', 'wire']),
  ) as {
    readonly nftables: readonly { readonly counter?: { readonly name: string; readonly packets: number } }[];
  };
  const count = (name: (typeof COUNTERS)[number]): number =>
    nftables.find(({ counter }) => counter?.name === name)?.counter?.packets ?? 0;
  return {
    packets4: count('packets4'),
    packets6: count('packets6'),
    lost: count('lost'),
    packetsToNobody: count('nobody'),
    syns: count('syns'),
  };
}

const COUNTERS = ['packets4', 'packets6', 'lost', 'nobody', 'syns'] as const;
