import { type OpeningKeys, openPacket, type Packet, parsePacket, SpaError } from 'spa-core';
import { authorize, type Clock, isForSource } from './authorize.ts';
import type { Stanza } from './stanza.ts';
import type { Authentic, Datagram, IgnoreCode, Verdict } from './verdict.ts';

/**
 * What becomes of a datagram: which stanza's keys open it, and what that stanza gives.
 *
 * Stanzas are tried in order. The first that grants decides; a refusal by one does not keep the next from granting
 * (section 5.4 of fwknop's behaviour: setups rely on it), otherwise the first refusal stands.
 */
export async function decide(datagram: Datagram, stanzas: readonly Stanza[], clock: Clock): Promise<Verdict> {
  const packet = attempt(() => parsePacket(datagram.packet));
  if (packet instanceof SpaError) return ignore(packet.code, packet.message);
  const candidates = stanzas.filter((stanza) => isForSource(stanza, datagram.source));
  let verdict: Verdict = ignore('no-stanza', 'no stanza is for this source');
  for (const stanza of candidates) {
    for (const keys of stanza.keys) {
      const next = await decideByKeys(datagram, packet, stanza, keys, clock);
      if (next.kind === 'grant') return next;
      verdict = moreTelling(verdict, next);
    }
  }
  return verdict;
}

async function decideByKeys(
  datagram: Datagram,
  packet: Packet,
  stanza: Stanza,
  keys: OpeningKeys,
  clock: Clock,
): Promise<Verdict> {
  try {
    const opened: Authentic = { ...(await openPacket(packet, keys, clock)), stanzaNumber: stanza.number };
    return authorize(opened, datagram.source, stanza, clock);
  } catch (error) {
    if (error instanceof SpaError) return ignore(error.code, error.message);
    throw error;
  }
}

/** How far a packet got before it was ignored: what the operator wants to read is the furthest. */
const PROGRESS: readonly IgnoreCode[] = ['no-stanza', 'packet-kind', 'hmac', 'packet-base64', 'decrypt'];

function moreTelling(before: Verdict, next: Verdict): Verdict {
  if (before.kind !== 'ignore') return before;
  if (next.kind !== 'ignore') return next;
  return progress(next.code) > progress(before.code) ? next : before;
}

function progress(code: IgnoreCode): number {
  const index = PROGRESS.indexOf(code);
  return index < 0 ? PROGRESS.length : index;
}

function ignore(code: IgnoreCode, detail: string): Verdict {
  return { kind: 'ignore', code, detail };
}

function attempt<T>(parse: () => T): T | SpaError {
  try {
    return parse();
  } catch (error) {
    if (error instanceof SpaError) return error;
    throw error;
  }
}
