import { randomBytes } from 'node:crypto';
import { addresses, type Daemon, type Lab, type Namespace, reach, until } from 'spa-lab';

/** How long the doors of these tests stay open: none has to close before the next opens. */
const DOOR_SECONDS = 30;
const key = randomBytes(32).toString('base64');
const hmacKey = randomBytes(64).toString('base64');

/** The stanza whose doors are opened. */
export const TRANSPORT_ACCESS: readonly string[] = [
  ...['SOURCE ANY', `KEY_BASE64 ${key}`, `HMAC_KEY_BASE64 ${hmacKey}`],
  ...['OPEN_PORTS tcp/22', `FW_ACCESS_TIMEOUT ${DOOR_SECONDS}`],
];

/** A stanza `[lab]` of an rc file with the same keys, to which these lines belong. */
export function rcStanza(...lines: readonly string[]): string {
  return ['[lab]', `KEY_BASE64 ${key}`, `HMAC_KEY_BASE64 ${hmacKey}`, ...lines, ''].join('\n');
}

/** What a client, stock or ours, is told in order to open the door of an address. */
export function knockOptions(address: string, server: string = addresses.server4): readonly string[] {
  return [
    ...['-A', 'tcp/22', '-a', address, '-D', server, '--no-rc-file', '--no-save-args'],
    ...['--key-base64-rijndael', key, '--use-hmac', '--key-base64-hmac', hmacKey],
  ];
}

/** Gives addresses of the operator's host, another each time: each has a door of its own. */
export async function spareAddresses({ operator }: Lab): Promise<() => string> {
  const spare = Array.from({ length: 20 }, (_, index) => `10.77.0.${101 + index}`);
  const lines = spare.map((address) => `address add ${address}/24 dev ${operator.device}\n`);
  await operator.must(['ip', '-batch', '-'], lines.join(''));
  return () => spare.shift() ?? '';
}

/** True if the bastion's port 22 answers that address. */
export async function isOpenFor({ operator }: Lab, localAddress: string): Promise<boolean> {
  return (await reach(operator, addresses.server4, { localAddress })) === 'open';
}

/** Waits until the door of that address opens. */
export async function opensFor(lab: Lab, daemon: Daemon, localAddress: string): Promise<void> {
  await until('the door opens', () => isOpenFor(lab, localAddress)).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}; the daemon logged:\n${daemon.log()}`);
  });
}

/** Starts a proxy that passes on what it is asked for, from the host's other address, and says for whom; resolves to its URL. */
export async function startProxy(host: Namespace): Promise<string> {
  const proxy = host.spawn([process.execPath, '-e', PROXY, addresses.client4, addresses.other4], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => proxy.stdout?.once('data', resolve));
  return `http://${addresses.client4}:3128`;
}

const PROXY = `
  const http = require('node:http');
  const [address, localAddress] = process.argv.slice(1);
  http.createServer((asked, answer) => {
    const headers = [...asked.rawHeaders, 'X-Forwarded-For', asked.socket.remoteAddress];
    const onward = http.request(asked.url, { headers, localAddress });
    onward.on('error', () => answer.writeHead(502).end());
    onward.on('response', (response) => response.pipe(answer.writeHead(response.statusCode)));
    onward.end();
  }).listen(3128, address, () => console.log('ready'));`;
