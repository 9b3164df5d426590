import type { Packet } from 'spa-core';
import type { Authentic } from './verdict.ts';

/** Why a packet that was opened once is of no use any more. */
export type Spent = 'replayed' | 'before-floor' | 'outdated';

/** Packets that were opened and can never open a door again, so that whoever repeats them makes no work. */
export interface RecentPackets {
  /** Notes that a packet is spent. */
  add(packet: Packet, opened: Authentic, spent: Spent): void;
  /** What is known of exactly this packet; null if nothing is. */
  find(packet: Packet): { readonly opened: Authentic; readonly spent: Spent } | null;
}

/** Remembers the last `limit` packets. It is a short cut only: the replay store has the last word on all others. */
export function createRecentPackets(limit: number): RecentPackets {
  const packets = new Map<string, { readonly opened: Authentic; readonly spent: Spent }>();
  return {
    add: (packet, opened, spent) => {
      packets.delete(packet.text);
      packets.set(packet.text, { opened, spent });
      if (packets.size <= limit) return;
      for (const oldest of packets.keys()) {
        packets.delete(oldest);
        return;
      }
    },
    find: (packet) => packets.get(packet.text) ?? null,
  };
}
