import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { until } from 'spa-lab';
import t, { type Test } from 'tap';
import { parseServerConfig } from '../src/config/server-config.ts';
import type { Datagram } from '../src/decision/verdict.ts';
import { openReception, type Reception } from '../src/transport/reception.ts';
import { spaPorts } from '../src/transport/reception-config.ts';
import { freePort } from './free-port.ts';
import { createReadableLog } from './gate.ts';

const PACKET = `${'8'.repeat(198)}+/`;
const REQUEST = [`GET /${'8'.repeat(198)}-_ HTTP/1.1`, 'User-Agent: Fwknop/2.6.10', '', ''].join('\r\n');

interface Setting {
  readonly port: number;
  readonly reception: Reception;
  readonly datagrams: readonly Datagram[];
  /** The codes of what was no packet. */
  readonly ignored: readonly string[];
}

/** Sockets for UDP and TCP at one port of this host, with these lines of fwknopd.conf besides. */
async function open(t: Test, ...lines: readonly string[]): Promise<Setting> {
  const port = await freePort();
  const common = [
    'LISTEN_ADDRESS 127.0.0.1',
    `UDPSERV_PORT ${port}`,
    'ENABLE_TCP_SERVER Y',
    `TCPSERV_PORT ${port}`,
  ];
  const { value } = parseServerConfig('/etc/fwknop/fwknopd.conf', [...common, ...lines].join('\n'), []);
  const reception = await openReception(value.reception, createReadableLog());
  t.teardown(() => reception.close());
  const datagrams: Datagram[] = [];
  const ignored: string[] = [];
  reception.begin({
    receive: (datagram) => datagrams.push({ ...datagram, packet: Uint8Array.from(datagram.packet) }),
    ignored: (_, { code }) => ignored.push(code),
  });
  t.same(spaPorts(value.reception), [
    { protocol: 'udp', port },
    { protocol: 'tcp', port },
  ]);
  return { port, reception, datagrams, ignored };
}

const SENDERS = {
  UDP: (text: string, port: number): Promise<void> => {
    const socket = createSocket('udp4');
    return new Promise((resolve) => {
      socket.send(text, port, '127.0.0.1', () => socket.close(() => resolve()));
    });
  },
  TCP: async (text: string, port: number): Promise<void> => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.on('error', () => {});
    socket.end(text);
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
    });
  },
};

for (const [name, send] of Object.entries(SENDERS)) {
  t.test(`${name}: the payload is what counts, alone or in a request`, async (t) => {
    const { port, datagrams, ignored } = await open(t, 'ENABLE_SPA_OVER_HTTP Y', 'ENABLE_X_FORWARDED_FOR Y');
    await send(PACKET, port);
    await send(REQUEST, port);
    await send(REQUEST.replace('\r\n\r\n', '\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n'), port);
    await send(REQUEST.replace('Fwknop', 'curl'), port);
    await send('too short', port);
    await until('all of it', () => datagrams.length + ignored.length === 5);
    const expected = { source: '127.0.0.1', destination: '127.0.0.1', forwardedFor: null };
    t.match(datagrams, [expected, expected, { ...expected, forwardedFor: '192.0.2.7' }]);
    for (const { packet } of datagrams) t.equal(Buffer.from(packet).toString(), PACKET);
    t.same(ignored, ['http', 'packet-length']);
  });

  t.test(`${name}: without a word about HTTP a request is no packet`, async (t) => {
    const { port, datagrams } = await open(t);
    await send(REQUEST, port);
    await until('it is passed on, for its alphabet to be looked at', () => datagrams.length === 1);
    t.equal(Buffer.from(datagrams[0]?.packet ?? []).toString(), REQUEST);
  });
}

t.test('what is lost and received is counted for all together', async (t) => {
  const { port, reception, datagrams } = await open(t);
  await SENDERS.UDP(PACKET, port);
  await SENDERS.TCP(PACKET, port);
  await until('both', () => datagrams.length === 2);
  t.equal(reception.received(), 2);
  t.equal(reception.lost(), 0);
  t.same(reception.places, [`127.0.0.1 port ${port}`, `127.0.0.1 port ${port}/tcp`]);
  t.same(reception.counters(), [
    { what: 'datagrams received', count: 1 },
    { what: 'received over TCP', count: 1 },
    { what: 'TCP connections refused: too many', count: 0 },
  ]);
});

t.test('if one place cannot be had, none is kept', async (t) => {
  const { port } = await open(t);
  const other = await freePort();
  const text = `LISTEN_ADDRESS 127.0.0.1\nUDPSERV_PORT ${other}\nENABLE_TCP_SERVER Y\nTCPSERV_PORT ${port}`;
  const { value } = parseServerConfig('/etc/fwknop/fwknopd.conf', text, []);
  await t.rejects(openReception(value.reception, createReadableLog()), {
    code: 'EADDRINUSE',
    syscall: 'listen',
  });
  const socket = createSocket('udp4').bind({ port: other, address: '127.0.0.1', exclusive: true });
  await once(socket, 'listening');
  t.equal(socket.address().port, other, 'the UDP port is free again');
  socket.close();
});
