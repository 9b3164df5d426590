import { runCommand, TIME_LIMIT_MS } from './command.ts';
import type { GatePolicy } from './firewall.ts';
import {
  changeChain,
  type IptablesChain,
  isInPlace,
  parseTable,
  removeChain,
  type TableState,
} from './iptables-chain.ts';

/** fwknop's default of `IPT_OUTPUT_ACCESS`. */
export const DEFAULT_OUTPUT_CHAIN: IptablesChain = {
  target: 'ACCEPT',
  table: 'filter',
  from: 'OUTPUT',
  position: 1,
  chain: 'FWKNOP_OUTPUT',
};

/** A rule for the answers of this host, in a chain of its own. */
export interface IptablesOutput {
  /** Puts it in place if the policy wants it, otherwise takes it away. @throws FirewallError */
  install(policy: GatePolicy): Promise<readonly string[]>;
  isIntact(): Promise<boolean>;
  close(flush: boolean): Promise<void>;
}

/**
 * Lets out what answers connections that were let in, for hosts whose own rules drop it. fwknopd has a rule for each door,
 * with which the session ends too; this one needs no change when doors open and close.
 */
export function createIptablesOutput(options: {
  /** iptables or ip6tables, with what has to stand before it. */
  readonly command: readonly string[];
  readonly chain: IptablesChain;
  readonly timeLimitMs?: number;
}): IptablesOutput {
  const { command, chain, timeLimitMs = TIME_LIMIT_MS } = options;
  const fixed = [
    `-A ${chain.chain} -m conntrack --ctstate ESTABLISHED --ctdir REPLY -m comment --comment spa_port -j ${chain.target}`,
  ];
  let isWanted: boolean | null = null;

  const run = (tool: 'save' | 'restore', args: readonly string[], input = ''): Promise<string> =>
    runCommand([...command.slice(0, -1), `${command.at(-1)}-${tool}`, ...args], { timeLimitMs, input });

  async function read(): Promise<TableState> {
    return parseTable(await run('save', ['-t', chain.table]), chain);
  }

  async function restore(input: string): Promise<void> {
    const wait = Math.max(1, Math.floor(timeLimitMs / 1000) - 1);
    await run('restore', ['--noflush', '-w', String(wait)], input);
  }

  async function remove(): Promise<void> {
    const state = await read();
    if (state.hasChain) await restore(removeChain(state, chain));
  }

  return {
    install: async ({ answers }) => {
      if (answers === true)
        await restore(changeChain(await read(), chain, { fixed, doors: [], foreign: [] }));
      else if (isWanted !== false) await remove();
      isWanted = answers === true;
      return [];
    },
    isIntact: async () => isWanted !== true || isInPlace(await read(), chain, fixed),
    close: async (flush) => {
      if (flush && isWanted !== false) await remove();
    },
  };
}
