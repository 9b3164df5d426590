/** A bastion's port for SPA packets: tells over IPC when a datagram came, in microseconds as in shell-process.ts. */
import { createSocket } from 'node:dgram';

const socket = createSocket('udp4');
socket.on('message', () => {
  const receivedAt = Number(process.hrtime.bigint()) / 1000;
  process.send?.(receivedAt);
});
socket.bind(62_201, () => process.send?.('ready'));
process.on('disconnect', () => process.exit());
