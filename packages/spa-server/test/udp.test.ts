import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseIpAddress } from 'spa-core';
import { lacking, until } from 'spa-lab';
import t, { type Test } from 'tap';
import { listenUdp, type UdpListener } from '../src/transport/udp.ts';
import { RECEIVE_BUFFER_BYTES } from '../src/transport/udp-limits.ts';
import { freePort } from './free-port.ts';

const skip = process.getuid?.() === 0 ? lacking('ss') : 'root only: a large receive buffer, ending sockets';

interface Setting {
  readonly port: number;
  readonly listener: UdpListener;
  /** What has come in: from whom, and what. */
  readonly heard: readonly string[];
}

async function listen(t: Test, address: string | null): Promise<Setting> {
  const port = await freePort();
  const heard: string[] = [];
  const listener = listenUdp({
    address: address === null ? null : parseIpAddress(address),
    port,
    onPayload: ({ bytes, source }) => heard.push(`${source} ${bytes.toString('latin1')}`),
  });
  t.teardown(() => listener.close());
  return { port, listener, heard };
}

/** Sends the texts, one after the other, from a socket bound to `from`. */
async function send(texts: readonly string[], port: number, from: string): Promise<void> {
  const socket = createSocket(from.includes(':') ? 'udp6' : 'udp4').bind(0, from);
  await once(socket, 'listening');
  for (const text of texts) {
    await new Promise((resolve) =>
      socket.send(text, port, from.includes(':') ? '::1' : '127.0.0.1', resolve),
    );
  }
  socket.close();
}

t.test('many datagrams come in whole, in order, and from whoever sent them', async (t) => {
  const { port, listener, heard } = await listen(t, null);
  const texts = Array.from({ length: 300 }, (_, index) => `${index} `.padEnd(index * 5, 'x'));
  await send(texts, port, '127.0.0.1');
  await until('those of IPv4', () => heard.length === texts.length);
  await send(['from elsewhere', ''], port, '127.1.2.3');
  await send(['IPv6'], port, '::1');
  await until('the rest', () => heard.length === texts.length + 3);
  const first = texts.map((text) => `127.0.0.1 ${text}`);
  t.same(heard, [...first, '127.1.2.3 from elsewhere', '127.1.2.3 ', '::1 IPv6']);
  t.equal(listener.received(), heard.length);
  t.equal(listener.lost(), 0);
  t.same(listener.places, [`0.0.0.0 port ${port}`, `:: port ${port}`]);
});

t.test('what waits while the process is busy is all read', { skip }, async (t) => {
  const { port, heard } = await listen(t, '127.0.0.1');
  const sent = 5000;
  const script = `
    const socket = require('node:dgram').createSocket('udp4');
    socket.connect(${port}, '127.0.0.1', () => {
      let left = ${sent};
      const next = () => (left-- === 0 ? socket.close() : socket.send('x'.repeat(1000), next));
      next();
    });`;
  execFileSync(process.execPath, ['-e', script]);
  t.equal(heard.length, 0, 'it was busy');
  await until('all of them', () => heard.length === sent);
});

t.test('what is longer than any packet is cut off', async (t) => {
  const { port, heard } = await listen(t, '127.0.0.1');
  await send(['x'.repeat(20_000), 'next'], port, '127.0.0.1');
  await until('both', () => heard.length === 2);
  t.same(heard, [`127.0.0.1 ${'x'.repeat(4096)}`, '127.0.0.1 next']);
});

t.test('the kernel keeps as much as was asked for, whatever net.core.rmem_max is', { skip }, async (t) => {
  const { listener } = await listen(t, null);
  t.equal(listener.receiveBufferBytes, RECEIVE_BUFFER_BYTES);
});

t.test('without the rights to that, it keeps what net.core.rmem_max says', { skip }, async (t) => {
  const script = fileURLToPath(new URL('udp-buffer-process.js', import.meta.url));
  const most = Number(readFileSync('/proc/sys/net/core/rmem_max', 'utf8'));
  const granted = execFileSync('unshare', ['--user', '--map-root-user', process.execPath, script]);
  t.equal(Number(granted), Math.min(most, RECEIVE_BUFFER_BYTES));
});

t.test('a port or an address that cannot be had is an error of the system', async (t) => {
  const { port } = await listen(t, '127.0.0.1');
  const again = { address: parseIpAddress('127.0.0.1'), port, onPayload: () => {} };
  t.throws(() => listenUdp(again), {
    code: 'EADDRINUSE',
    syscall: 'bind',
    port,
    message: `bind EADDRINUSE 127.0.0.1:${port}`,
  });
  t.throws(() => listenUdp({ ...again, address: parseIpAddress('192.0.2.1') }), { code: 'EADDRNOTAVAIL' });
  t.throws(() => listenUdp({ ...again, address: parseIpAddress('2001:db8::1') }), { code: 'EADDRNOTAVAIL' });
});

t.test('a listener that was closed hears nothing, and its port is free', async (t) => {
  const port = await freePort();
  const options = { address: null, port, onPayload: () => t.fail('it was closed') };
  const closed = listenUdp(options);
  closed.close();
  const next = listenUdp({ ...options, onPayload: () => {} });
  t.teardown(() => next.close());
  await send(['x'], port, '127.0.0.1');
  await until('the next has it', () => next.received() === 1);
  closed.close();
  await send(['y'], port, '127.0.0.1');
  await until('the next has it still', () => next.received() === 2);
  t.equal(next.received(), 2);
});

t.test('somebody ends our socket with ss --kill: it is read again', { skip }, async (t) => {
  const { port, heard } = await listen(t, '127.0.0.1');
  for (const text of ['one', 'two']) {
    const ended = execFileSync('ss', ['--kill', '--udp', '--all', '--no-header', 'src', `127.0.0.1:${port}`]);
    t.match(ended.toString(), `127.0.0.1:${port}`);
    await send([text], port, '127.0.0.1');
    await until(text, () => heard.at(-1) === `127.0.0.1 ${text}`);
  }
});

t.test('an error of who is called ends the process, like any other', async (t) => {
  const port = await freePort();
  const script = fileURLToPath(new URL('udp-throwing-process.js', import.meta.url));
  const child = spawn(process.execPath, [script, String(port)], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await once(child.stdout, 'data');
  await send(['this'], port, '127.0.0.1');
  const [code] = await once(child, 'close');
  t.equal(code, 1);
  t.match(said, 'Error: what is this?');
});
