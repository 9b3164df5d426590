import { fileURLToPath } from 'node:url';
import { addresses, type Namespace } from 'spa-lab';
import { nextAnswer } from './answers.ts';
import { type Capture, type Passage, startCapture } from './capture.ts';
import type { ProberAnswer, ProberOrder } from './prober.ts';

/** Somebody in the operator's network who knocks and connects; one order at a time. */
export interface Operator {
  /** From now on the kernel's times of what passes the cable are taken. */
  startClock(): Promise<void>;
  /** Sends a packet; resolves when a connection from `address` is established. All addresses are the operator's own. */
  knock(packet: string, address?: string): Promise<void>;
  /** The same with a door that is open already and no packet. */
  connect(address?: string): Promise<void>;
  /** Rejects if the door still answers. */
  expectSilence(address?: string): Promise<void>;
  /** Resolves to the times of all knocks and connections since the clock's start, in their order. */
  stopClock(): Promise<Times>;
}

/** Microseconds. */
export interface Times {
  /** From each packet to the first SYN-ACK. */
  readonly knocks: readonly number[];
  /** From each first SYN to the first SYN-ACK. */
  readonly connections: readonly number[];
}

/** How long a connection is waited for before the door counts as shut: a hundred times what one takes. */
const SILENCE_MS = 40;

/** Starts a prober in `host`, for the bastion's SPA port and its sshd; it ends with the host. */
export async function startOperator(host: Namespace): Promise<Operator> {
  const script = fileURLToPath(new URL('./prober.js', import.meta.url));
  const child = host.spawn([process.execPath, script, addresses.server4, '62201', '22'], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await nextAnswer(child);
  const ask = async (order: ProberOrder): Promise<Stretch> => {
    const from = Date.now();
    child.send(order);
    const answer = await nextAnswer<ProberAnswer>(child);
    if (answer.kind === 'failed') throw new Error(answer.reason);
    return { from, to: Date.now() + 1 };
  };
  let capture: Capture | null = null;
  let knocks: Stretch[] = [];
  let connections: Stretch[] = [];
  return {
    startClock: async () => {
      capture = await startCapture(host);
      knocks = [];
      connections = [];
    },
    knock: async (packet, address = addresses.client4) => {
      knocks.push(await ask({ kind: 'knock', packet, address }));
    },
    connect: async (address = addresses.client4) => {
      connections.push(await ask({ kind: 'connect', address }));
    },
    expectSilence: async (address = addresses.client4) => {
      await ask({ kind: 'silent', address, limitMs: SILENCE_MS });
    },
    stopClock: async () => {
      const passages = (await capture?.end()) ?? [];
      return {
        knocks: knocks.map((stretch) => measure(passages, stretch, 'packet')),
        connections: connections.map((stretch) => measure(passages, stretch, 'syn')),
      };
    },
  };
}

/** While an order was obeyed; milliseconds of the epoch. */
interface Stretch {
  readonly from: number;
  readonly to: number;
}

function measure(passages: readonly Passage[], { from, to }: Stretch, begin: Passage['what']): number {
  const within = passages.filter(({ at }) => at >= from * 1000 && at <= to * 1000);
  const first = within.find(({ what }) => what === begin);
  const answer = within.find(({ what, at }) => what === 'syn-ack' && first !== undefined && at >= first.at);
  if (first === undefined || answer === undefined) {
    const passed = within.map(({ what }) => what).join(', ');
    throw new Error(`a ${begin} and its answer are not in the capture, but: ${passed || 'nothing'}`);
  }
  return answer.at - first.at;
}
