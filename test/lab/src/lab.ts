import type { Cable } from './cable.ts';
import type { Namespace } from './hosts.ts';
import { addresses, type CableOptions, createNamespacePair } from './namespace-pair.ts';
import { reach } from './reach.ts';
import { dropEverything } from './rulesets.ts';
import { createScratch, type Scratch } from './scratch.ts';
import { type Sshd, startSshd } from './sshd.ts';
import { until } from './until.ts';

/** An operator's host and a bastion: sshd behind a firewall that drops everything. No daemon runs yet. */
export interface Lab {
  readonly operator: Namespace;
  readonly bastion: Namespace;
  readonly cable: Cable;
  readonly sshd: Sshd;
  readonly scratch: Scratch;
  /** Logs in by ssh and runs a command there; resolves to what it printed. */
  login(command: string, address?: string): Promise<string>;
  /** Ends all processes and takes hosts and files away. Never rejects; may be called twice. */
  dispose(): Promise<void>;
}

/** Makes both hosts; the bastion's own rules are written for `firewall`. */
export async function createLab(firewall: 'nftables' | 'iptables', options: CableOptions = {}): Promise<Lab> {
  const scratch = createScratch();
  const pair = await createNamespacePair(options);
  const dispose = async (): Promise<void> => {
    await pair.dispose();
    scratch.remove();
  };
  try {
    const { client: operator, server: bastion, cable } = pair;
    await dropEverything(bastion, firewall);
    const sshd = await startSshd(bastion, scratch);
    const login = (command: string, address: string = addresses.server4): Promise<string> =>
      operator.must(['ssh', ...sshd.clientOptions, `${sshd.user}@${address}`, command]);
    return { operator, bastion, cable, sshd, scratch, login, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Waits until the bastion's port 22 answers the operator. */
export async function doorOpens(
  lab: Pick<Lab, 'operator'>,
  address: string = addresses.server4,
): Promise<void> {
  await until('the door opens', async () => (await reach(lab.operator, address)) === 'open');
}

/** Waits until it does not any more. */
export async function doorCloses(
  lab: Pick<Lab, 'operator'>,
  address: string = addresses.server4,
): Promise<void> {
  await until('the door closes', async () => (await reach(lab.operator, address)) === 'silent');
}
