import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { protectedPorts, type ServerConfig } from './config/server-config.ts';
import { answerControl, kernelCounters } from './control/answer.ts';
import type { ControlAnswer, ControlRequest, CountersAnswer } from './control/protocol.ts';
import { type ControlSocket, controlPath, listenControl } from './control/socket.ts';
import { decide } from './decision/decide.ts';
import type { Stanza } from './decision/stanza.ts';
import type { Authentic, Datagram } from './decision/verdict.ts';
import { UnavailableError } from './failure.ts';
import { type Firewall, FirewallError, type GatePolicy } from './firewall/firewall.ts';
import { firewallFromConfig } from './firewall/from-config.ts';
import { createMemoryFirewall } from './firewall/memory.ts';
import type { Doorkeeper, Holder } from './grants/doorkeeper.ts';
import { createDoorkeeper } from './grants/from-folder.ts';
import { replayFromConfig, volatileReplayFolder } from './replay/from-config.ts';
import { createMemoryReplayStore } from './replay/memory.ts';
import { ReplayError, type ReplayStore } from './replay/replay-store.ts';
import { MARK_AHEAD_SECONDS } from './replay/two-stores.ts';
import { createReport, type Report } from './report.ts';
import type { Log } from './system/log.ts';
import { listenUdp, type UdpListener } from './transport/udp.ts';

/** Packets that are being looked at. More are dropped, so that a flood costs bounded memory. */
const MAX_IN_FLIGHT = 256;
/** How often old messages are forgotten and ignored packets summed up. */
const HOUSEKEEPING_MS = 30_000;
/** How often it is made sure that the firewall's rules stand. */
const WATCH_MS = 1_000;

/** What a daemon is made of. */
export interface DaemonParts {
  readonly config: ServerConfig;
  readonly stanzas: readonly Stanza[];
  readonly log: Log;
  /** Everything but the firewall and the replay store: nothing is opened, nothing remembered. */
  readonly dryRun: boolean;
  /** Ends by itself after so many packets; null: never. */
  readonly packetLimit: number | null;
}

/** What a daemon opens doors with, and what it remembers messages in. It closes both when it ends. */
export interface DaemonPorts {
  readonly firewall: Firewall;
  readonly replay: ReplayStore;
  /** Where grants are kept for the next daemon, and where this one is asked (`--revoke`). Left out: nowhere. */
  readonly runFolder?: string;
}

/** A daemon that listens. */
export interface Daemon {
  /**
   * Goes on with another configuration; open doors and remembered messages stay.
   * @throws FirewallError and then the configuration is the same as before.
   */
  reload(config: ServerConfig, stanzas: readonly Stanza[]): Promise<void>;
  /** Who asks the daemon something is answered when `work` is done, well or not. */
  delayAnswers(work: Promise<unknown>): void;
  /** Ends: what was begun is finished, then firewall and store are left in order. @throws FirewallError */
  close(): Promise<void>;
  /** Resolves when the daemon has ended; rejects if {@link Daemon.close} does. */
  readonly closed: Promise<void>;
}

/**
 * Starts the daemon; resolves when packets are received and doors can be opened. `openPorts` gives what it speaks to
 * instead of the firewall and the store that the configuration names.
 * @throws FirewallError, ReplayError, or the system's error if the port cannot be had; then nothing is left behind.
 */
export async function startDaemon(
  parts: DaemonParts,
  openPorts: (parts: DaemonParts) => Promise<DaemonPorts> = openConfiguredPorts,
): Promise<Daemon> {
  const { config, log, stanzas } = parts;
  let receiver: RunningDaemon | null = null;
  const report = createReport(log);
  const udp = await listenUdp({
    address: config.listenAddress,
    port: config.udpPort,
    onDatagram: (datagram) => receiver?.receive(datagram),
    onWrongLength: (source) => report.ignored(source, 'packet-length', 'no packet has this length'),
  });
  const ports = await openPorts(parts).catch(async (error) => {
    await udp.close();
    throw error;
  });
  const daemon = new RunningDaemon(parts, { ...ports, udp, report });
  try {
    await daemon.start();
  } catch (error) {
    // What kept the rules from being installed may keep them from being removed: the first failure is what counts.
    await daemon.close().catch(() => {});
    throw error;
  }
  await reach(ports.replay.floorSeconds, parts);
  receiver = daemon;
  log.info(
    `listening on ${udp.places.join(' and ')}; firewall: ${ports.firewall.name}; ${stanzas.length} stanzas`,
  );
  return daemon;
}

/** What a running daemon speaks to. */
interface Ports extends DaemonPorts {
  readonly udp: UdpListener;
  readonly report: Report;
}

class RunningDaemon implements Daemon {
  readonly closed: Promise<void>;
  readonly #parts: DaemonParts;
  readonly #ports: Ports;
  /** What was begun and has not ended. */
  readonly #inFlight = new Set<Promise<void>>();
  readonly #housekeeping: NodeJS.Timeout;
  readonly #watch: NodeJS.Timeout;
  readonly #keeper: Doorkeeper;
  #control: ControlSocket | null = null;
  /** What answers wait for. */
  #busy: Promise<unknown> = Promise.resolve();
  #config: ServerConfig;
  #stanzas: readonly Stanza[];
  #packets = 0;
  #closing: Promise<void> | null = null;
  #settleClosed: (outcome: Promise<void>) => void = () => {};

  constructor(parts: DaemonParts, ports: Ports) {
    this.#parts = parts;
    this.#ports = ports;
    this.#config = parts.config;
    this.#stanzas = parts.stanzas;
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    // An end in disorder is told to whoever closes the daemon: nobody has to wait for `closed`.
    this.closed.catch(() => {});
    this.#keeper = createDoorkeeper(ports.firewall, parts.log, ports.runFolder ?? null);
    this.#housekeeping = setInterval(() => void this.#begin(this.#keepHouse()), HOUSEKEEPING_MS).unref();
    this.#watch = setInterval(() => void this.#begin(this.#keeper.look()), WATCH_MS).unref();
  }

  /** Puts the daemon's own rules in place; from then on it can be asked. @throws FirewallError, UnavailableError */
  async start(): Promise<void> {
    let started = (): void => {};
    this.delayAnswers(
      new Promise<void>((resolve) => {
        started = resolve;
      }),
    );
    try {
      this.#control = await this.#listenControl();
      const flush = this.#config.firewall.flushAtInit;
      await this.#keeper.start(policyOf(this.#config, this.#stanzas), { flush });
    } finally {
      started();
    }
  }

  /** One packet, start to end: decide, claim, grant, log. */
  async handle(datagram: Datagram): Promise<void> {
    const { replay, report } = this.#ports;
    // With the configuration: what is revoked from here on is not given by this packet any more.
    const { epoch } = this.#keeper;
    const clock = { nowSeconds: nowSeconds(), maxAgeSeconds: this.#config.maxPacketAgeSeconds };
    const verdict = await decide(datagram, this.#stanzas, clock);
    if (verdict.kind === 'ignore') return report.ignored(datagram.source, verdict.code, verdict.detail);
    const { opened } = verdict;
    if (verdict.kind === 'outdated') return report.outdated(datagram, opened, verdict.differenceSeconds);
    try {
      const claim = await replay.claim({ id: opened.id, timestampSeconds: opened.message.timestampSeconds });
      if (claim !== 'claimed') return report.notClaimed(datagram, opened, claim);
      if (verdict.kind === 'deny') return report.denied(datagram, opened, verdict.reason);
      const granted = await this.#keeper.grant(verdict.grant, holderOf(opened), epoch);
      if (granted === null) return report.revoked(datagram, opened);
      return report.granted(datagram, opened, verdict.grant, granted.expiresAt);
    } catch (error) {
      if (!(error instanceof ReplayError || error instanceof FirewallError)) throw error;
      return report.failed(datagram, opened, error);
    }
  }

  receive(datagram: Datagram): void {
    if (this.#closing !== null) return;
    if (this.#inFlight.size >= MAX_IN_FLIGHT) {
      this.#ports.report.ignored(datagram.source, 'overload', 'too many packets at once');
      return;
    }
    void this.#begin(this.handle(datagram));
    this.#packets += 1;
    if (this.#packets === this.#parts.packetLimit) void this.close();
  }

  async reload(config: ServerConfig, stanzas: readonly Stanza[]): Promise<void> {
    if (this.#closing === null) await this.#begin(this.#reload(config, stanzas));
  }

  delayAnswers(work: Promise<unknown>): void {
    this.#busy = Promise.allSettled([this.#busy, work]);
  }

  close(): Promise<void> {
    if (this.#closing === null) {
      this.#closing = this.#end();
      this.#settleClosed(this.#closing);
    }
    return this.#closing;
  }

  /** The end waits for `work`. */
  #begin(work: Promise<void>): Promise<void> {
    this.#inFlight.add(work);
    return work.finally(() => this.#inFlight.delete(work));
  }

  async #reload(config: ServerConfig, stanzas: readonly Stanza[]): Promise<void> {
    for (const keyword of needsRestart(this.#config, config)) {
      this.#parts.log.warning(`${keyword} has changed: restart the daemon for it`);
    }
    const { udpPort, listenAddress, runFolder, replayStore, firewall } = this.#config;
    const next = { ...config, udpPort, listenAddress, runFolder, replayStore, firewall };
    await this.#keeper.change(policyOf(next, stanzas));
    this.#config = next;
    this.#stanzas = stanzas;
  }

  /** Without it doors open all the same. */
  async #listenControl(): Promise<ControlSocket | null> {
    const { runFolder } = this.#ports;
    if (runFolder === undefined) return null;
    const path = controlPath(runFolder);
    try {
      return await listenControl(path, (request) => this.#answer(request));
    } catch (error) {
      if (error instanceof UnavailableError) throw error;
      const { message } = error as NodeJS.ErrnoException;
      this.#parts.log.warning(`--revoke and --fw-list cannot ask this daemon: ${message}`);
      return null;
    }
  }

  async #answer(request: ControlRequest): Promise<ControlAnswer> {
    await this.#busy;
    return answerControl(request, {
      keeper: this.#keeper,
      firewall: this.#ports.firewall,
      counters: () => this.#counters(),
      protectedPorts: async () => protectedPorts(this.#config, this.#stanzas),
    });
  }

  async #counters(): Promise<CountersAnswer['counters']> {
    return kernelCounters(await this.#ports.firewall.counters());
  }

  async #keepHouse(): Promise<void> {
    const { report, replay } = this.#ports;
    report.summarize();
    try {
      await replay.raiseFloor(nowSeconds() - this.#config.maxPacketAgeSeconds);
    } catch (error) {
      if (!(error instanceof ReplayError)) throw error;
      this.#parts.log.error(error.message);
    }
  }

  async #end(): Promise<void> {
    const { udp, replay, firewall, report } = this.#ports;
    clearInterval(this.#housekeeping);
    clearInterval(this.#watch);
    await this.#control?.close();
    await udp.close();
    await Promise.allSettled(this.#inFlight);
    report.summarize();
    this.#keeper.close();
    try {
      await firewall.close({ flush: this.#config.firewall.flushAtExit });
    } finally {
      await replay.close();
    }
  }
}

function policyOf(config: ServerConfig, stanzas: readonly Stanza[]): GatePolicy {
  return {
    spaPort: config.udpPort,
    protectedPorts: protectedPorts(config, stanzas),
    preFilter: config.firewall.preFilter,
  };
}

function holderOf({ signer, message, stanzaNumber }: Authentic): Holder {
  return { operator: signer, username: message.username, stanza: stanzaNumber };
}

/** What cannot change while the daemon runs. */
function needsRestart(before: ServerConfig, after: ServerConfig): readonly string[] {
  const keywords: Readonly<Record<string, (config: ServerConfig) => unknown>> = {
    UDPSERV_PORT: (config) => config.udpPort,
    LISTEN_ADDRESS: (config) => config.listenAddress,
    FWKNOP_RUN_DIR: (config) => config.runFolder,
    REPLAY_STORE: (config) => config.replayStore,
    'the firewall': (config) => config.firewall,
  };
  return Object.entries(keywords)
    .filter(([, read]) => !isDeepStrictEqual(read(before), read(after)))
    .map(([keyword]) => keyword);
}

async function openConfiguredPorts({ config, dryRun, log }: DaemonParts): Promise<DaemonPorts> {
  if (dryRun) {
    return {
      firewall: createMemoryFirewall({ now: Date.now }),
      replay: createMemoryReplayStore({ floorSeconds: 0 }),
    };
  }
  // A firewall holds nothing open before it is first used, so it is chosen first.
  const firewall = await firewallFromConfig(config.firewall, (line) => log.warning(line));
  return { firewall, replay: await replayFromConfig(config, nowSeconds), runFolder: config.runFolder };
}

/** A new store takes no message of the second it was made in: who is told "ready" may knock at once. */
async function reach(floorSeconds: number, { config, log }: DaemonParts): Promise<void> {
  const milliseconds = floorSeconds * 1000 - Date.now();
  if (milliseconds <= 0) return;
  if (milliseconds <= 1000) return sleep(milliseconds);
  const floor = new Date(floorSeconds * 1000).toISOString();
  if (milliseconds <= MARK_AHEAD_SECONDS * 1000) {
    log.warning(
      `no packet made before ${floor} is accepted: this host has just crashed, or its run folder was lost`,
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
