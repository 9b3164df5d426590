import { formatProtoPort, formatProtoPorts, type IpAddress } from 'spa-core';
import type { CommandOrigin } from './commands/cycle-journal.ts';
import type { CycleRound } from './commands/cycles.ts';
import type { Ending } from './commands/execute.ts';
import type { Account } from './decision/commands.ts';
import type { Authentic, Datagram, DenyReason, GrantTerms, IgnoreCode } from './decision/verdict.ts';
import type { FirewallCounter, Grant } from './firewall/firewall.ts';
import type { Asked, PacketOf } from './log/event.ts';
import type { Claim } from './replay/replay-store.ts';
import type { Log } from './system/log.ts';
import type { DropReason } from './transport/turnstile.ts';

/** Events of packets that anybody can send, or send again, in one period; the rest is summed up. */
const EVENTS_PER_PERIOD = 20;

/**
 * Tells the operator what became of packets. Each message that its sender's key made anew has its event; whatever
 * somebody without a key can cause, by junk or with a packet that was caught, has a bounded number.
 */
export interface Report {
  granted(from: Sender, opened: Authentic, grant: Granted, expiresAt: number): void;
  /** `requiredUsername`: what the stanza's `REQUIRE_USERNAME` says. */
  denied(from: Sender, opened: Authentic, reason: DenyReason, requiredUsername: string | null): void;
  /** Permitted, and not run: too many commands run. */
  busy(from: Sender, opened: Authentic): void;
  commandStarted(from: Sender, opened: Authentic, words: readonly string[], account: Account | null): void;
  commandEnded(origin: CommandOrigin, ending: Ending): void;
  cycleOpening(from: Sender, opened: Authentic, round: CycleRound): void;
  cycleClosing(origin: CommandOrigin, words: readonly string[]): void;
  /** Of an open or a close command. */
  cycleEnded(origin: CommandOrigin, words: readonly string[], ending: Ending): void;
  /** Permitted, and revoked before the door was open. */
  revoked(from: Sender, opened: Authentic): void;
  outdated(from: Sender, opened: Authentic, differenceSeconds: number): void;
  notClaimed(from: Sender, opened: Authentic, claim: Exclude<Claim, 'claimed'>): void;
  failed(from: Sender, opened: Authentic, error: Error): void;
  /** `stanza`: the first that might have opened it; null: there is none, or nobody has looked. */
  ignored(source: IpAddress, stanza: number | null, code: IgnoreCode | DropReason, detail: string): void;
  /** Packets that the kernel dropped before anybody saw them, since the last time. `receive-buffer`: it was full. */
  lost(reason: 'receive-buffer' | FirewallCounter['reason'], packets: number): void;
  /** Ends a period: sums up the packets that had no event of their own. */
  summarize(): void;
  /** What became of all packets since the start, in words, what the kernel dropped left out. */
  counters(): readonly Counter[];
}

/** What was opened. */
export type Granted = Grant & Pick<GrantTerms, 'destination'>;

/** Who a packet came from. */
export type Sender = Pick<Datagram, 'source'>;

/** So many packets. */
export interface Counter {
  readonly what: string;
  readonly count: number;
}

/** A report that writes to `log`. */
export function createReport(log: Log): Report {
  const junk = createQuota();
  const repeated = createQuota();
  const totals = new Map<string, number>();
  const ignored = new Map<string, number>();
  const dropped = new Map<string, number>();

  return {
    granted: (from, opened, { destination, ...grant }, expiresAt) => {
      add(totals, 'opened', 1);
      log.event({
        event: 'granted',
        ...asked(from, opened),
        address: grant.address,
        ports: grant.ports.map(formatProtoPort),
        timeoutSeconds: grant.timeoutSeconds,
        expiresAtSeconds: Math.floor(expiresAt / 1000),
        destination,
        forward: grant.forward ?? null,
      });
    },
    denied: (from, opened, reason, requiredUsername) => {
      add(totals, `denied: ${reason}`, 1);
      log.event({ event: 'denied', ...asked(from, opened), reason, requiredUsername });
    },
    busy: (from, opened) => {
      add(totals, 'denied: commands-busy', 1);
      log.event({ event: 'denied', ...asked(from, opened), reason: 'commands-busy', requiredUsername: null });
    },
    commandStarted: (from, opened, words, account) => {
      add(totals, 'commands', 1);
      const { request } = opened.message;
      const command = request.kind === 'command' ? request.command : words.join(' ');
      log.event({
        event: 'command-started',
        ...asked(from, opened),
        command,
        runs: words.join(' '),
        account,
      });
    },
    commandEnded: (origin, ending) => log.event({ event: 'command-ended', ...packetOf(origin), ending }),
    cycleOpening: (from, opened, { open, close, seconds }) => {
      add(totals, 'opened by commands', 1);
      log.event({
        event: 'cycle-opening',
        ...asked(from, opened),
        command: open.join(' '),
        closeCommand: close?.join(' ') ?? null,
        closesAfterSeconds: close === null ? null : seconds,
      });
    },
    cycleClosing: (origin, words) =>
      log.event({ event: 'cycle-closing', ...packetOf(origin), command: words.join(' ') }),
    cycleEnded: (origin, words, ending) =>
      log.event({ event: 'cycle-ended', ...packetOf(origin), command: words.join(' '), ending }),
    revoked: (from, opened) => {
      add(totals, 'denied: revoked', 1);
      log.event({ event: 'denied', ...asked(from, opened), reason: 'revoked', requiredUsername: null });
    },
    outdated: (from, opened, differenceSeconds) => {
      add(totals, 'denied: outdated', 1);
      if (!repeated.allows('outdated')) return;
      log.event({ event: 'outdated', ...asked(from, opened), differenceSeconds });
    },
    notClaimed: (from, opened, reason) => {
      add(totals, `denied: ${reason}`, 1);
      if (!repeated.allows(reason)) return;
      log.event({ event: 'not-claimed', ...asked(from, opened), reason });
    },
    failed: (from, opened, error) => {
      add(totals, 'failed', 1);
      if (!repeated.allows('failed')) return;
      log.event({ event: 'failed', ...asked(from, opened), problem: error.message });
    },
    ignored: (source, stanza, code, detail) => {
      add(ignored, code, 1);
      if (junk.allows(code)) log.event({ event: 'ignored', source, stanza, code, detail });
      else log.debug(`ignored a packet from ${source}: ${detail} (${code})`);
    },
    lost: (reason, packets) => {
      if (packets > 0) add(dropped, reason, packets);
    },
    summarize: () => {
      const junkPackets = junk.renew();
      const repeatedPackets = repeated.renew();
      if (junkPackets !== null) log.event({ event: 'summary', what: 'ignored', packets: junkPackets });
      if (repeatedPackets !== null) log.event({ event: 'summary', what: 'denied', packets: repeatedPackets });
      if (dropped.size > 0) log.event({ event: 'dropped-by-kernel', packets: Object.fromEntries(dropped) });
      dropped.clear();
    },
    counters: () => [
      ...Array.from(totals, ([what, count]) => ({ what, count })),
      ...Array.from(ignored, ([code, count]) => ({ what: `ignored: ${code}`, count })),
    ],
  };
}

/** So many events in a period. */
interface Quota {
  /** True if there may be an event; otherwise the packet is counted. */
  allows(code: string): boolean;
  /** Begins a period; what was counted in the last by code, or null. */
  renew(): Readonly<Record<string, number>> | null;
}

function createQuota(): Quota {
  const counts = new Map<string, number>();
  let events = 0;
  return {
    allows: (code) => {
      if (events < EVENTS_PER_PERIOD) {
        events += 1;
        return true;
      }
      add(counts, code, 1);
      return false;
    },
    renew: () => {
      events = 0;
      if (counts.size === 0) return null;
      const packets = Object.fromEntries(counts);
      counts.clear();
      return packets;
    },
  };
}

function add(counts: Map<string, number>, what: string, count: number): void {
  counts.set(what, (counts.get(what) ?? 0) + count);
}

function asked({ source }: Sender, opened: Authentic): Asked {
  const { id, message, signer, stanzaNumber, operatorName } = opened;
  return {
    source,
    stanza: stanzaNumber,
    username: message.username,
    operator: operatorName,
    fingerprint: signer,
    packet: id,
    request: request(opened),
  };
}

function packetOf({ source, stanza, id }: CommandOrigin): PacketOf {
  return { source, stanza, packet: id };
}

function request({ message: { request } }: Authentic): string {
  const what = request.kind === 'command' ? `command '${request.command}'` : formatProtoPorts(request.ports);
  return `${what} for ${request.source ?? 'its source'}`;
}
