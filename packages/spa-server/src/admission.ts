import type { IpAddress } from 'spa-core';
import type { Candidate, Gate, Glimpse } from './decision/gate.ts';
import { firstStanzaOf } from './decision/openers.ts';
import type { Datagram } from './decision/verdict.ts';
import type { Report } from './report.ts';
import type { DropReason, Turnstile, Work } from './transport/turnstile.ts';

/** Keys that are tried for a packet at once, a few microseconds each; for more of them it has to queue. */
const MAX_EFFORT = 16;

/** By what a packet is judged, however long it waits: the configuration, and the revocations that are older than it. */
export interface Basis {
  readonly gate: Gate;
  readonly epoch: number;
}

/** Between what asks for admission and what handles it. */
export interface AdmissionHost {
  readonly turnstile: Turnstile;
  readonly report: Pick<Report, 'ignored'>;
  /** By what a packet that comes in now is judged. */
  basis(): Basis;
  /** True if exactly this packet was opened not long ago; then it is reported. */
  isRepeated(candidate: Candidate): boolean;
  /** Resolves when it is decided. `proved` is called for a message that nobody had before. */
  handle(candidate: Candidate, basis: Basis, proved: () => void): Promise<void>;
}

/**
 * What packets go through until some key may open them. Junk ends here, without a promise: length, alphabet, HMAC. The rest is
 * handled at once, or queues for it.
 */
export function createAdmission(host: AdmissionHost): (datagram: Datagram) => void {
  return (datagram) => {
    const basis = host.basis();
    const glimpse = basis.gate.glance(datagram);
    if (glimpse.kind === 'ignore') host.report.ignored(datagram.source, null, glimpse.code, glimpse.detail);
    else if (glimpse.effort > MAX_EFFORT) queueToScreen(glimpse, basis, host);
    else admit(glimpse, basis, () => {}, host);
  };
}

/** Tells that a packet is dropped unseen. */
export function reportDropped(report: Pick<Report, 'ignored'>, source: IpAddress, reason: DropReason): void {
  report.ignored(source, null, reason, DROPS[reason]);
}

const DROPS: Readonly<Record<DropReason, string>> = {
  budget: 'its source has sent too many that did not open',
  overload: 'too many packets at once',
};

function queueToScreen(glimpse: Glimpse, basis: Basis, host: AdmissionHost): void {
  const { source } = glimpse;
  const work: Work = {
    source,
    lane: 2,
    run: async () => admit(glimpse, basis, () => host.turnstile.proved(work), host),
    dropped: (reason) => reportDropped(host.report, source, reason),
  };
  host.turnstile.offer(work);
}

function admit(glimpse: Glimpse, basis: Basis, proved: () => void, host: AdmissionHost): void {
  const candidate = basis.gate.screen(glimpse);
  if (candidate.kind === 'ignore') {
    const { code, detail } = candidate;
    host.report.ignored(glimpse.source, firstStanzaOf(glimpse.rings), code, detail);
    return;
  }
  if (host.isRepeated(candidate)) return;
  if (candidate.work === 'shared-key') void host.handle(candidate, basis, proved);
  else queueToOpen(candidate, basis, proved, host);
}

function queueToOpen(candidate: Candidate, basis: Basis, proved: () => void, host: AdmissionHost): void {
  const { source, work: kind, isVouched } = candidate;
  const work: Work = {
    source,
    lane: isVouched ? 0 : kind === 'usual' ? 1 : 2,
    run: async () => {
      const handled = host.handle(candidate, basis, () => {
        host.turnstile.proved(work);
        proved();
      });
      // Others are not kept waiting for who keeps a key; he is asked a few things at a time.
      if (kind !== 'kept') await handled;
    },
    dropped: (reason) => reportDropped(host.report, source, reason),
  };
  host.turnstile.offer(work);
}
