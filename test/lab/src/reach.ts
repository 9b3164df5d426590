import type { Namespace } from './hosts.ts';

/** What a TCP connection came to. `silent`: nothing was heard within the limit, as with a firewall that drops. */
export type Reach = 'open' | 'refused' | 'silent';

/** Tries a TCP connection from one host, or from one of its addresses, to another. Each call is one SYN. */
export async function reach(
  from: Namespace,
  to: string,
  { port = 22, localAddress, limitMs = 250 }: { port?: number; localAddress?: string; limitMs?: number } = {},
): Promise<Reach> {
  const script = `
    const [host, port, limit, localAddress] = process.argv.slice(1);
    const end = (text) => { process.stdout.write(text); process.exit(0); };
    require('node:net').connect({ host, port: Number(port), ...(localAddress ? { localAddress } : {}) })
      .on('connect', () => end('open'))
      .on('error', (error) => end(error.code === 'ECONNREFUSED' ? 'refused' : 'error ' + error.code));
    setTimeout(() => end('silent'), Number(limit));`;
  const args = [to, String(port), String(limitMs), localAddress ?? ''];
  const answer = await from.must([process.execPath, '-e', script, ...args]);
  if (answer !== 'open' && answer !== 'refused' && answer !== 'silent') throw new Error(`${to}: ${answer}`);
  return answer;
}

/** Sends one UDP datagram. */
export async function sendDatagram(
  from: Namespace,
  to: string,
  payload: string,
  { port = 62_201, localAddress }: { port?: number; localAddress?: string } = {},
): Promise<void> {
  const script = `
    const [host, port, localAddress] = process.argv.slice(1);
    const socket = require('node:dgram').createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const payload = require('node:fs').readFileSync(0);
    socket.bind(0, localAddress || undefined, () => socket.send(payload, Number(port), host, () => socket.close()));`;
  await from.must([process.execPath, '-e', script, to, String(port), localAddress ?? ''], payload);
}

/** Those of `ports` on which a host answers, be it that nobody listens there: its firewall lets them through. One SYN each. */
export async function answeringPorts(
  from: Namespace,
  to: string,
  ports: readonly number[],
  { limitMs = 500 }: { readonly limitMs?: number } = {},
): Promise<readonly number[]> {
  const script = `
    const [host, limit, ...ports] = process.argv.slice(1);
    const answering = [];
    for (const port of ports) {
      require('node:net').connect({ host, port: Number(port) })
        .on('connect', () => answering.push(port))
        .on('error', ({ code }) => code === 'ECONNREFUSED' && answering.push(port));
    }
    setTimeout(() => { process.stdout.write(answering.join(' ')); process.exit(0); }, Number(limit));`;
  const answer = await from.must([process.execPath, '-e', script, to, String(limitMs), ...ports.map(String)]);
  return answer.split(' ').filter(Boolean).map(Number);
}
