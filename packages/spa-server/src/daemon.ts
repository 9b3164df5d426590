import { type IpAddress, ipFamily, type Packet, packetBeginnings } from 'spa-core';
import { type Basis, createAdmission, reportDropped } from './admission.ts';
import { Commands, originOf } from './commands/commands.ts';
import { NO_JOURNAL } from './commands/cycle-journal.ts';
import { JournalError } from './commands/cycles.ts';
import { allowsNat } from './config/nat-config.ts';
import { needsRestart } from './config/needs-restart.ts';
import { protectedPorts, type ServerConfig } from './config/server-config.ts';
import { type Answerer, answerControl, kernelCounters } from './control/answer.ts';
import type { ControlAnswer, ControlRequest, CountersAnswer } from './control/protocol.ts';
import { type ControlSocket, controlPath, listenControl } from './control/socket.ts';
import { type DaemonPorts, openConfiguredPorts, reachFloor } from './daemon-ports.ts';
import { type Candidate, createGate, type Gate } from './decision/gate.ts';
import { firstStanzaOf } from './decision/openers.ts';
import { createRecentPackets } from './decision/recent-packets.ts';
import { mayComeIn, signersOf } from './decision/signers.ts';
import type { Stanza } from './decision/stanza.ts';
import type { Authentic, Datagram, GrantTerms, Verdict } from './decision/verdict.ts';
import { createDropTeller } from './dropped-by-kernel.ts';
import { UnavailableError } from './failure.ts';
import { FirewallError, type GatePolicy, type Grant } from './firewall/firewall.ts';
import type { Forward } from './firewall/forward.ts';
import type { Doorkeeper, Holder } from './grants/doorkeeper.ts';
import { createDoorkeeper } from './grants/from-folder.ts';
import { createInnerHosts, UnknownHostError } from './grants/inner-host.ts';
import { isAmong } from './replay/digest-cache.ts';
import { type Claim, ReplayError } from './replay/replay-store.ts';
import { type Counter, createReport, type Report, type Sender } from './report.ts';
import { describeRoster } from './roster/describe.ts';
import type { LoadedRoster } from './roster/load-roster.ts';
import { forwardingWarning } from './system/ip-forwarding.ts';
import type { Log } from './system/log.ts';
import { openReception, type Reception } from './transport/reception.ts';
import { spaPorts } from './transport/reception-config.ts';
import { createTurnstile, type Turnstile } from './transport/turnstile.ts';

/** Messages that wait for the store or the firewall. More are dropped, so that a flood costs bounded memory. */
const MAX_IN_FLIGHT = 1024;
/** Packets that were opened once and are known if they come again. */
const RECENT_PACKETS = 1024;
/** How often old messages are forgotten and ignored packets summed up. */
const HOUSEKEEPING_MS = 30_000;
/** How often it is made sure that the firewall's rules stand. */
const WATCH_MS = 1_000;

const NONE: ReadonlySet<string> = new Set();

/** What a daemon is made of. */
export interface DaemonParts {
  readonly config: ServerConfig;
  readonly stanzas: readonly Stanza[];
  /** That the stanzas were narrowed by; null: there is none. */
  readonly roster: LoadedRoster | null;
  readonly log: Log;
  /** Everything but the firewall and the replay store: nothing is opened, nothing remembered. */
  readonly dryRun: boolean;
  /** Ends by itself after so many packets; null: never. */
  readonly packetLimit: number | null;
}

/** What a daemon goes by. */
export type Configured = Pick<DaemonParts, 'config' | 'stanzas' | 'roster'>;

/** A daemon that listens. */
export interface Daemon {
  /**
   * Goes on with another configuration; open doors and remembered messages stay. Only the doors of those are closed whom the
   * new one, with its roster or its `SPA_CERTIFIED_BY`, does not let in any more.
   * @throws FirewallError and then the configuration is the same as before.
   */
  reload(next: Configured): Promise<void>;
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
  const report = createReport(log);
  const reception = await openReception(config.reception, log);
  const ports = await openPorts(parts).catch(async (error) => {
    await reception.close();
    throw error;
  });
  const turnstile = createTurnstile({ now: () => performance.now(), arrived: reception.received });
  const daemon = new RunningDaemon(parts, { ...ports, reception, report, turnstile });
  try {
    await daemon.start();
  } catch (error) {
    // What kept the rules from being installed may keep them from being removed: the first failure is what counts.
    await daemon.close().catch(() => {});
    throw error;
  }
  await reachFloor(ports.replay.floorSeconds, parts);
  reception.begin({
    receive: (datagram) => daemon.receive(datagram),
    ignored: (source, { code, detail }) => report.ignored(source, null, code, detail),
  });
  void reception.ended.then((why) => daemon.receptionEnded(why));
  for (const by of reception.by) log.event({ event: 'receiving', by });
  log.event({
    event: 'ready',
    places: reception.places,
    firewall: ports.firewall.name,
    stanzas: stanzas.length,
  });
  for (const line of reception.warnings) log.warning(line);
  return daemon;
}

/** What a running daemon speaks to. */
interface Ports extends DaemonPorts {
  readonly reception: Reception;
  readonly report: Report;
  readonly turnstile: Turnstile;
}

type GrantVerdict = Extract<Verdict, { readonly kind: 'grant' }>;

class RunningDaemon implements Daemon {
  readonly closed: Promise<void>;
  readonly #parts: DaemonParts;
  readonly #ports: Ports;
  /** What was begun and has not ended. */
  readonly #inFlight = new Set<Promise<void>>();
  readonly #housekeeping: NodeJS.Timeout;
  readonly #watch: NodeJS.Timeout;
  readonly #keeper: Doorkeeper;
  readonly #commands: Commands;
  #control: ControlSocket | null = null;
  /** What answers wait for. */
  #busy: Promise<unknown> = Promise.resolve();
  #config: ServerConfig;
  #stanzas: readonly Stanza[];
  #roster: LoadedRoster | null;
  #gate: Gate;
  #recent = createRecentPackets(RECENT_PACKETS);
  readonly #innerHosts = createInnerHosts();
  readonly #tellDrops: () => Promise<void>;
  readonly #admit: (datagram: Datagram) => void;
  #packets = 0;
  #closing: Promise<void> | null = null;
  #settleClosed: (outcome: Promise<void>) => void = () => {};

  constructor(parts: DaemonParts, ports: Ports) {
    this.#parts = parts;
    this.#ports = ports;
    this.#config = parts.config;
    this.#stanzas = parts.stanzas;
    this.#roster = parts.roster;
    this.#gate = createGate(parts.stanzas);
    this.#tellDrops = createDropTeller(ports.reception, ports.firewall, ports.report);
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    // An end in disorder is told to whoever closes the daemon: nobody has to wait for `closed`.
    this.closed.catch(() => {});
    this.#keeper = createDoorkeeper(ports.firewall, parts.log, ports.runFolder ?? null);
    this.#commands = new Commands({
      journal: ports.journal ?? NO_JOURNAL,
      report: ports.report,
      log: parts.log,
      config: () => this.#config.commands,
      dryRun: parts.dryRun,
    });
    this.#admit = createAdmission({
      turnstile: ports.turnstile,
      report: ports.report,
      basis: () => ({ gate: this.#gate, epoch: this.#keeper.epoch }),
      isRepeated: (candidate) => this.#isRepeated(candidate),
      handle: (candidate, basis, proved) => this.#handleNow(candidate, basis, proved),
    });
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
      await this.#commands.start();
      await this.#closeDoorsOfOthers([]);
      this.#warnOfForwarding();
    } finally {
      started();
    }
  }

  /** One packet that some key may open, start to end: decide, claim, grant, log. */
  async handle(
    candidate: Candidate,
    deciding: Promise<Verdict>,
    epoch: number,
    proved: () => void,
  ): Promise<void> {
    const { report } = this.#ports;
    const verdict = await deciding;
    if (verdict.kind === 'ignore') {
      return report.ignored(candidate.source, firstStanzaOf(candidate.openers), verdict.code, verdict.detail);
    }
    const { opened } = verdict;
    if (verdict.kind === 'outdated') {
      if (verdict.differenceSeconds > 0) this.#recent.add(candidate.packet, opened, 'outdated');
      return report.outdated(candidate, opened, verdict.differenceSeconds);
    }
    try {
      const claim = await this.#claim(candidate.packet, opened);
      if (claim !== 'claimed') return report.notClaimed(candidate, opened, claim);
      proved();
      if (verdict.kind === 'deny') {
        const stanza = this.#stanzas[opened.stanzaNumber - 1];
        return report.denied(candidate, opened, verdict.reason, stanza?.requireUsername ?? null);
      }
      if (verdict.kind === 'grant') return await this.#open(candidate, verdict, epoch);
      if (this.#keeper.isRevokedSince(epoch, originOf(candidate, verdict))) {
        return report.revoked(candidate, opened);
      }
      if (verdict.kind === 'run') return this.#commands.run(candidate, verdict);
      return await this.#commands.cycle(candidate, verdict);
    } catch (error) {
      if (!isSystemsFault(error)) throw error;
      return report.failed(candidate, opened, error);
    }
  }

  /** Looks and remembers in one step. What fwknopd took before us counts as remembered. @throws ReplayError */
  async #claim(packet: Packet, opened: Authentic): Promise<Claim> {
    const { replay, former = NONE } = this.#ports;
    const { id, message } = opened;
    const { timestampSeconds } = message;
    const claim = isAmong(former, packet) ? 'replayed' : await replay.claim({ id, timestampSeconds });
    this.#recent.add(packet, opened, claim === 'claimed' ? 'replayed' : claim);
    return claim;
  }

  /** Opens the doors of a grant, once it is known which hosts they lead to. @throws FirewallError, UnknownHostError */
  async #open(from: Sender, { grant: terms, opened }: GrantVerdict, epoch: number): Promise<void> {
    const { report } = this.#ports;
    const grant = await this.#grantOf(terms);
    if (grant === 'nat-target') return report.denied(from, opened, grant, null);
    const granted = await this.#keeper.grant(grant, holderOf(opened), epoch);
    if (granted === null) return report.revoked(from, opened);
    return report.granted(from, opened, { ...grant, destination: terms.destination }, granted.expiresAt);
  }

  /** The grant with the addresses of the hosts that it leads to; `nat-target`: it must not lead there. */
  async #grantOf({ forward: terms, destination, ...grant }: GrantTerms): Promise<Grant | 'nat-target'> {
    if (terms === null)
      return destination === null ? grant : { ...grant, forward: atAddress(destination, grant) };
    const forward = await this.#innerHosts.find(terms, grant.address);
    // As fwknopd: the message names one inner port, for one outer.
    return forward === 'nat-target' ? forward : { ...grant, ports: grant.ports.slice(0, 1), forward };
  }

  receive(datagram: Datagram): void {
    if (this.#closing !== null) return;
    this.#admit(datagram);
    this.#packets += 1;
    if (this.#packets === this.#parts.packetLimit) void this.close();
  }

  async reload(next: Configured): Promise<void> {
    if (this.#closing === null) await this.#begin(this.#reload(next));
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

  /** Nothing more comes in: an end in good order, unless `why` says that it is none. */
  receptionEnded(why: string | null): void {
    if (this.#closing !== null) return;
    if (why === null) return void this.close();
    this.#closing = this.#end().then(() => {
      throw new UnavailableError(why);
    });
    this.#settleClosed(this.#closing);
  }

  /** Resolves when it is decided; claiming and granting go on. */
  async #handleNow(candidate: Candidate, { gate, epoch }: Basis, proved: () => void): Promise<void> {
    if (this.#isRepeated(candidate)) return;
    if (this.#inFlight.size >= MAX_IN_FLIGHT) {
      return reportDropped(this.#ports.report, candidate.source, 'overload');
    }
    const clock = { nowSeconds: nowSeconds(), maxAgeSeconds: maxAgeOf(this.#config) };
    const deciding = gate.decide(candidate, clock);
    void this.#begin(this.handle(candidate, deciding, epoch, proved));
    await deciding;
  }

  /** True if exactly this packet was opened not long ago; then it is reported, and makes no work. */
  #isRepeated(candidate: Candidate): boolean {
    const { report } = this.#ports;
    const repeated = this.#recent.find(candidate.packet);
    if (repeated === null) return false;
    const { opened, spent } = repeated;
    if (spent === 'outdated') report.outdated(candidate, opened, nowSeconds() - oldestTime(opened));
    else report.notClaimed(candidate, opened, spent);
    return true;
  }

  /** The end waits for `work`. */
  #begin(work: Promise<void>): Promise<void> {
    this.#inFlight.add(work);
    return work.finally(() => this.#inFlight.delete(work));
  }

  async #reload({ config, stanzas, roster }: Configured): Promise<void> {
    for (const keyword of needsRestart(this.#config, config)) {
      this.#parts.log.warning(`${keyword} has changed: restart the daemon for it`);
    }
    const { reception, runFolder, replayStore, firewall } = this.#config;
    const next = { ...config, reception, runFolder, replayStore, firewall };
    await this.#keeper.change(policyOf(next, stanzas));
    const before = this.#stanzas;
    this.#config = next;
    this.#stanzas = stanzas;
    this.#roster = roster;
    this.#gate = createGate(stanzas);
    this.#recent = createRecentPackets(RECENT_PACKETS);
    await this.#closeDoorsOfOthers(before);
  }

  /**
   * Takes away what those hold whom the stanzas do not let in, if it is they who say who is let in: by a roster, or by
   * certifications. Packets that are on their way, and were judged by the stanzas of `before`, get nothing either.
   */
  async #closeDoorsOfOthers(before: readonly Stanza[]): Promise<void> {
    const stanzas = this.#stanzas;
    if (stanzas.every(({ signers }) => signers === null)) return;
    const now = nowSeconds();
    const earlier = signersOf(before);
    const wereIn = [...earlier.keys()].filter((signer) => mayComeIn(earlier.get(signer), now));
    const current = signersOf(stanzas);
    const holders = [...this.#keeper.operators(), ...this.#commands.operators()];
    for (const signer of new Set([...wereIn, ...holders])) {
      if (mayComeIn(current.get(signer), now)) continue;
      const name = earlier.get(signer)?.find((terms) => terms.name !== null)?.name ?? null;
      this.#parts.log.warning(
        `${name === null ? signer : `${name} (${signer})`} may not come in any more: closing the doors, not the connections`,
      );
      try {
        await this.#revoke({ by: 'operator', fingerprint: signer }, { cut: null });
      } catch (error) {
        // They are nobody's any more, and the keeper goes on until they are closed.
        if (!(error instanceof FirewallError)) throw error;
        this.#parts.log.error(error.message);
      }
    }
  }

  /** Doors close in the firewall, and by commands. @throws FirewallError and then those of commands close. */
  async #revoke(...[which, options]: Parameters<Answerer['revoke']>): ReturnType<Answerer['revoke']> {
    // First the keeper, who refuses whatever is on its way.
    const [revoked, byCommands] = await Promise.allSettled([
      this.#keeper.revoke(which, options),
      this.#commands.revoke(which),
    ]);
    if (revoked.status === 'rejected') throw revoked.reason;
    return { ...revoked.value, byCommands: byCommands.status === 'fulfilled' ? byCommands.value : 0 };
  }

  /** Doors to other hosts need more than rules. */
  #warnOfForwarding(): void {
    const warning = this.#stanzas.some(({ nat }) => nat.forwarding) ? forwardingWarning() : null;
    if (warning !== null && !this.#parts.dryRun) this.#parts.log.warning(warning);
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
      revoke: (which, options) => this.#revoke(which, options),
      firewall: this.#ports.firewall,
      counters: () => this.#counters(),
      roster: () => (this.#roster === null ? null : describeRoster(this.#roster)),
      protectedPorts: async () => protectedPorts(this.#config, this.#stanzas),
    });
  }

  async #counters(): Promise<CountersAnswer['counters']> {
    return [...this.#receptionCounters(), ...kernelCounters(await this.#ports.firewall.counters())];
  }

  #receptionCounters(): readonly Counter[] {
    const { reception, turnstile, report } = this.#ports;
    const closes = this.#commands.pending;
    const lost = reception.lost();
    return [
      ...reception.counters(),
      ...report.counters(),
      { what: 'waiting for public-key work', count: turnstile.waiting },
      ...(closes === 0 ? [] : [{ what: 'close commands still to be run', count: closes }]),
      ...(lost === null ? [] : [{ what: 'dropped by the kernel: the receive buffer was full', count: lost }]),
    ];
  }

  async #keepHouse(): Promise<void> {
    const { report, replay } = this.#ports;
    await this.#tellDrops();
    report.summarize();
    try {
      await replay.raiseFloor(nowSeconds() - maxAgeOf(this.#config));
    } catch (error) {
      if (!(error instanceof ReplayError)) throw error;
      this.#parts.log.error(error.message);
    }
  }

  async #end(): Promise<void> {
    const { reception, replay, firewall, report, turnstile } = this.#ports;
    clearInterval(this.#housekeeping);
    clearInterval(this.#watch);
    await this.#control?.close();
    await this.#tellDrops();
    await reception.close();
    await turnstile.close();
    await Promise.allSettled(this.#inFlight);
    report.summarize();
    const flush = this.#config.firewall.flushAtExit;
    this.#keeper.close({ flush });
    // Doors do not wait for commands, which may take their time.
    const closing = this.#commands.close({ runPending: flush });
    try {
      await firewall.close({ flush });
    } finally {
      await closing;
      await replay.close();
    }
  }
}

/** Doors of this host's own that are open at one of its addresses only. */
function atAddress(destination: IpAddress, { address, ports }: Grant): Forward {
  const target = { address: destination, port: ports[0]?.port ?? 0 };
  if (ipFamily(destination) !== ipFamily(address)) {
    throw new UnknownHostError(`${address} cannot reach ${destination}, to which the packet was sent`);
  }
  return { kind: 'local', target, translates: false, sourceAs: null, all: false };
}

/** Not the remote's fault, and the daemon lives on. */
function isSystemsFault(error: unknown): error is Error {
  return [ReplayError, FirewallError, UnknownHostError, JournalError].some((fault) => error instanceof fault);
}

function policyOf(config: ServerConfig, stanzas: readonly Stanza[]): GatePolicy {
  return {
    spaPorts: spaPorts(config.reception),
    protectedPorts: protectedPorts(config, stanzas),
    preFilter: preFilterOf(config),
    answers: config.firewall.answers,
    forwards: stanzas.some(({ nat, doorsAtDestination }) => doorsAtDestination || allowsNat(nat)),
  };
}

/** A request of HTTP does not begin like a packet. */
function preFilterOf({
  firewall: { preFilter },
  reception: { http },
}: ServerConfig): GatePolicy['preFilter'] {
  return preFilter === null ? null : { ...preFilter, beginnings: http === null ? packetBeginnings() : null };
}

function holderOf({ signer, message, stanzaNumber }: Authentic): Holder {
  return { operator: signer, username: message.username, stanza: stanzaNumber };
}

/** The message's time or its signature's, whichever is the older. */
function oldestTime({ message, signedAtSeconds }: Authentic): number {
  return Math.min(message.timestampSeconds, signedAtSeconds ?? message.timestampSeconds);
}

/** A capture may be of any age: whoever has it read wants to know what is in it. */
function maxAgeOf({ reception, maxPacketAgeSeconds }: ServerConfig): number {
  return reception.datagrams.kind === 'file' ? Number.POSITIVE_INFINITY : maxPacketAgeSeconds;
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
