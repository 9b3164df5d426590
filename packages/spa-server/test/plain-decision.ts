import { networkContains, type OpeningKeys, openPacket, type Packet, parsePacket, SpaError } from 'spa-core';
import { authorize, type Clock } from '../src/decision/authorize.ts';
import type { Stanza } from '../src/decision/stanza.ts';
import type { Authentic, Datagram, IgnoreCode, Verdict } from '../src/decision/verdict.ts';

/**
 * What the gate has to decide, said plainly: stanza by stanza, key by key, each on its own. The first that grants decides,
 * otherwise the first refusal stands, otherwise how far the packet got.
 */
export async function decidePlainly(
  datagram: Datagram,
  stanzas: readonly Stanza[],
  clock: Clock,
): Promise<Verdict> {
  let verdict: Verdict = { kind: 'ignore', code: 'no-stanza', detail: 'no stanza is for this source' };
  let packet: Packet;
  try {
    packet = parsePacket(datagram.packet);
  } catch (error) {
    return ignored(error);
  }
  for (const stanza of stanzas.filter((one) => isFor(one, datagram))) {
    for (const keys of stanza.keys) {
      const next = await decideByKeys(datagram, packet, stanza, keys, clock);
      if (next.kind === 'grant') return next;
      verdict = moreTelling(verdict, next);
    }
  }
  return verdict;
}

function isFor({ sources }: Stanza, { source }: Datagram): boolean {
  return sources === 'any' || sources.some((network) => networkContains(network, source));
}

async function decideByKeys(
  datagram: Datagram,
  packet: Packet,
  stanza: Stanza,
  keys: OpeningKeys,
  clock: Clock,
): Promise<Verdict> {
  try {
    const opened: Authentic = {
      ...(await openPacket(packet, keys, clock)),
      stanzaNumber: stanza.number,
      operatorName: null,
    };
    return authorize(opened, datagram, stanza, clock);
  } catch (error) {
    return ignored(error);
  }
}

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

function ignored(error: unknown): Verdict {
  if (error instanceof SpaError) return { kind: 'ignore', code: error.code, detail: error.message };
  throw error;
}
