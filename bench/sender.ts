import { fileURLToPath } from 'node:url';
import { addresses, type Namespace } from 'spa-lab';
import { nextAnswer } from './answers.ts';
import type { SenderOrder } from './sender-process.ts';

/** Somebody who sends many packets to the bastion's SPA port. */
export interface Sender {
  /** Takes packets, to be sent in this order. */
  load(packets: readonly string[]): Promise<void>;
  /** Sends the next so many of them. */
  send(count: number): void;
}

/** Starts one in `host`, who sends from `localAddress`; it ends with the host. */
export async function startSender(host: Namespace, localAddress: string): Promise<Sender> {
  const script = fileURLToPath(new URL('./sender-process.js', import.meta.url));
  const child = host.spawn([process.execPath, script, addresses.server4, '62201', localAddress], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await nextAnswer(child);
  const tell = (order: SenderOrder): void => {
    child.send(order);
  };
  return {
    load: async (packets) => {
      tell({ kind: 'load', packets });
      await nextAnswer(child);
    },
    send: (count) => tell({ kind: 'send', count }),
  };
}
