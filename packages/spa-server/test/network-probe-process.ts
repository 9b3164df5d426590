/**
 * The process behind network-probe.ts: runs inside a namespace, takes one request in JSON a line on stdin, and answers
 * each with a line on stdout. Ends with its stdin.
 */
import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { ProbeAnswer, ProbeRequest } from './network-probe.ts';

type Work = {
  readonly [K in ProbeRequest['kind']]: (request: Extract<ProbeRequest, { kind: K }>) => Promise<ProbeAnswer>;
};

const connections = new Map<number, Socket>();

const work: Work = {
  listenTcp: ({ port }) =>
    new Promise((resolve) => {
      const server = createServer((socket) => socket.on('error', () => {}).pipe(socket));
      server.listen(port, '::', () => resolve('done'));
    }),
  listenUdp: ({ port }) =>
    new Promise((resolve) => {
      const socket = createSocket('udp6');
      socket.on('message', (message, { address, port }) => socket.send(message, port, address));
      socket.bind(port, '::', () => resolve('done'));
    }),
  connect: ({ from, to, port, timeLimitMs, id }) =>
    new Promise((resolve) => {
      const socket = connect({ host: to, port, localAddress: from });
      const timer = setTimeout(() => finish('silent'), timeLimitMs);
      const finish = (answer: ProbeAnswer): void => {
        clearTimeout(timer);
        if (answer === 'open' && id !== undefined) connections.set(id, socket);
        else socket.destroy();
        resolve(answer);
      };
      socket.on('connect', () => finish('open'));
      socket.on('error', () => finish('refused'));
    }),
  echo: ({ id, timeLimitMs }) =>
    new Promise((resolve) => {
      const socket = connections.get(id);
      const timer = setTimeout(() => resolve('silent'), timeLimitMs);
      socket?.once('data', () => {
        clearTimeout(timer);
        resolve('open');
      });
      socket?.write('x');
    }),
  udp: ({ from, to, port, timeLimitMs, text = 'x', count = 1 }) =>
    new Promise((resolve) => {
      const socket = createSocket(to.includes(':') ? 'udp6' : 'udp4');
      const finish = (answer: ProbeAnswer): void => {
        clearTimeout(timer);
        socket.close();
        resolve(answer);
      };
      const timer = setTimeout(() => finish('silent'), timeLimitMs);
      socket.on('message', () => finish('open'));
      socket.on('error', () => finish('refused'));
      socket.bind(0, from, () => {
        for (let i = 0; i < count; i++) socket.send(text, port, to);
      });
    }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as ProbeRequest & { readonly request: number };
  const handler = work[request.kind] as (request: ProbeRequest) => Promise<ProbeAnswer>;
  handler(request).then((answer) =>
    process.stdout.write(`${JSON.stringify({ request: request.request, answer })}\n`),
  );
}
process.exit(0);
