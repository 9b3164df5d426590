import { isDeepStrictEqual } from 'node:util';
import { formatProtoPort, type IpNetwork, type ProtoPort } from 'spa-core';
import { UsageError } from 'spa-host';
import { doorKey, formatDoor } from '../firewall/doors.ts';
import {
  type Door,
  type DoorChange,
  type DoorName,
  type Firewall,
  FirewallError,
  type GatePolicy,
  type Grant,
  type Takeover,
} from '../firewall/firewall.ts';
import { forwardOf } from '../firewall/forward.ts';
import { createTurns } from '../firewall/in-turn.ts';
import type { SeveralDoors } from '../log/event.ts';
import type { Log } from '../system/log.ts';
import type { Connections, Cut } from './cut.ts';
import {
  createLedger,
  doorsOf as doorsOfGrant,
  type GrantSelector,
  isMeant,
  type Ledger,
  type LedgerDoor,
  type LiveGrant,
  type Meant,
} from './ledger.ts';
import type { LedgerFile, LedgerFileContent } from './ledger-file.ts';
import { findOverdue, reconcile } from './reconcile.ts';
import { formatSelector } from './selector.ts';

/** What a doorkeeper is made of. */
export interface DoorkeeperParts {
  readonly firewall: Firewall;
  readonly log: Log;
  /** Where grants are kept for the next daemon; null: nowhere. */
  readonly record: GrantRecord | null;
  /** Milliseconds of a clock that nobody can set. */
  readonly now: () => number;
  /** Milliseconds since epoch: the clock that somebody may set. */
  readonly wallNow: () => number;
  cut(connections: readonly Connections[]): Promise<Cut>;
}

/** Where a doorkeeper finds what the last one knew, and writes what the next one has to know. */
export interface GrantRecord {
  /** @throws the system's error if it cannot be read. */
  read(): LedgerFileContent;
  /** Begins anew, with these grants. @throws the system's error if it cannot be written. */
  begin(grants: () => readonly LiveGrant[]): LedgerFile;
  /** Goes on where the last one ended, with what was read. @throws the system's error if it cannot be written. */
  resume(content: LedgerFileContent, grants: () => readonly LiveGrant[]): LedgerFile;
}

/** Who gets a grant. */
export type Holder = Pick<LiveGrant, 'operator' | 'username' | 'stanza'>;

/** An open door and whose it is. */
export interface HeldDoor extends Door {
  /** Empty: nobody knows. */
  readonly grants: readonly LiveGrant[];
}

/** What a revocation came to. */
export interface Revocation {
  readonly grants: readonly LiveGrant[];
  readonly closed: readonly DoorName[];
  /** Doors that somebody else's grants hold open still, with less time perhaps. */
  readonly kept: readonly HeldDoor[];
  /** Null: nothing was to be cut. */
  readonly cut: Cut | null;
}

/** Revocations that a packet may still have to be measured by: no packet is under way for so long. */
const REMEMBER_REVOCATIONS_MS = 10 * 60_000;
/** To list more doors than these takes the kernel longer than to begin with what the record says. */
const LISTED_DOORS = 10_000;
/** Doors that are brought in line in one change. */
const DOORS_PER_CHANGE = 1_000;
/** Grants that end in one second and have an event of their own. */
const ENDS_TOLD = 100;
/** The clock was set, and did not merely drift. */
const CLOCK_STEP_MS = 1_500;
/** How long to wait after the firewall has failed: twice as long each time. */
const BACKOFF_MS = { first: 1_000, longest: 5_000 } as const;

/**
 * Knows who holds which door open, and sees to it that the kernel's doors are those: opens them, revokes them, and puts
 * them back if somebody else has swept them away.
 *
 * A grant is in the ledger before its door opens and as long as it lives. All that changes doors goes to the firewall in the
 * order in which it is in the ledger; whatever the firewall may not have done is done again later.
 */
export class Doorkeeper {
  readonly #parts: DoorkeeperParts;
  #ledger: Ledger = createLedger();
  readonly #installInTurn = createTurns();
  #file: LedgerFile | null = null;
  #policy: GatePolicy | null = null;
  /** Grants whose doors are being opened. */
  readonly #opening = new Map<string, Promise<unknown>>();
  #revocations: readonly { readonly epoch: number; readonly at: number; readonly which: GrantSelector }[] =
    [];
  #epoch = 0;
  /** Doors that the firewall may have otherwise than the ledger. */
  readonly #unsettled = new Map<string, DoorName>();
  #trouble: { readonly since: number; readonly waitMs: number; readonly retryAt: number } | null = null;
  #looking: Promise<void> | null = null;
  /** A look at the rules that has not begun yet. */
  #nextMend: Promise<void> | null = null;
  /** Grants that are tried a second time. */
  #openingAgain = 0;
  /** The difference of the two clocks. */
  #clockOffset: number;

  constructor(parts: DoorkeeperParts) {
    this.#parts = parts;
    this.#clockOffset = parts.wallNow() - parts.now();
  }

  /**
   * Puts the rules in place for the first time, and learns what is open. It opens no door: after a reboot, or if somebody
   * has closed doors meanwhile, closed they stay.
   * @throws FirewallError
   */
  async start(policy: GatePolicy, { flush }: { readonly flush: boolean }): Promise<void> {
    const remembered = flush ? NOTHING : this.#readRecord();
    const ledger = ledgerOf(remembered);
    const takeover = this.#takeover(remembered, ledger);
    await this.#install(policy, { flush, doors: () => [], takeover });
    if (flush) return this.#beginRecord();
    if (takeover !== null && takeover.mark === this.#parts.firewall.mark()) {
      this.#ledger = ledger;
      await this.#settle(doorsOf(remembered.revoked.filter(({ endsAt }) => endsAt > this.#now())));
      return this.#beginRecord(remembered);
    }
    const overdue = await this.#adopt(remembered);
    if (overdue.length === 0) return;
    await this.#settle(overdue);
    this.#parts.log.warning(
      `${count(overdue.length, 'door')} would have stayed open longer than granted: the clock was set back while no daemon ran`,
    );
  }

  /**
   * Takes over what is open; of what was revoked the doors that are open still are closed. Resolves to those that the kernel
   * would keep open longer than they were granted. @throws FirewallError
   */
  adopt(): Promise<readonly DoorName[]> {
    return this.#adopt(this.#readRecord());
  }

  async #adopt(remembered: LedgerFileContent): Promise<readonly DoorName[]> {
    const open = await this.#parts.firewall.list();
    for (const grant of reconcile(remembered, open, this.#now())) this.#ledger.add(grant);
    const isOpen = new Set(open.map(doorKey));
    const revoked = remembered.revoked.filter(({ endsAt }) => endsAt > this.#now());
    await this.#settle(doorsOf(revoked).filter((door) => isOpen.has(doorKey(door))));
    const overdue = findOverdue({ ...remembered, revoked: [] }, open, this.#now());
    this.#beginRecord();
    return overdue;
  }

  /** Goes on with another policy; doors stay open. @throws FirewallError and then the old one is in force. */
  change(policy: GatePolicy): Promise<void> {
    return this.#install(policy, { flush: false, doors: () => this.#wanted() });
  }

  /** Where the line is drawn between packets before a revocation and those after it: see {@link Doorkeeper.grant}. */
  get epoch(): number {
    return this.#epoch;
  }

  /**
   * Opens the doors of `wanted` and resolves as the firewall does, or to null if they were revoked meanwhile: by any
   * revocation since `epoch`, which is from when the packet arrived.
   * @throws FirewallError and then no door was opened, or it is closed again as soon as the firewall can.
   */
  async grant(wanted: Grant, holder: Holder, epoch: number): Promise<{ readonly expiresAt: number } | null> {
    const { id, address, ports, timeoutSeconds } = wanted;
    const { operator, username, stanza } = holder;
    const live: LiveGrant = {
      id,
      operator,
      username,
      stanza,
      address,
      ports,
      endsAt: this.#now() + timeoutSeconds * 1000,
      ...forwardOf(wanted),
    };
    if (this.isRevokedSince(epoch, live)) return null;
    const latest = this.#epoch;
    this.#ledger.add(live);
    this.#file?.added(live);
    const opening = this.#open(wanted);
    this.#opening.set(id, opening);
    try {
      const opened = await opening;
      // Whoever revoked it waits for this moment, and then closes what was opened.
      return this.isRevokedSince(latest, live) ? null : opened;
    } catch (error) {
      this.#forget([live]);
      this.#doubt(doorsOf([live]));
      throw error;
    } finally {
      this.#opening.delete(id);
    }
  }

  /** True if any revocation since `epoch` was meant for this grant. */
  isRevokedSince(epoch: number, grant: Meant): boolean {
    return this.#revocations.some(
      (revocation) => revocation.epoch > epoch && isMeant(revocation.which, grant),
    );
  }

  /**
   * Takes grants away, and brings their doors to what other grants leave of them, in one change. A packet that is being
   * looked at now gets none of them either. With `cut` connections through the doors that close are ended too, and of an
   * address all to the ports of `cut`, however long ago their door was open; null ends none.
   * @throws FirewallError: then the grants are gone, and closing the doors is tried again every second.
   */
  async revoke(
    which: GrantSelector,
    { cut }: { readonly cut: readonly ProtoPort[] | null },
  ): Promise<Revocation> {
    const { firewall, log } = this.#parts;
    const grants = this.#ledger.grants(which, this.#now());
    if (which.by === 'grant' && grants.length > 1) {
      throw new UsageError(`grant: ${grants.length} ids begin with "${which.id}"; write more of it`);
    }
    this.#epoch += 1;
    this.#revocations = [
      ...this.#revocations.filter(({ at }) => at > this.#now() - REMEMBER_REVOCATIONS_MS),
      { epoch: this.#epoch, at: this.#now(), which },
    ];
    this.#forget(grants);
    await Promise.allSettled(grants.map(({ id }) => this.#opening.get(id)));
    const concerned = uniqueDoors([
      ...doorsOf(grants),
      ...(await firewall.list()).filter(isDoorMeant(which)),
    ]);
    await this.#settle(concerned);
    const held = concerned.map((name) => this.#held(name));
    const kept = held.filter(({ grants: holders }) => holders.length > 0);
    const closed = held.filter(({ grants: holders }) => holders.length === 0);
    log.event({
      ...{ event: 'revoked', of: formatSelector(which), grants: grants.length },
      ...{ closed: severalDoors(closed), kept: severalDoors(kept) },
    });
    const revoked = { grants, closed, kept };
    if (cut === null) return { ...revoked, cut: null };
    const done = await this.#parts.cut(connectionsOf(which, closed, cut));
    log.event({ event: 'cut', connections: done.connections, problem: done.problem });
    return { ...revoked, cut: done };
  }

  /** What is open, as the kernel says, and whose it is. @throws FirewallError */
  async list(): Promise<readonly HeldDoor[]> {
    const doors = await this.#parts.firewall.list();
    return doors.map((door) => ({ ...door, grants: this.#ledger.grantsOf(door, this.#now()) }));
  }

  /** The fingerprints of those who hold live grants, as far as they are known, each once. */
  operators(): readonly string[] {
    const grants = this.#ledger.grants({ by: 'all' }, this.#now());
    return [...new Set(grants.flatMap(({ operator }) => operator ?? []))];
  }

  /** How long a grant lives still, in seconds. */
  remainingSeconds({ endsAt }: Pick<LiveGrant, 'endsAt'>): number {
    return Math.max(0, Math.floor((endsAt - this.#now()) / 1000));
  }

  /**
   * Looks after the doors; for every second. Finds rules that somebody has changed and puts them back with all doors, and
   * does what the firewall could not do before. It never rejects for the firewall's failures: those it logs, once.
   */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  /** Ends the record; the firewall is the caller's. `flush`: he shuts all doors, so that the record does not say where they are. */
  close({ flush }: { readonly flush: boolean } = { flush: false }): void {
    if (flush) this.#file?.marked(null);
    this.#file?.close();
    this.#file = null;
  }

  async #look(): Promise<void> {
    this.#tellEnds(this.#ledger.expire(this.#now()));
    this.#watchClock();
    if (this.#now() < (this.#trouble?.retryAt ?? 0)) return;
    try {
      await this.#mend();
      await this.#settle([...this.#unsettled.values()]);
      if (this.#trouble !== null) {
        const seconds = Math.round((this.#now() - this.#trouble.since) / 1000);
        this.#parts.log.warning(`the firewall works again, after ${seconds} s`);
      }
      this.#trouble = null;
    } catch (error) {
      if (!(error instanceof FirewallError)) throw error;
      this.#noteTrouble(error);
    }
  }

  /** The kernel has closed their doors by itself, unless other grants hold them open. */
  #tellEnds(ended: readonly LiveGrant[]): void {
    for (const grant of ended.slice(0, ENDS_TOLD)) this.#tellEnd(grant);
    if (ended.length > ENDS_TOLD) this.#parts.log.info(`ended ${ended.length - ENDS_TOLD} more grants`);
  }

  #tellEnd({ id, address, ports, username, operator, endsAt, forward }: LiveGrant): void {
    const endedAt = this.#parts.wallNow() - (this.#now() - endsAt);
    this.#parts.log.event({
      ...{ event: 'ended', packet: id, address, ports: ports.map(formatProtoPort), username },
      ...{ fingerprint: operator, expiresAtSeconds: Math.floor(endedAt / 1000), forward: forward ?? null },
    });
  }

  /** A record that cannot be read is none: what is open then is nobody's. */
  #readRecord(): LedgerFileContent {
    const { record, log } = this.#parts;
    if (record === null) return NOTHING;
    try {
      const content = record.read();
      if (content.damagedLines > 0) {
        log.warning(
          `the record of grants has ${count(content.damagedLines, 'damaged line')}, which were skipped`,
        );
      }
      return content;
    } catch (error) {
      log.error(`the record of grants cannot be read: ${describeSystemError(error)}`);
      return NOTHING;
    }
  }

  /** What the record says is open, if there is so much of it that the kernel is better not asked; else null. */
  #takeover({ mark }: LedgerFileContent, ledger: Ledger): Takeover | null {
    if (mark === null || ledger.size <= LISTED_DOORS) return null;
    const doors = ledger.doors(this.#now());
    return doors.length <= LISTED_DOORS ? null : { mark, doors: doors.map((door) => this.#changeFor(door)) };
  }

  /** Doors matter more than the record of them. */
  #beginRecord(resumed: LedgerFileContent | null = null): void {
    const { record, log } = this.#parts;
    const grants = (): readonly LiveGrant[] => this.#ledger.grants({ by: 'all' }, this.#now());
    try {
      const file = resumed === null ? record?.begin(grants) : record?.resume(resumed, grants);
      this.#file = file ?? null;
      this.#file?.marked(this.#parts.firewall.mark());
    } catch (error) {
      log.error(
        `grants are not recorded, so that after a restart nobody knows whose they are: ${describeSystemError(error)}`,
      );
    }
  }

  /** A door that goes by the clock (iptables) goes wrong with it: all are set anew, with what the ledger leaves them. */
  #watchClock(): void {
    const offset = this.#parts.wallNow() - this.#now();
    const step = offset - this.#clockOffset;
    if (Math.abs(step) < CLOCK_STEP_MS) return;
    this.#clockOffset = offset;
    const seconds = Math.round(Math.abs(step) / 1000);
    this.#parts.log.warning(
      `the clock jumped ${seconds} s ${step > 0 ? 'ahead' : 'back'}; doors keep their time`,
    );
    this.#doubt(this.#ledger.doors(this.#now()));
  }

  #noteTrouble(error: FirewallError): void {
    const { log } = this.#parts;
    const before = this.#trouble;
    const waitMs = Math.min((before?.waitMs ?? BACKOFF_MS.first / 2) * 2, BACKOFF_MS.longest);
    const now = this.#now();
    this.#trouble = { since: before?.since ?? now, waitMs, retryAt: now + waitMs };
    if (before === null) log.error(`${error.message}; trying again until it works`);
  }

  /** Opens doors; if the rules for it are gone, they are put back first. What takes longer is taken off their time. */
  async #open(wanted: Grant): Promise<{ readonly expiresAt: number }> {
    const { firewall, log } = this.#parts;
    const begunAt = this.#now();
    try {
      return await firewall.grant(wanted);
    } catch (error) {
      if (!(error instanceof FirewallError)) throw error;
      // A firewall that has failed again and again is left to the watch: not every packet tries to mend it.
      if ((this.#trouble?.waitMs ?? 0) > BACKOFF_MS.first) throw error;
      // A burst fails as a whole, for one reason.
      if (this.#openingAgain === 0) log.warning(`${error.message}; trying again`);
      this.#openingAgain += 1;
      try {
        await this.#mend();
        const timeoutSeconds = wanted.timeoutSeconds - lateSeconds(this.#now() - begunAt);
        if (timeoutSeconds <= 0) throw error;
        return await firewall.grant({ ...wanted, timeoutSeconds });
      } finally {
        this.#openingAgain -= 1;
      }
    }
  }

  /** Puts the rules back if they do not stand. Who asks before it has begun shares it. @throws FirewallError */
  #mend(): Promise<void> {
    const { firewall, log } = this.#parts;
    this.#nextMend ??= this.#installInTurn(async () => {
      this.#nextMend = null;
      if (this.#policy === null || (await firewall.isIntact())) return;
      const doors = this.#wanted();
      await firewall.install(this.#policy, { flush: false, doors });
      this.#file?.marked(firewall.mark());
      log.warning(
        `the firewall's rules were changed by somebody; put back with ${count(doors.length, 'open door')}`,
      );
    });
    return this.#nextMend;
  }

  #install(policy: GatePolicy, { flush, doors, takeover = null }: InstallPlan): Promise<void> {
    const { firewall } = this.#parts;
    return this.#installInTurn(async () => {
      const more = takeover === null ? {} : { takeover };
      const warnings = await firewall.install(policy, { flush, doors: doors(), ...more });
      this.#file?.marked(firewall.mark());
      for (const warning of warnings) this.#parts.log.warning(warning);
      this.#policy = policy;
    });
  }

  /** All doors that ought to be open, each for what is left of its time. */
  #wanted(): readonly DoorChange[] {
    return this.#ledger
      .doors(this.#now())
      .map((door) => this.#changeOf(door))
      .filter(({ timeoutSeconds }) => timeoutSeconds !== null);
  }

  /** Brings doors to what the ledger says now. What fails is done later. @throws FirewallError */
  async #settle(doors: readonly DoorName[]): Promise<void> {
    this.#doubt(doors);
    for (let done = 0; done < doors.length; done += DOORS_PER_CHANGE) {
      let due: readonly DoorName[] = doors.slice(done, done + DOORS_PER_CHANGE);
      while (due.length > 0) due = await this.#settleSome(due);
    }
  }

  #held(name: DoorName): HeldDoor {
    const door = this.#ledger.door(name, this.#now());
    return {
      ...{ address: name.address, port: name.port, grantId: door?.grantId ?? null },
      ...forwardOf(door ?? name),
      remainingSeconds: door === null ? 0 : this.remainingSeconds(door),
      grants: this.#ledger.grantsOf(name, this.#now()),
    };
  }

  /** Resolves to the doors that got another grant meanwhile: the firewall may have opened them before our change. */
  async #settleSome(doors: readonly DoorName[]): Promise<readonly DoorName[]> {
    const stateOf = (name: DoorName): string => {
      const door = this.#ledger.door(name, this.#now());
      return door === null ? '' : `${door.grantId} ${door.endsAt}`;
    };
    const before = doors.map(stateOf);
    await this.#parts.firewall.adjust(doors.map((name) => this.#changeOf(name)));
    for (const door of doors) this.#unsettled.delete(doorKey(door));
    return doors.filter((name, index) => stateOf(name) !== before[index] && stateOf(name) !== '');
  }

  #doubt(doors: readonly DoorName[]): void {
    for (const door of doors) this.#unsettled.set(doorKey(door), nameOf(door));
  }

  #changeOf(name: DoorName): DoorChange {
    const door = this.#ledger.door(name, this.#now());
    return door === null ? { ...nameOf(name), timeoutSeconds: null, grantId: null } : this.#changeFor(door);
  }

  #changeFor({ address, port, endsAt, grantId, forward }: LedgerDoor): DoorChange {
    const timeoutSeconds = (endsAt - this.#now()) / 1000;
    if (forward === undefined) return { address, port, timeoutSeconds, grantId };
    return { address, port, timeoutSeconds, grantId, forward };
  }

  #forget(grants: readonly LiveGrant[]): void {
    const ids = grants.map(({ id }) => id);
    this.#ledger.delete(ids);
    this.#file?.revoked(ids);
  }

  #now(): number {
    return this.#parts.now();
  }
}

/** Whole seconds, so that no door is open for longer than its grant; less than one is none. */
function lateSeconds(ms: number): number {
  return ms < 1000 ? 0 : Math.ceil(ms / 1000);
}

/** How rules are put in place. */
interface InstallPlan {
  readonly flush: boolean;
  readonly doors: () => readonly DoorChange[];
  readonly takeover?: Takeover | null;
}

const NOTHING: LedgerFileContent = { grants: [], revoked: [], mark: null, damagedLines: 0 };

function ledgerOf({ grants }: LedgerFileContent): Ledger {
  const ledger = createLedger();
  for (const grant of grants) ledger.add(grant);
  return ledger;
}

/** @throws what is no error of the system's. */
function describeSystemError(error: unknown): string {
  if (error instanceof Error && 'syscall' in error) return error.message;
  throw error;
}

/** Each once: programs are started for them. */
function connectionsOf(
  which: GrantSelector,
  closed: readonly DoorName[],
  ports: readonly ProtoPort[],
): readonly Connections[] {
  const through = closed.flatMap(({ address, port, forward }) =>
    throughPorts(port, forward).map((one) => ({ from: hostOf(address), port: one })),
  );
  if (which.by !== 'address') return through;
  const all = [...through, ...ports.map((port) => ({ from: which.network, port }))];
  return all.filter((one, index) => all.findIndex((other) => isDeepStrictEqual(one, other)) === index);
}

/** A connection is known by the port that the client chose; a socket on this host by the one that it was led to. */
function throughPorts(port: ProtoPort, forward: DoorName['forward']): readonly ProtoPort[] {
  if (forward?.kind !== 'local' || forward.target === null) return [port];
  return [port, { protocol: port.protocol, port: forward.target.port }];
}

function hostOf(address: IpNetwork['address']): IpNetwork {
  return { address, prefixLength: address.includes(':') ? 128 : 32 };
}

/** Doors that no grant of the ledger explains can be named by their address, or by what their rule says. */
function isDoorMeant(which: GrantSelector): (door: Door) => boolean {
  return ({ address, grantId }) =>
    isMeant(which, { id: grantId ?? '', operator: null, username: null, address });
}

function doorsOf(grants: readonly LiveGrant[]): readonly DoorName[] {
  return grants.flatMap(doorsOfGrant);
}

/** What names a door, without whatever else is known of it. */
function nameOf(door: DoorName): DoorName {
  return { address: door.address, port: door.port, ...forwardOf(door) };
}

function uniqueDoors(doors: readonly DoorName[]): readonly DoorName[] {
  return [...new Map(doors.map((door) => [doorKey(door), door])).values()];
}

/** So many doors are named. */
const DOORS_NAMED = 5;

function severalDoors(doors: readonly DoorName[]): SeveralDoors {
  const first = doors.slice(0, DOORS_NAMED).map((door) => `${formatDoor(door)} for ${door.address}`);
  return { count: doors.length, first };
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
