/** Says how much the kernel keeps for a UDP socket of this process, in bytes. */
import { parseIpAddress } from 'spa-core';
import { listenUdp } from '../src/transport/udp.ts';
import { freePort } from './free-port.ts';

const port = await freePort();
const listener = listenUdp({ address: parseIpAddress('127.0.0.1'), port, onPayload: () => {} });
process.stdout.write(`${listener.receiveBufferBytes}`);
listener.close();
