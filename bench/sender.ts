import { fileURLToPath } from 'node:url';
import { addresses, type Namespace } from 'spa-lab';
import { nextAnswer } from './answers.ts';
import type { Junk } from './junk.ts';
import type { SenderAnswer, SenderOrder } from './sender-process.ts';

/** Somebody who sends many datagrams to the bastion's SPA port. */
export interface Sender {
  /** Begins to send junk; `perSecond` null: as fast as it can. */
  flood(junk: Junk, perSecond: number | null): void;
  /** Ends that; resolves to what was really sent. */
  stop(): Promise<SenderAnswer>;
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
  const ask = async (order: SenderOrder): Promise<SenderAnswer> => {
    tell(order);
    const answer = await nextAnswer<SenderAnswer>(child);
    return answer;
  };
  return {
    flood: (junk, perSecond) => tell({ kind: 'flood', junk, perSecond }),
    stop: () => ask({ kind: 'stop' }),
    load: async (packets) => {
      await ask({ kind: 'load', packets });
    },
    send: (count) => tell({ kind: 'send', count }),
  };
}
