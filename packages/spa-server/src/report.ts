import { formatProtoPorts, type IpAddress } from 'spa-core';
import type { Authentic, Datagram, DenyReason, IgnoreCode } from './decision/verdict.ts';
import type { FirewallCounter, Grant } from './firewall/firewall.ts';
import type { Claim } from './replay/replay-store.ts';
import type { Log } from './system/log.ts';
import type { DropReason } from './transport/turnstile.ts';

/** Lines about packets that anybody can send, or send again, in one period; the rest is summed up. */
const LINES_PER_PERIOD = 20;

/**
 * Tells the operator what became of packets. Each message that its sender's key made anew has its line; whatever
 * somebody without a key can cause, by junk or with a packet that was caught, has a bounded number.
 */
export interface Report {
  granted(from: Sender, opened: Authentic, grant: Grant, expiresAt: number): void;
  denied(from: Sender, opened: Authentic, reason: DenyReason): void;
  /** Permitted, and revoked before the door was open. */
  revoked(from: Sender, opened: Authentic): void;
  outdated(from: Sender, opened: Authentic, differenceSeconds: number): void;
  notClaimed(from: Sender, opened: Authentic, claim: Exclude<Claim, 'claimed'>): void;
  failed(from: Sender, opened: Authentic, error: Error): void;
  ignored(source: IpAddress, code: IgnoreCode | DropReason, detail: string): void;
  /** Packets that the kernel dropped before anybody saw them, since the last time. `receive-buffer`: it was full. */
  lost(reason: 'receive-buffer' | FirewallCounter['reason'], packets: number): void;
  /** Ends a period: sums up the packets that had no line of their own. */
  summarize(): void;
  /** What became of all packets since the start, in words, what the kernel dropped left out. */
  counters(): readonly Counter[];
}

/** Who a packet came from. */
export type Sender = Pick<Datagram, 'source'>;

/** So many packets. */
export interface Counter {
  readonly what: string;
  readonly count: number;
}

const DENIALS: Readonly<Record<DenyReason, string>> = {
  'stanza-expired': 'the stanza has expired (ACCESS_EXPIRE)',
  destination: 'it was sent to an address that the stanza is not for (DESTINATION)',
  'nat-not-allowed': 'it asks for NAT, which is not enabled (ENABLE_IPT_FORWARDING, ENABLE_IPT_LOCAL_NAT)',
  'nat-target': 'NAT must not lead there (NAT_TARGETS, OPEN_PORTS)',
  'command-not-allowed': 'it asks for a command, which the stanza does not allow (ENABLE_CMD_EXEC)',
  'not-certified': 'the key of its signer is not certified as the stanza requires (SPA_CERTIFIED_BY)',
  'signer-expired': 'the key of its signer, or the certification of it, has expired (SPA_CERTIFIED_BY)',
  'not-enrolled': 'its signer is not on the roster, or not any more (SPA_ROSTER)',
  user: 'the stanza requires another user name (REQUIRE_USERNAME)',
  'source-required': 'it names no address, which the stanza requires (REQUIRE_SOURCE_ADDRESS)',
  'port-restricted': 'the stanza forbids one of the ports (RESTRICT_PORTS)',
  'port-not-open': 'the stanza does not open all of the ports (OPEN_PORTS)',
  'port-not-enrolled': 'the roster does not give its signer all of the ports (SPA_ROSTER)',
};

const UNCLAIMED: Readonly<Record<Exclude<Claim, 'claimed'>, string>> = {
  replayed: 'replay: this message was accepted before',
  'before-floor': 'it was made before the replay store began; send a new one',
};

/** A report that writes to `log`. */
export function createReport(log: Log): Report {
  const junk = createQuota();
  const repeated = createQuota();
  const totals = new Map<string, number>();
  const ignored = new Map<string, number>();
  const dropped = new Map<string, number>();

  return {
    granted: (from, opened, grant, expiresAt) => {
      add(totals, 'opened', 1);
      const until = new Date(expiresAt).toISOString().slice(11, 19);
      const doors = `${formatProtoPorts(grant.ports)} for ${grant.address}`;
      log.info(`opened ${doors}, ${grant.timeoutSeconds} s until ${until} UTC: ${describe(from, opened)}`);
    },
    denied: (from, opened, reason) => {
      add(totals, `denied: ${reason}`, 1);
      log.warning(`denied ${request(opened)}: ${DENIALS[reason]}; ${describe(from, opened)}`);
    },
    revoked: (from, opened) => {
      add(totals, 'denied: revoked', 1);
      log.warning(
        `denied ${request(opened)}: it was revoked while it was being opened; ${describe(from, opened)}`,
      );
    },
    outdated: (from, opened, differenceSeconds) => {
      add(totals, 'denied: outdated', 1);
      if (!repeated.allows('outdated')) return;
      const off = differenceSeconds > 0 ? `${differenceSeconds} s old` : `${-differenceSeconds} s ahead`;
      log.warning(`denied ${request(opened)}: it is ${off}, check both clocks; ${describe(from, opened)}`);
    },
    notClaimed: (from, opened, claim) => {
      add(totals, `denied: ${claim}`, 1);
      if (!repeated.allows(claim)) return;
      log.warning(`denied ${request(opened)}: ${UNCLAIMED[claim]}; ${describe(from, opened)}`);
    },
    failed: (from, opened, error) => {
      add(totals, 'failed', 1);
      if (!repeated.allows('failed')) return;
      log.error(`could not open ${request(opened)}: ${error.message}; ${describe(from, opened)}`);
    },
    ignored: (source, code, detail) => {
      add(ignored, code, 1);
      const line = `ignored a packet from ${source}: ${detail} (${code})`;
      if (junk.allows(code)) log.info(line);
      else log.debug(line);
    },
    lost: (reason, packets) => {
      if (packets > 0) add(dropped, reason, packets);
    },
    summarize: () => {
      const junkLine = junk.renew();
      const repeatedLine = repeated.renew();
      if (junkLine !== null) log.info(`ignored ${junkLine}`);
      if (repeatedLine !== null) log.warning(`denied ${repeatedLine}`);
      if (dropped.has('receive-buffer')) log.warning(`the kernel dropped ${sumUp(dropped, 'packets')}`);
      else if (dropped.size > 0) log.info(`the kernel dropped ${sumUp(dropped, 'packets')}`);
      dropped.clear();
    },
    counters: () => [
      ...Array.from(totals, ([what, count]) => ({ what, count })),
      ...Array.from(ignored, ([code, count]) => ({ what: `ignored: ${code}`, count })),
    ],
  };
}

/** So many lines in a period. */
interface Quota {
  /** True if there may be a line; otherwise the packet is counted. */
  allows(code: string): boolean;
  /** Begins a period; what was counted in the last, `3 more packets: hmac 2, decrypt 1`, or null. */
  renew(): string | null;
}

function createQuota(): Quota {
  const counts = new Map<string, number>();
  let lines = 0;
  return {
    allows: (code) => {
      if (lines < LINES_PER_PERIOD) {
        lines += 1;
        return true;
      }
      add(counts, code, 1);
      return false;
    },
    renew: () => {
      lines = 0;
      if (counts.size === 0) return null;
      const line = sumUp(counts, 'more packets');
      counts.clear();
      return line;
    },
  };
}

function add(counts: Map<string, number>, what: string, count: number): void {
  counts.set(what, (counts.get(what) ?? 0) + count);
}

/** `107 packets: rate 100, length 7`. */
function sumUp(counts: ReadonlyMap<string, number>, noun: string): string {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const parts = [...counts].map(([what, count]) => `${what} ${count}`);
  return `${total} ${noun}: ${parts.join(', ')}`;
}

function request({ message: { request } }: Authentic): string {
  const what = request.kind === 'command' ? `command '${request.command}'` : formatProtoPorts(request.ports);
  return `${what} for ${request.source ?? 'its source'}`;
}

function describe(from: Sender, opened: Authentic): string {
  const signer = opened.signer === null ? '' : `, signed by ${opened.signer}`;
  const { id, message, stanzaNumber, operatorName } = opened;
  const operator = operatorName === null ? '' : `, operator ${operatorName}`;
  return `user ${message.username}${operator}${signer}, stanza #${stanzaNumber}, packet ${id.slice(0, 16)} from ${from.source}`;
}
