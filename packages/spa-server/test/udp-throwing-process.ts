/** Listens on the UDP port that is its argument, and cannot cope with what comes in. */
import { parseIpAddress } from 'spa-core';
import { listenUdp } from '../src/transport/udp.ts';

listenUdp({
  address: parseIpAddress('127.0.0.1'),
  port: Number(process.argv[2]),
  onPayload: ({ bytes }) => {
    throw new Error(`what is ${bytes}?`);
  },
});
process.stdout.write('listening\n');
