import { setTimeout as sleep } from 'node:timers/promises';
import { type CycleJournal, openCycleJournal } from './commands/cycle-journal.ts';
import type { DaemonParts } from './daemon.ts';
import type { Firewall } from './firewall/firewall.ts';
import { firewallFromConfig } from './firewall/from-config.ts';
import { createMemoryFirewall } from './firewall/memory.ts';
import { formerPackets } from './replay/digest-cache.ts';
import { replayFromConfig, volatileReplayFolder } from './replay/from-config.ts';
import { createMemoryReplayStore } from './replay/memory.ts';
import type { ReplayStore } from './replay/replay-store.ts';
import { MARK_AHEAD_SECONDS } from './replay/two-stores.ts';

/** What a daemon opens doors with, and what it remembers messages in. It closes both when it ends. */
export interface DaemonPorts {
  readonly firewall: Firewall;
  readonly replay: ReplayStore;
  /** Digests of packets that fwknopd took before us, see {@link formerPackets}. Left out: there are none. */
  readonly former?: ReadonlySet<string>;
  /** Where close commands are kept for the next daemon. Left out: nowhere. */
  readonly journal?: CycleJournal;
  /** Where grants are kept for the next daemon, and where this one is asked (`--revoke`). Left out: nowhere. */
  readonly runFolder?: string;
}

/** The firewall and the store that the configuration names. @throws FirewallError, ReplayError, ConfigError */
export async function openConfiguredPorts({ config, dryRun, log }: DaemonParts): Promise<DaemonPorts> {
  if (dryRun) {
    return {
      firewall: createMemoryFirewall({ now: Date.now }),
      replay: createMemoryReplayStore({ floorSeconds: 0 }),
    };
  }
  // A firewall holds nothing open before it is first used, so it is chosen first.
  const firewall = await firewallFromConfig(config.firewall, (line) => log.warning(line));
  // What is in a capture may be older than all that the store remembers.
  if (config.reception.datagrams.kind === 'file') {
    return { firewall, replay: createMemoryReplayStore({ floorSeconds: 0 }) };
  }
  return {
    firewall,
    replay: await replayFromConfig(config, nowSeconds, (line) => log.warning(line)),
    former: formerPackets(config, nowSeconds(), log),
    runFolder: config.runFolder,
    journal: openCycleJournal(`${config.replayStore}-closes`),
  };
}

/**
 * Waits until a store that is new takes messages: none of the second it was made in. Who is told "ready" may knock at once. If it
 * takes longer, a line in the log says so instead.
 */
export async function reachFloor(floorSeconds: number, { config, log }: DaemonParts): Promise<void> {
  const milliseconds = floorSeconds * 1000 - Date.now();
  if (milliseconds <= 0) return;
  if (milliseconds <= 1000) return sleep(milliseconds);
  const floor = new Date(floorSeconds * 1000).toISOString();
  if (milliseconds <= Math.max(config.maxPacketAgeSeconds, MARK_AHEAD_SECONDS) * 1000) {
    log.warning(
      `no packet made before ${floor} is accepted: this host has just crashed, or what it remembered was lost`,
    );
    return;
  }
  const folders = [config.replayStore, volatileReplayFolder(config)].filter((folder) => folder !== null);
  log.warning(
    `no packet made before ${floor} is accepted: this host's clock was ahead; if it is right now, stop the daemon, remove ${folders.join(' and ')} and start it again`,
  );
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
