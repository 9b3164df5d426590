import { once } from 'node:events';
import { createServer } from 'node:net';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type Destination, destinationOf } from '../src/compose.ts';
import { randomPort, SendError, type SendingTo, sendPacket } from '../src/send.ts';
import { httpRequest } from '../src/send-tcp.ts';
import { readHttpProxy, readSetting, ValueError } from '../src/settings.ts';

const LOCAL = { address: '127.0.0.1', family: 4 } as const;
const PACKET = 'ab+/cd==';

function destination(changes: Partial<SendingTo>): SendingTo {
  const to: Destination | null = destinationOf({ server: 'bastion.example.org' });
  if (to === null) throw new TypeError('there is a server');
  return { ...to, ...changes };
}

/** A server that says nothing; `heard` resolves to what its first visitor said, and from which port. */
async function listener(t: Test): Promise<{ port: number; heard: Promise<readonly [string, number]> }> {
  const server = createServer({ allowHalfOpen: true });
  t.teardown(() => server.close());
  const heard = once(server, 'connection').then(async ([socket]) => {
    const { remotePort } = socket;
    let text = '';
    for await (const piece of socket) {
      text += piece;
      if (text.includes('\r\n\r\n')) break;
    }
    socket.destroy();
    return [text, remotePort] as const;
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  return { port: typeof address === 'object' ? (address?.port ?? 0) : 0, heard };
}

t.test('over TCP a packet is all that is said', async (t) => {
  const { port, heard } = await listener(t);
  t.equal(await sendPacket(PACKET, LOCAL, destination({ protocol: 'tcp', port })), '127.0.0.1');
  t.equal((await heard)[0], PACKET);
});

t.test('from a port that was asked for', async (t) => {
  const { port, heard } = await listener(t);
  const sourcePort = 10_000 + (process.pid % 20_000);
  await sendPacket(PACKET, LOCAL, destination({ protocol: 'tcp', port, sourcePort }));
  t.same(await heard, [PACKET, sourcePort]);
});

t.test('over HTTP it is the path of a request, as fwknop writes it', async (t) => {
  const { port, heard } = await listener(t);
  await sendPacket(PACKET, LOCAL, destination({ protocol: 'http', port }));
  t.equal(
    (await heard)[0],
    [
      'GET /ab-_cd== HTTP/1.1',
      'User-Agent: Fwknop/2.6.10',
      'Accept: */*',
      `Host: bastion.example.org:${port}`,
      'Connection: close',
      '\r\n',
    ].join('\r\n'),
  );
});

t.test('a proxy is told the whole address, and given the time to pass it on', async (t) => {
  const { port, heard } = await listener(t);
  const proxy = { host: 'proxy.example.org', port };
  await sendPacket(PACKET, LOCAL, destination({ protocol: 'http', port: 80, proxy, userAgent: 'mine' }));
  const [text] = await heard;
  t.match(text, /^GET http:\/\/bastion\.example\.org\/ab-_cd== HTTP\/1\.1\r\nUser-Agent: mine\r\n/);
  t.match(text, '\r\nHost: bastion.example.org\r\n');
  const to = { port: 8080, proxy, userAgent: null };
  t.match(httpRequest('a', { ...to, host: '2001:db8::1' }), 'GET http://[2001:db8::1]:8080/a HTTP/1.1\r\n');
});

t.test('what is not sent says where to, and why', async (t) => {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  await new Promise((resolve) => server.close(resolve));
  const sending = sendPacket(PACKET, LOCAL, destination({ protocol: 'tcp', port }));
  await t.rejects(sending, SendError);
  await t.rejects(sending, {
    message: `127.0.0.1 port ${port}/tcp: the packet was not sent (ECONNREFUSED)`,
  });
});

t.test('a random port is one of those that servers capture, and another each time', async (t) => {
  const ports = Array.from({ length: 200 }, () => randomPort());
  t.ok(ports.every((port) => port >= 10_000 && port <= 65_534));
  t.ok(new Set(ports).size > 150);
  t.equal(destinationOf({ server: 'b', ...readSetting('RAND_PORT', 'Y') })?.port, null);
});

t.test('any text is a proxy or an error that says what to write', async (t) => {
  t.same(readHttpProxy('http://proxy:3128'), { httpProxy: { host: 'proxy', port: 3128 } });
  t.same(readHttpProxy('proxy.example.org'), { httpProxy: { host: 'proxy.example.org', port: 80 } });
  t.same(readHttpProxy('[2001:db8::1]:8080'), { httpProxy: { host: '2001:db8::1', port: 8080 } });
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.webUrl()), (text) => {
      try {
        const { httpProxy } = readHttpProxy(text);
        return httpProxy !== undefined && httpProxy.port >= 0 && httpProxy.port <= 65_535;
      } catch (error) {
        return error instanceof ValueError;
      }
    }),
  );
  t.pass('held for every text');
});
