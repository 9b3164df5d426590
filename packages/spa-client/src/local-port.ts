import { createServer } from 'node:net';

/**
 * Why nobody can listen at this port of this machine; null if it is free. `localhost` and `*` are both families: ssh itself
 * is content with one, and a program on the other would be mistaken for the tunnel.
 */
export async function whyTaken(bind: string, port: number): Promise<string | null> {
  for (const host of LISTENERS[bind] ?? [bind.replace(/^\[(.*)\]$/, '$1')]) {
    const code = await tryToListen(host, port);
    if (code === null || (bind in LISTENERS && NO_SUCH_FAMILY.includes(code))) continue;
    return REASONS[code]?.(bind, port) ?? `${bind}:${port}: ${code}`;
  }
  return null;
}

const LISTENERS: Readonly<Record<string, readonly string[]>> = {
  localhost: ['127.0.0.1', '::1'],
  '*': ['0.0.0.0', '::'],
};
const NO_SUCH_FAMILY = ['EADDRNOTAVAIL', 'EAFNOSUPPORT'];
const REASONS: Readonly<Record<string, (bind: string, port: number) => string>> = {
  EADDRINUSE: (_bind, port) => `port ${port} is in use here; take another, or end who has it`,
  EACCES: (_bind, port) => `port ${port} is reserved for root; take one from 1024 on`,
  EADDRNOTAVAIL: (bind) => `${bind} is no address of this machine`,
  ENOTFOUND: (bind) => `${bind} is no address of this machine`,
};

/** The system's error; null: it worked. */
function tryToListen(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true, ipv6Only: true }, () => server.close(() => resolve(null)));
  });
}
