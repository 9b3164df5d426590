import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Namespace } from 'spa-lab';

/** `silent` is what a packet meets that is dropped: nothing, until the time limit. */
export type ProbeAnswer = 'open' | 'refused' | 'silent' | 'done';

/** What a probe can do. Addresses are text, `from` is one of the namespace's own. */
export type ProbeRequest =
  | { readonly kind: 'listenTcp' | 'listenUdp'; readonly port: number }
  | {
      readonly kind: 'connect';
      readonly from: string;
      readonly to: string;
      readonly port: number;
      readonly timeLimitMs: number;
      /** Keeps the connection under this number, for `echo`. */
      readonly id?: number;
    }
  | { readonly kind: 'echo'; readonly id: number; readonly timeLimitMs: number }
  | {
      readonly kind: 'udp';
      readonly from: string;
      readonly to: string;
      readonly port: number;
      readonly timeLimitMs: number;
      /** Default: one character. */
      readonly text?: string;
      /** So many are sent at once. Default: 1. */
      readonly count?: number;
    };

/** Real sockets in a namespace: listeners that echo what they get, and attempts to reach them. */
export interface NetworkProbe {
  ask(request: ProbeRequest): Promise<ProbeAnswer>;
}

/** Starts a process with sockets in `namespace`; it ends with the namespace. */
export function createNetworkProbe(namespace: Namespace): NetworkProbe {
  const script = fileURLToPath(new URL('network-probe-process.js', import.meta.url));
  const child = namespace.spawn([process.execPath, script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new TypeError('the probe has no pipes');
  stdin.on('error', () => {});
  const waiting = new Map<number, (answer: ProbeAnswer) => void>();
  createInterface({ input: stdout }).on('line', (line) => {
    const { request, answer } = JSON.parse(line) as { request: number; answer: ProbeAnswer };
    waiting.get(request)?.(answer);
    waiting.delete(request);
  });
  let requests = 0;
  return {
    ask: (request) =>
      new Promise((resolve) => {
        requests += 1;
        waiting.set(requests, resolve);
        stdin.write(`${JSON.stringify({ ...request, request: requests })}\n`);
      }),
  };
}
