import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { until } from 'spa-lab';
import t from 'tap';
import { dropsIn, kernelDrops } from '../src/transport/kernel-drops.ts';
import { addressOf } from './gate.ts';

const UDP = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 1234: 0100007F:F2F9 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 71 2 0000000000000000 35335
 1235: 00000000:F2F9 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 72 2 0000000000000000 7
 1236: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 73 2 0000000000000000 9
`;
const UDP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 1: B80D0120000000000000000007000000:F2F9 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 74 2 0000000000000000 11
`;

t.test('the drops of a socket are found by its address and port, in either order of bytes', async (t) => {
  const port = 62201;
  t.equal(dropsIn(UDP, { address: addressOf('127.0.0.1'), port }, 'LE'), 35_335);
  t.equal(dropsIn(UDP, { address: addressOf('0.0.0.0'), port }, 'LE'), 7);
  t.equal(dropsIn(UDP, { address: addressOf('1.0.0.127'), port }, 'BE'), 35_335);
  t.equal(dropsIn(UDP, { address: addressOf('192.0.2.7'), port }, 'LE'), 0);
  t.equal(dropsIn(UDP6, { address: addressOf('2001:db8::7'), port }, 'LE'), 11);
});

t.test('what a full receive buffer drops is counted', async (t) => {
  const receiver = createSocket('udp4');
  const sender = createSocket('udp4');
  t.teardown(() => {
    receiver.close();
    sender.close();
  });
  receiver.bind(0, '127.0.0.1');
  await once(receiver, 'listening');
  receiver.setRecvBufferSize(4096);
  const { port } = receiver.address();
  const places = [{ address: addressOf('127.0.0.1'), port }];
  t.equal(kernelDrops(places), 0);
  // Nothing is read before this function has ended its turn.
  for (let i = 0; i < 200; i++) sender.send(Buffer.alloc(1400), port, '127.0.0.1');
  await until('the kernel drops some', () => (kernelDrops(places) ?? 0) > 0);
});
