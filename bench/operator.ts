import { fileURLToPath } from 'node:url';
import { addresses, type Namespace } from 'spa-lab';
import { nextAnswer } from './answers.ts';
import type { ProberAnswer, ProberOrder } from './prober.ts';

/** Somebody in the operator's network who knocks and connects; one order at a time. */
export interface Operator {
  /** Sends a packet; resolves to the microseconds until the first connection was established. */
  knock(packet: string): Promise<number>;
  /** The same with a door that is open already and no packet. */
  connect(): Promise<number>;
  /** Rejects if the door still answers. */
  expectSilence(): Promise<void>;
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
  const ask = async (order: ProberOrder): Promise<ProberAnswer> => {
    child.send(order);
    const answer = await nextAnswer<ProberAnswer>(child);
    if (answer.kind === 'failed') throw new Error(answer.reason);
    return answer;
  };
  const measure = async (order: ProberOrder): Promise<number> => {
    const answer = await ask(order);
    if (answer.kind !== 'established') throw new Error(`the prober answers ${answer.kind}`);
    return answer.microseconds;
  };
  return {
    knock: (packet) => measure({ kind: 'knock', packet }),
    connect: () => measure({ kind: 'connect' }),
    expectSilence: async () => {
      await ask({ kind: 'silent', limitMs: SILENCE_MS });
    },
  };
}
