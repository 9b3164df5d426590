import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  addresses,
  arrivals,
  type CableOptions,
  createRegionLab,
  type Daemon,
  type RegionLab,
} from 'spa-lab';
import type { ContestantPlan } from './contestants.ts';
import { kernelCounters } from './kernel-counters.ts';
import type { ClientKeys, Mode } from './modes.ts';
import type { Shell } from './shell.ts';
import { startShell } from './shell.ts';

/** What the shell prints at the far end. */
const WORD = 'arrived';

/** Lines that end in a shell on the bastion. `sshbh config` has written two files for ssh, one for each of its styles. */
export const LINES: Readonly<Record<'fwknopAndSsh' | 'sshbh' | 'sshByMatch' | 'sshByProxy', string>> = {
  fwknopAndSsh: `fwknop -n region && ssh four.test echo ${WORD}`,
  sshbh: `sshbh region -- echo ${WORD}`,
  sshByMatch: `ssh -F ~/match/config region echo ${WORD}`,
  sshByProxy: `ssh -F ~/proxy/config region echo ${WORD}`,
};

/** How a line that should end in a shell on the bastion went. */
export interface Entered {
  /** From Enter to the first byte of the remote shell; null: it never came. */
  readonly microseconds: number | null;
  /** SPA packets that left the operator's host. */
  readonly packets: number;
  /** SYNs that the operator's kernel sent a second time. */
  readonly synsSentAgain: number;
  /** What was wrong, for whoever looks for the reason. */
  readonly said: string;
}

/** An operator's host with a region, and the region's bastion with a daemon. */
export interface Entrance {
  readonly lab: RegionLab;
  readonly shell: Shell;
  /** Starts the daemon with the mode's stanza. */
  start(mode: Mode): Promise<Daemon>;
  /** Writes the region into the rc file, and ssh's configuration from it. */
  tellClients(keys: ClientKeys): Promise<void>;
  /** Runs a line; no door is open, and nobody remembers that one was a moment ago. */
  enter(line: string, limitMs: number): Promise<Entered>;
}

/** Builds hosts and a bastion without a daemon. */
export async function createEntrance(plan: ContestantPlan, cable: CableOptions): Promise<Entrance> {
  const lab = await createRegionLab(plan.firewall, cable);
  try {
    const { operator, bastion, home, user } = lab;
    writeFileSync(home.path('.ssh', 'config'), sshConfig(user));
    const shell = await startShell(operator);
    return {
      lab,
      shell,
      start: (mode) => plan.start(lab, mode),
      tellClients: async ({ lines }) => {
        lab.writeRegions(
          [
            '[region]',
            'SPA_SERVER four.test',
            'ACCESS tcp/22',
            `ALLOW_IP ${addresses.client4}`,
            ...lines,
            '',
          ].join('\n'),
        );
        for (const style of ['match', 'proxy']) await teachSsh(lab, style);
      },
      enter: async (line, limitMs) => {
        await plan.shut(bastion);
        ageStates(home.path('.local', 'state', 'sshbh'));
        const before = kernelCounters(operator);
        const { packets4 } = await arrivals(bastion);
        const { enteredAt, wordAt, stdout, stderr } = await shell.enter(line, WORD, limitMs);
        const after = kernelCounters(operator);
        if (wordAt !== null && (await arrivals(bastion)).packets4 === packets4) {
          throw new Error(`${line}: it got in without a packet`);
        }
        return {
          microseconds: wordAt === null ? null : wordAt - enteredAt,
          packets: after.datagramsSent - before.datagramsSent,
          synsSentAgain: after.synsSentAgain - before.synsSentAgain,
          said: stdout + stderr,
        };
      },
    };
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

/** What `sshbh` remembers of the door that was shut by force is as if it had closed by itself, an hour ago. */
function ageStates(directory: string): void {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  for (const file of names.map((name) => join(directory, name))) {
    const state = JSON.parse(readFileSync(file, 'utf8')) as { readonly openedAt?: number };
    if (state.openedAt === undefined) continue;
    writeFileSync(file, JSON.stringify({ ...state, openedAt: Date.now() - HOUR_MS }));
  }
}

const HOUR_MS = 3_600_000;

function sshConfig(user: string): string {
  return `User ${user}\nBatchMode yes\nIdentitiesOnly yes\nIdentityFile ~/.ssh/id_ed25519\n`;
}

/** A configuration of ssh's with what `sshbh config` writes, in `~/STYLE/config`. */
async function teachSsh({ operator, home, user }: RegionLab, style: string): Promise<void> {
  const file = home.path(style, 'config');
  await operator.must(['mkdir', '-p', '-m', '700', home.path(style)]);
  writeFileSync(file, sshConfig(user), { mode: 0o600 });
  await operator.must(['sshbh', 'config', '--style', style, '--ssh-config', file]);
}
