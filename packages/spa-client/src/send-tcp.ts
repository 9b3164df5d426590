import { connect, isIPv6, type NetConnectOpts, type Socket } from 'node:net';
import type { Destination } from './compose.ts';
import { SendError, type Server } from './send.ts';

/** How a packet goes over TCP. */
export type TcpDestination = Pick<Destination, 'host' | 'sourcePort' | 'proxy' | 'userAgent'> & {
  readonly protocol: 'tcp' | 'http';
  readonly port: number;
};

/**
 * Sends `packet` over a connection to `server`, the proxy's if there is one; alone, or as a request of HTTP (fwknop's protocol,
 * section 8.3). Resolves to the local address when the system has taken it all. No answer is waited for.
 * @throws SendError if there is no connection.
 */
export function sendOverTcp(packet: string, server: Server, to: TcpDestination): Promise<string> {
  const port = to.proxy?.port ?? to.port;
  const text = to.protocol === 'http' ? httpRequest(packet, to) : packet;
  const options: NetConnectOpts = {
    host: server.address,
    port,
    ...(to.sourcePort === null ? {} : { localPort: to.sourcePort }),
  };
  return new Promise((resolve, reject) => {
    const socket = connect(options);
    const fail = (reason: string): void => {
      socket.destroy();
      reject(new SendError(`${server.address} port ${port}/tcp: the packet was not sent (${reason})`));
    };
    socket.setTimeout(TIME_LIMIT_MS, () => fail('no answer'));
    socket.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.once('connect', () => {
      const { localAddress = '' } = socket;
      if (to.proxy === null) socket.end(text, () => leave(socket, () => resolve(localAddress)));
      else socket.write(text, () => lingerFor(socket, () => resolve(localAddress)));
    });
  });
}

/** What a stock client of today would say. */
export const HTTP_USER_AGENT = 'Fwknop/2.6.10';

/** As fwknop writes it. To a proxy, the whole address of what is asked for (RFC 9112, section 3.2.2). */
export function httpRequest(
  packet: string,
  { host, port, proxy, userAgent }: Pick<TcpDestination, 'host' | 'port' | 'proxy' | 'userAgent'>,
): string {
  const path = `/${packet.replaceAll('+', '-').replaceAll('/', '_')}`;
  const name = isIPv6(host) ? `[${host}]` : host;
  const authority = port === HTTP_PORT ? name : `${name}:${port}`;
  const lines = [
    `GET ${proxy === null ? path : `http://${authority}${path}`} HTTP/1.1`,
    `User-Agent: ${userAgent ?? HTTP_USER_AGENT}`,
    'Accept: */*',
    `Host: ${authority}`,
    'Connection: close',
  ];
  return `${lines.join('\r\n')}\r\n\r\n`;
}

const HTTP_PORT = 80;
const TIME_LIMIT_MS = 5_000;
/** How long a proxy gets to pass the request on: it may drop that of somebody who has gone. */
const PROXY_MS = 2_000;

/** What the other end still says interests nobody. */
function leave(socket: Socket, then: () => void): void {
  socket.removeAllListeners('error').on('error', () => {});
  socket.setTimeout(0);
  socket.unref();
  socket.resume();
  then();
}

/** Until the proxy says something, or ends the connection, or has had its time. */
function lingerFor(socket: Socket, then: () => void): void {
  const end = (): void => {
    clearTimeout(timer);
    socket.removeAllListeners().on('error', () => {});
    socket.destroy();
    then();
  };
  const timer = setTimeout(end, PROXY_MS);
  socket.removeAllListeners('error');
  for (const event of ['data', 'end', 'error'] as const) socket.once(event, end);
}
