import { formatProtoPorts, type IpAddress } from 'spa-core';
import type { Authentic, Datagram, DenyReason, IgnoreCode } from './decision/verdict.ts';
import type { Grant } from './firewall/firewall.ts';
import type { Claim } from './replay/replay-store.ts';
import type { Log } from './system/log.ts';

/** Lines about packets that anybody can send, or send again, in one period; the rest is summed up. */
const LINES_PER_PERIOD = 20;

/**
 * Tells the operator what became of packets. Each message that its sender's key made anew has its line; whatever
 * somebody without a key can cause, by junk or with a packet that was caught, has a bounded number.
 */
export interface Report {
  granted(datagram: Datagram, opened: Authentic, grant: Grant, expiresAt: number): void;
  denied(datagram: Datagram, opened: Authentic, reason: DenyReason): void;
  /** Permitted, and revoked before the door was open. */
  revoked(datagram: Datagram, opened: Authentic): void;
  outdated(datagram: Datagram, opened: Authentic, differenceSeconds: number): void;
  notClaimed(datagram: Datagram, opened: Authentic, claim: Exclude<Claim, 'claimed'>): void;
  failed(datagram: Datagram, opened: Authentic, error: Error): void;
  ignored(source: IpAddress, code: IgnoreCode | 'overload', detail: string): void;
  /** Ends a period: sums up the packets that had no line of their own. */
  summarize(): void;
}

const DENIALS: Readonly<Record<DenyReason, string>> = {
  user: 'the stanza requires another user name (REQUIRE_USERNAME)',
  'source-required': 'it names no address, which the stanza requires (REQUIRE_SOURCE_ADDRESS)',
  'port-restricted': 'the stanza forbids one of the ports (RESTRICT_PORTS)',
  'port-not-open': 'the stanza does not open all of the ports (OPEN_PORTS)',
};

const UNCLAIMED: Readonly<Record<Exclude<Claim, 'claimed'>, string>> = {
  replayed: 'replay: this message was accepted before',
  'before-floor': 'it was made before the replay store began; send a new one',
};

/** A report that writes to `log`. */
export function createReport(log: Log): Report {
  const junk = createQuota();
  const repeated = createQuota();

  return {
    granted: (datagram, opened, grant, expiresAt) => {
      const until = new Date(expiresAt).toISOString().slice(11, 19);
      const doors = `${formatProtoPorts(grant.ports)} for ${grant.address}`;
      log.info(
        `opened ${doors}, ${grant.timeoutSeconds} s until ${until} UTC: ${describe(datagram, opened)}`,
      );
    },
    denied: (datagram, opened, reason) => {
      log.warning(`denied ${request(opened)}: ${DENIALS[reason]}; ${describe(datagram, opened)}`);
    },
    revoked: (datagram, opened) => {
      log.warning(
        `denied ${request(opened)}: it was revoked while it was being opened; ${describe(datagram, opened)}`,
      );
    },
    outdated: (datagram, opened, differenceSeconds) => {
      if (!repeated.allows('outdated')) return;
      const off = differenceSeconds > 0 ? `${differenceSeconds} s old` : `${-differenceSeconds} s ahead`;
      log.warning(
        `denied ${request(opened)}: it is ${off}, check both clocks; ${describe(datagram, opened)}`,
      );
    },
    notClaimed: (datagram, opened, claim) => {
      if (!repeated.allows(claim)) return;
      log.warning(`denied ${request(opened)}: ${UNCLAIMED[claim]}; ${describe(datagram, opened)}`);
    },
    failed: (datagram, opened, error) => {
      if (!repeated.allows('failed')) return;
      log.error(`could not open ${request(opened)}: ${error.message}; ${describe(datagram, opened)}`);
    },
    ignored: (source, code, detail) => {
      const line = `ignored a packet from ${source}: ${detail} (${code})`;
      if (junk.allows(code)) log.info(line);
      else log.debug(line);
    },
    summarize: () => {
      const ignored = junk.renew();
      const denied = repeated.renew();
      if (ignored !== null) log.info(`ignored ${ignored}`);
      if (denied !== null) log.warning(`denied ${denied}`);
    },
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
      counts.set(code, (counts.get(code) ?? 0) + 1);
      return false;
    },
    renew: () => {
      lines = 0;
      if (counts.size === 0) return null;
      const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
      const parts = [...counts].map(([code, count]) => `${code} ${count}`);
      counts.clear();
      return `${total} more packets: ${parts.join(', ')}`;
    },
  };
}

function request({ message }: Authentic): string {
  return `${formatProtoPorts(message.request.ports)} for ${message.request.source ?? 'its source'}`;
}

function describe(datagram: Datagram, opened: Authentic): string {
  const signer = opened.signer === null ? '' : `, signed by ${opened.signer}`;
  const { id, message, stanzaNumber } = opened;
  return `user ${message.username}${signer}, stanza #${stanzaNumber}, packet ${id.slice(0, 16)} from ${datagram.source}`;
}
