/**
 * Somebody who sends many packets to a bastion's SPA port: a process that lives in the operator's network and does what it is
 * told over IPC. It says so when it is ready, and when it has taken packets.
 */
import { createSocket } from 'node:dgram';

/** What the sender is told to do. */
export type SenderOrder =
  /** Takes packets, to be sent in this order. */
  | { readonly kind: 'load'; readonly packets: readonly string[] }
  /** Sends the next so many of those. */
  | { readonly kind: 'send'; readonly count: number };

const READY = 'ready';

const [host = '', port = '', localAddress = ''] = process.argv.slice(2);
let packets: readonly string[] = [];
let next = 0;

/** A connected socket sends at once, in the call itself. */
const socket = createSocket('udp4');
socket.on('error', () => {});
socket.bind(0, localAddress, () => socket.connect(Number(port), host, () => process.send?.(READY)));

process.on('message', (order: SenderOrder) => obey(order));
process.on('disconnect', () => process.exit());

function obey(order: SenderOrder): void {
  switch (order.kind) {
    case 'load':
      packets = order.packets;
      next = 0;
      process.send?.(READY);
      return;
    case 'send':
      for (const packet of packets.slice(next, next + order.count)) socket.send(packet);
      next += order.count;
  }
}
