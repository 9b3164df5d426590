import type { Clock } from './authorize.ts';
import { createGate } from './gate.ts';
import type { Stanza } from './stanza.ts';
import type { Datagram, Verdict } from './verdict.ts';

/**
 * What becomes of a datagram: which stanza's keys open it, and what that stanza gives. A daemon keeps its gate and asks it in
 * three steps: see `Gate`.
 */
export async function decide(datagram: Datagram, stanzas: readonly Stanza[], clock: Clock): Promise<Verdict> {
  const gate = createGate(stanzas);
  const glimpse = gate.glance(datagram);
  if (glimpse.kind === 'ignore') return glimpse;
  const candidate = gate.screen(glimpse);
  return candidate.kind === 'ignore' ? candidate : gate.decide(candidate, clock);
}
