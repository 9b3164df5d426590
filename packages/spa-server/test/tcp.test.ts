import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { until } from 'spa-lab';
import t, { type Test } from 'tap';
import type { Payload } from '../src/transport/payload.ts';
import { listenTcp, type TcpListener } from '../src/transport/tcp.ts';
import { addressOf } from './gate.ts';

const HOME = addressOf('127.0.0.1');

interface Setting {
  readonly tcp: TcpListener;
  readonly port: number;
  /** What came in, as text. */
  heard(): readonly string[];
  readonly payloads: readonly Payload[];
  /** A connection that has been made. */
  visit(localAddress?: string): Promise<Socket>;
}

async function setUp(t: Test, { takesHttp = false } = {}): Promise<Setting> {
  const port = await freePort();
  const payloads: Payload[] = [];
  const onPayload = (payload: Payload): void => {
    payloads.push(payload);
  };
  const tcp = await listenTcp({ address: HOME, port, takesHttp, onPayload });
  t.teardown(tcp.close);
  return {
    tcp,
    port,
    payloads,
    heard: () => payloads.map(({ bytes }) => bytes.toString()),
    visit: async (localAddress = '127.0.0.1') => {
      const socket = createConnection({ host: HOME, port, localAddress });
      socket.on('error', () => {});
      t.teardown(() => socket.destroy());
      await once(socket, 'connect');
      return socket;
    },
  };
}

/** Whatever it ended by: a connection that is not heard out is reset. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, HOME), 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

t.test(
  'what a connection brings, in however many segments, is one payload, and nothing is answered',
  async (t) => {
    const { visit, heard, payloads, tcp } = await setUp(t);
    const socket = await visit();
    let answer = '';
    socket.on('data', (piece) => {
      answer += piece;
    });
    socket.setNoDelay(true);
    for (const piece of ['a pac', 'ket', ' in three']) {
      socket.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    t.same(heard(), [], 'it has not ended');
    socket.end();
    await closed(socket);
    await until('it is heard', () => heard().length === 1);
    t.same(heard(), ['a packet in three']);
    t.match(payloads[0], { source: HOME, destination: HOME });
    t.equal(answer, '');
    t.equal(tcp.received(), 1);
    (await visit()).end();
    (await visit()).end('another');
    await until('the next is heard', () => heard().length === 2);
    t.equal(heard()[1], 'another', 'nothing is no payload');
  },
);

t.test('more than a packet is not waited for', async (t) => {
  const { visit, heard } = await setUp(t);
  const socket = await visit();
  socket.write('x'.repeat(100_000));
  await closed(socket);
  t.ok((heard()[0]?.length ?? 0) > 1_500, 'its length says what it is');
  t.ok((heard()[0]?.length ?? 0) <= 4_096);
});

t.test('a request of HTTP ends with its head, if that counts', async (t) => {
  const head = 'GET /abc HTTP/1.1\r\nHost: x\r\n\r\n';
  const { visit, heard } = await setUp(t, { takesHttp: true });
  const socket = await visit();
  socket.write(head.slice(0, 3));
  socket.write(head.slice(3));
  await closed(socket);
  t.same(heard(), [head]);
  const endless = await visit();
  endless.write(`GET /${'x'.repeat(10_000)}`);
  await closed(endless);
  t.equal(heard()[1]?.length, 4_096);
});

t.test('a source has so many connections at once, and others have theirs', async (t) => {
  const { visit, heard, tcp } = await setUp(t);
  const held = await Promise.all(Array.from({ length: 16 }, () => visit()));
  const oneMore = await visit();
  await closed(oneMore);
  t.equal(tcp.refused(), 1);
  (await visit('127.0.0.2')).end('from elsewhere');
  await until('it is heard', () => heard().length === 1);
  held[0]?.end('from a crowd');
  await until('it is heard', () => heard().length === 2);
  (await visit()).end('there is room again');
  await until('it is heard', () => heard().length === 3);
});

t.test('when all are taken, whoever has had the most time goes', async (t) => {
  const { visit, heard, tcp } = await setUp(t);
  const crowd: Socket[] = [];
  for (let source = 1; source <= 16; source++) {
    crowd.push(...(await Promise.all(Array.from({ length: 16 }, () => visit(`127.0.1.${source}`)))));
  }
  t.equal(tcp.refused(), 0);
  (await visit('127.0.2.1')).end('a packet');
  await until('it is heard', () => heard().length === 1);
  t.equal(tcp.refused(), 1);
  await until('one is gone', () => crowd.filter(({ destroyed }) => destroyed).length === 1);
});

t.test('who takes his time is heard out so long only', async (t) => {
  const { visit, heard } = await setUp(t);
  const socket = await visit();
  const begun = performance.now();
  socket.write('a packet');
  await closed(socket);
  t.same(heard(), ['a packet']);
  t.ok(performance.now() - begun < 9_000);
});

t.test('a port that is taken is the error of the system', async (t) => {
  const { port } = await setUp(t);
  const onPayload = (): void => {};
  await t.rejects(listenTcp({ address: HOME, port, takesHttp: false, onPayload }), {
    code: 'EADDRINUSE',
    syscall: 'listen',
  });
});
