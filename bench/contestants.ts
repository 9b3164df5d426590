import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { createLab, type Daemon, type DaemonConfig, type Lab, startFwknopd, startSpaServer } from 'spa-lab';
import { type ShutDoors, shutInIpset, shutInIptables, shutInNftables } from './doors.ts';
import { type Operator, startOperator } from './operator.ts';

/** A daemon with its firewall, on a bastion of its own. */
export interface Contestant {
  readonly name: string;
  readonly lab: Lab;
  readonly operator: Operator;
  /** Starts the daemon with the stanza of a mode, and lines of fwknopd.conf if it is told any. */
  start(config: DaemonConfig): Promise<Daemon>;
  /** Takes the open door out of the kernel, past the daemon. */
  shut(): Promise<void>;
}

/** How a contestant is made. */
export interface ContestantPlan {
  readonly name: string;
  readonly firewall: 'nftables' | 'iptables';
  start(lab: Pick<Lab, 'bastion' | 'scratch'>, config: DaemonConfig): Promise<Daemon>;
  readonly shut: ShutDoors;
}

/** The daemon that the others are compared with. */
export const PEER: ContestantPlan = {
  name: 'fwknopd, iptables',
  firewall: 'iptables',
  start: (lab, { access, server = [] }) => startFwknopd(lab.bastion, lab.scratch, { access, server }),
  shut: shutInIptables,
};

/** Our daemon as it is meant to run. */
export const SPA_SERVER: ContestantPlan = {
  name: 'spa-server, nftables',
  firewall: 'nftables',
  start: startOurs('FIREWALL nftables', 'NFT_MODE attach', 'NFT_ATTACH_CHAIN inet filter input'),
  shut: shutInNftables,
};

/** Our daemon on a host without rules of its own: its table drops, and nothing else has to. */
export const SPA_SERVER_OWN: ContestantPlan = {
  name: 'spa-server, nftables, own table',
  firewall: 'nftables',
  start: async (lab, config) => {
    await lab.bastion.run(['nft', 'delete', 'table', 'inet', 'filter']);
    return startOurs('FIREWALL nftables', 'NFT_MODE own')(lab, config);
  },
  shut: shutInNftables,
};

/** Our daemon with each of its firewalls. */
export const OURS: readonly ContestantPlan[] = [
  SPA_SERVER,
  {
    name: 'spa-server, iptables',
    firewall: 'iptables',
    start: startOurs('FIREWALL iptables'),
    shut: shutInIpset,
  },
];

/** Builds the bastion, sshd behind a firewall that drops everything, and somebody who knocks. No daemon runs yet. */
export async function createContestant(plan: ContestantPlan): Promise<Contestant> {
  const lab = await createLab(plan.firewall);
  try {
    const operator = await startOperator(lab.operator);
    return {
      name: plan.name,
      lab,
      operator,
      start: (config) => plan.start(lab, config),
      shut: async () => {
        if ((await plan.shut(lab.bastion)) === 0) throw new Error(`${plan.name}: there is no door to shut`);
      },
    };
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

function startOurs(...server: readonly string[]): ContestantPlan['start'] {
  return async (lab, { access, server: more = [] }) => {
    const folder = memoryFolderOf(lab);
    const run = folder === null ? [] : [`FWKNOP_RUN_DIR ${folder}`];
    return startSpaServer(lab.bastion, lab.scratch, { server: [...run, ...server, ...more], access });
  };
}

const TMPFS_MAGIC = 0x01021994;

/** A bastion's run folder in memory, as every host has one; null if this one has none. It is gone when the bench ends. */
function memoryFolderOf({ scratch }: Pick<Lab, 'scratch'>): string | null {
  const known = memoryFolders.get(scratch);
  if (known !== undefined) return known;
  const parent = ['/run', '/dev/shm'].find((path) => statfsSync(path).type === TMPFS_MAGIC);
  if (parent === undefined) return null;
  const folder = mkdtempSync(join(parent, 'spa-bench-'));
  if (memoryFolders.size === 0) process.once('exit', removeMemoryFolders);
  memoryFolders.set(scratch, folder);
  return folder;
}

const memoryFolders = new Map<Lab['scratch'], string>();

function removeMemoryFolders(): void {
  for (const folder of memoryFolders.values()) rmSync(folder, { recursive: true, force: true });
}
