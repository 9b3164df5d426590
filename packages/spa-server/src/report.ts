import { formatProtoPorts, type IpAddress } from 'spa-core';
import type { Authentic, Datagram, DenyReason, IgnoreCode } from './decision/verdict.ts';
import type { Grant } from './firewall/firewall.ts';
import type { Claim } from './replay/replay-store.ts';
import type { Log } from './system/log.ts';

/** Lines about ignored packets that are written in one period; the rest is summed up. */
const IGNORED_LINES = 20;

/** Tells the operator what became of packets: one line for each authentic one, a bounded number for the rest. */
export interface Report {
  granted(datagram: Datagram, opened: Authentic, grant: Grant, expiresAt: number): void;
  denied(datagram: Datagram, opened: Authentic, reason: DenyReason): void;
  outdated(datagram: Datagram, opened: Authentic, differenceSeconds: number): void;
  notClaimed(datagram: Datagram, opened: Authentic, claim: Exclude<Claim, 'claimed'>): void;
  failed(datagram: Datagram, opened: Authentic, error: Error): void;
  ignored(source: IpAddress, code: IgnoreCode | 'overload', detail: string): void;
  /** Ends a period: one line that sums up the ignored packets that had none of their own. */
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
  const counts = new Map<string, number>();
  let lines = 0;

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
    outdated: (datagram, opened, differenceSeconds) => {
      const off = differenceSeconds > 0 ? `${differenceSeconds} s old` : `${-differenceSeconds} s ahead`;
      log.warning(
        `denied ${request(opened)}: it is ${off}, check both clocks; ${describe(datagram, opened)}`,
      );
    },
    notClaimed: (datagram, opened, claim) => {
      log.warning(`denied ${request(opened)}: ${UNCLAIMED[claim]}; ${describe(datagram, opened)}`);
    },
    failed: (datagram, opened, error) => {
      log.error(`could not open ${request(opened)}: ${error.message}; ${describe(datagram, opened)}`);
    },
    ignored: (source, code, detail) => {
      lines += 1;
      if (lines <= IGNORED_LINES) log.info(`ignored a packet from ${source}: ${detail} (${code})`);
      else counts.set(code, (counts.get(code) ?? 0) + 1);
    },
    summarize: () => {
      lines = 0;
      if (counts.size === 0) return;
      const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
      const parts = [...counts].map(([code, count]) => `${code} ${count}`);
      log.info(`ignored ${total} more packets: ${parts.join(', ')}`);
      counts.clear();
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
