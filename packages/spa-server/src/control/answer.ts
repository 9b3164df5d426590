import type { ProtoPort } from 'spa-core';
import { describeFailure } from '../failure.ts';
import type { Firewall, FirewallCounter } from '../firewall/firewall.ts';
import type { Doorkeeper, Revocation } from '../grants/doorkeeper.ts';
import {
  type ControlAnswer,
  type ControlRequest,
  type CountersAnswer,
  listAnswer,
  revokeAnswer,
} from './protocol.ts';

/** Who knows the answers: the daemon, or whoever does its work while it does not run. */
export interface Answerer {
  readonly keeper: Doorkeeper;
  readonly firewall: Firewall;
  /** `byCommands`: close commands that run now. @throws FirewallError */
  revoke(...args: Parameters<Doorkeeper['revoke']>): Promise<Revocation & { readonly byCommands: number }>;
  /** Ports to which connections may be cut, whoever's door they came through. */
  protectedPorts(): Promise<readonly ProtoPort[]>;
  counters(): Promise<CountersAnswer['counters']>;
  /** The roster in force, in one line; null: there is none, or nobody knows. */
  roster(): string | null;
}

/** Does what is asked, and says what came of it; failures that the operator can do something about are answers too. */
export async function answerControl(request: ControlRequest, answerer: Answerer): Promise<ControlAnswer> {
  try {
    return await fulfil(request, answerer);
  } catch (error) {
    const failure = describeFailure(error);
    if (failure === null) throw error;
    return { error: failure.line, exitCode: failure.exitCode };
  }
}

async function fulfil(
  request: ControlRequest,
  { keeper, firewall, revoke, counters, roster, protectedPorts }: Answerer,
): Promise<ControlAnswer> {
  const remaining = keeper.remainingSeconds.bind(keeper);
  switch (request.do) {
    case 'list':
      return listAnswer(firewall.name, await keeper.list(), remaining);
    case 'counters':
      return { counters: await counters(), roster: roster() };
    case 'revoke': {
      const revocation = await revoke(request.which, {
        cut: request.cut ? await protectedPorts() : null,
      });
      const answer = revokeAnswer(revocation, remaining);
      return revocation.byCommands === 0 ? answer : { ...answer, byCommands: revocation.byCommands };
    }
  }
}

/** What the firewall has counted, in words. */
export function kernelCounters(counters: readonly FirewallCounter[]): CountersAnswer['counters'] {
  return counters.map(({ reason, packets }) => ({ what: KERNEL_DROPS[reason], count: packets }));
}

const KERNEL_DROPS: Readonly<Record<FirewallCounter['reason'], string>> = {
  length: 'dropped by the kernel: no packet has this length',
  beginning: 'dropped by the kernel: no packet begins like that',
  rate: 'dropped by the kernel: more than one source may send (SPA_RATE_PER_SOURCE)',
};
