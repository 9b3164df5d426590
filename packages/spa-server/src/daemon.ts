import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { protectedPorts, type ServerConfig } from './config/server-config.ts';
import { decide } from './decision/decide.ts';
import type { Stanza } from './decision/stanza.ts';
import type { Datagram } from './decision/verdict.ts';
import { type Firewall, FirewallError, type Grant } from './firewall/firewall.ts';
import { firewallFromConfig } from './firewall/from-config.ts';
import { createMemoryFirewall } from './firewall/memory.ts';
import { openReplayStore } from './replay/lmdb.ts';
import { createMemoryReplayStore } from './replay/memory.ts';
import { ReplayError, type ReplayStore } from './replay/replay-store.ts';
import { createReport, type Report } from './report.ts';
import type { Log } from './system/log.ts';
import { listenUdp, type UdpListener } from './transport/udp.ts';

/** Packets that are being looked at. More are dropped, so that a flood costs bounded memory. */
const MAX_IN_FLIGHT = 256;
/** How often old messages are forgotten and ignored packets summed up. */
const HOUSEKEEPING_MS = 30_000;

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

/** A daemon that listens. */
export interface Daemon {
  /** Goes on with another configuration; open doors and remembered messages stay. @throws FirewallError */
  reload(config: ServerConfig, stanzas: readonly Stanza[]): Promise<void>;
  /** Ends: what was begun is finished, then firewall and store are left in order. */
  close(): Promise<void>;
  /** Resolves when the daemon has ended. */
  readonly closed: Promise<void>;
}

/**
 * Starts the daemon; resolves when packets are received and doors can be opened.
 * @throws FirewallError, ReplayError, or the system's error if the port cannot be had; then the port is free again.
 */
export async function startDaemon(parts: DaemonParts): Promise<Daemon> {
  const { config, log } = parts;
  let daemon: RunningDaemon | null = null;
  const report = createReport(log);
  const udp = await listenUdp({
    address: config.listenAddress,
    port: config.udpPort,
    onDatagram: (datagram) => daemon?.receive(datagram),
    onWrongLength: (source) => report.ignored(source, 'packet-length', 'no packet has this length'),
  });
  try {
    const replay = await openReplay(parts);
    const firewall = parts.dryRun
      ? createMemoryFirewall({ now: Date.now })
      : await firewallFromConfig(config.firewall);
    daemon = new RunningDaemon(parts, { udp, replay, firewall, report });
    await daemon.install({ flush: config.firewall.flushAtInit });
    await reach(replay.floorSeconds);
    log.info(
      `listening on ${udp.places.join(' and ')}; firewall: ${firewall.name}; ${parts.stanzas.length} stanzas`,
    );
    return daemon;
  } catch (error) {
    await udp.close();
    throw error;
  }
}

/** What a daemon speaks to. */
interface Ports {
  readonly udp: UdpListener;
  readonly replay: ReplayStore;
  readonly firewall: Firewall;
  readonly report: Report;
}

class RunningDaemon implements Daemon {
  readonly closed: Promise<void>;
  readonly #parts: DaemonParts;
  readonly #ports: Ports;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #housekeeping: NodeJS.Timeout;
  #config: ServerConfig;
  #stanzas: readonly Stanza[];
  #packets = 0;
  #closing: Promise<void> | null = null;
  #settleClosed: () => void = () => {};

  constructor(parts: DaemonParts, ports: Ports) {
    this.#parts = parts;
    this.#ports = ports;
    this.#config = parts.config;
    this.#stanzas = parts.stanzas;
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    this.#housekeeping = setInterval(() => void this.#keepHouse(), HOUSEKEEPING_MS).unref();
  }

  /** One packet, start to end: decide, claim, grant, log. */
  async handle(datagram: Datagram): Promise<void> {
    const { replay, report } = this.#ports;
    const clock = { nowSeconds: nowSeconds(), maxAgeSeconds: this.#config.maxPacketAgeSeconds };
    const verdict = await decide(datagram, this.#stanzas, clock);
    if (verdict.kind === 'ignore') return report.ignored(datagram.source, verdict.code, verdict.detail);
    const { opened } = verdict;
    if (verdict.kind === 'outdated') return report.outdated(datagram, opened, verdict.differenceSeconds);
    try {
      const claim = await replay.claim({ id: opened.id, timestampSeconds: opened.message.timestampSeconds });
      if (claim !== 'claimed') return report.notClaimed(datagram, opened, claim);
      if (verdict.kind === 'deny') return report.denied(datagram, opened, verdict.reason);
      const { expiresAt } = await this.#grant(verdict.grant);
      return report.granted(datagram, opened, verdict.grant, expiresAt);
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
    const work = this.handle(datagram);
    this.#inFlight.add(work);
    void work.then(() => this.#inFlight.delete(work));
    this.#packets += 1;
    if (this.#packets === this.#parts.packetLimit) void this.close();
  }

  async reload(config: ServerConfig, stanzas: readonly Stanza[]): Promise<void> {
    for (const keyword of needsRestart(this.#config, config)) {
      this.#parts.log.warning(`${keyword} has changed: restart the daemon for it`);
    }
    const { udpPort, listenAddress, replayStore, firewall } = this.#config;
    this.#config = { ...config, udpPort, listenAddress, replayStore, firewall };
    this.#stanzas = stanzas;
    await this.install({ flush: false });
  }

  /** Puts the daemon's own rules in place. @throws FirewallError */
  async install(options: { readonly flush: boolean }): Promise<void> {
    const spaPort = this.#config.udpPort;
    const policy = { spaPort, protectedPorts: protectedPorts(this.#config, this.#stanzas) };
    const warnings = await this.#ports.firewall.install(policy, options);
    for (const warning of warnings) this.#parts.log.warning(warning);
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  /** Somebody may have removed our rules since the last grant: then they are put back, once. */
  async #grant(wanted: Grant): Promise<{ readonly expiresAt: number }> {
    const { firewall } = this.#ports;
    try {
      return await firewall.grant(wanted);
    } catch (error) {
      if (!(error instanceof FirewallError)) throw error;
      this.#parts.log.warning(`${error.message}; putting the daemon's rules back`);
      await this.install({ flush: false });
      return firewall.grant(wanted);
    }
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
    await udp.close();
    await Promise.all(this.#inFlight);
    report.summarize();
    await firewall.close({ flush: this.#config.firewall.flushAtExit });
    await replay.close();
    this.#settleClosed();
  }
}

/** What cannot change while the daemon runs. */
function needsRestart(before: ServerConfig, after: ServerConfig): readonly string[] {
  const keywords: Readonly<Record<string, (config: ServerConfig) => unknown>> = {
    UDPSERV_PORT: (config) => config.udpPort,
    LISTEN_ADDRESS: (config) => config.listenAddress,
    REPLAY_STORE: (config) => config.replayStore,
    'the firewall': (config) => config.firewall,
  };
  return Object.entries(keywords)
    .filter(([, read]) => !isDeepStrictEqual(read(before), read(after)))
    .map(([keyword]) => keyword);
}

async function openReplay({ config, dryRun }: DaemonParts): Promise<ReplayStore> {
  if (dryRun) return createMemoryReplayStore({ floorSeconds: 0 });
  return openReplayStore(config.replayStore, nowSeconds());
}

/** A new store takes no message of the second it was made in: who is told "ready" may knock at once. */
async function reach(timeSeconds: number): Promise<void> {
  const milliseconds = timeSeconds * 1000 - Date.now();
  if (milliseconds > 0 && milliseconds <= 1000) await sleep(milliseconds);
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
