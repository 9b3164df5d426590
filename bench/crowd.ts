import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { addresses, type Namespace } from 'spa-lab';
import { nextAnswer } from './answers.ts';
import type { CrowdAnswer, CrowdOrder } from './crowd-process.ts';

/** Operators who come one after the other; one order at a time. */
export interface Crowd {
  /** Lets them come; resolves when the last is in or has given up. */
  come(order: CrowdOrder): Promise<CrowdAnswer>;
}

/**
 * Put before a command whose computer is elsewhere: what keeps this machine busy does not keep it waiting, and all such commands
 * have one processor, the last, where operators go before the flood. In turns (SCHED_RR): with SCHED_FIFO a thread of Node
 * that waits for another one would keep that one from the processor.
 */
export const AS_IF_ELSEWHERE: Readonly<Record<'operators' | 'flood', readonly string[]>> = {
  operators: withPriority(2),
  flood: withPriority(1),
};

function withPriority(priority: number): readonly string[] {
  const last = String(cpus().length - 1);
  return ['taskset', '--cpu-list', last, 'chrt', '--rr', String(priority)];
}

/** Starts a crowd in `host`, for the bastion's SPA port and its sshd; it ends with the host. */
export async function startCrowd(host: Namespace): Promise<Crowd> {
  const script = fileURLToPath(new URL('./crowd-process.js', import.meta.url));
  const command = [...AS_IF_ELSEWHERE.operators, process.execPath, script, addresses.server4, '62201', '22'];
  const child = host.spawn(command, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await nextAnswer(child);
  return {
    come: async (order) => {
      child.send(order);
      const answer = await nextAnswer<CrowdAnswer>(child);
      return answer;
    },
  };
}
