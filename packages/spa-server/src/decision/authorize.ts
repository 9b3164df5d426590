import type { IpAddress, Message, ProtoPort } from 'spa-core';
import { refusalOf, type SignerTerms, termsOf } from './signers.ts';
import type { Stanza } from './stanza.ts';
import type { Authentic, DenyReason, Verdict } from './verdict.ts';

/** The receiver's time, and how far a message's time may be from it, both ways and inclusive. */
export interface Clock {
  readonly nowSeconds: number;
  readonly maxAgeSeconds: number;
}

/**
 * What the stanza that opened a packet gives for it: age both ways, signer, user, source, ports, then the time it gets.
 * Who signed was settled when it was opened, only certificates of the stanza count there; what is left of the signer is
 * whether he still counts now, and what he gets.
 */
export function authorize(opened: Authentic, packetSource: IpAddress, stanza: Stanza, clock: Clock): Verdict {
  const { message } = opened;
  const differenceSeconds = outdatedBy(opened, clock);
  if (differenceSeconds !== 0) return { kind: 'outdated', differenceSeconds, opened };
  const terms = termsOf(stanza, opened.signer);
  const reason = refusalOf(terms, clock.nowSeconds) ?? denyReason(message, stanza, terms);
  if (reason !== null) return { kind: 'deny', reason, opened };
  const grant = {
    id: opened.id,
    address: message.request.source ?? packetSource,
    ports: message.request.ports,
    timeoutSeconds: Math.min(timeoutOf(message, stanza), timeLeft(terms, clock)),
  };
  return { kind: 'grant', grant, opened };
}

/** How much too old (positive) or too far ahead the message or its signature is, in seconds; 0 if neither. */
function outdatedBy(opened: Authentic, clock: Clock): number {
  for (const seconds of [opened.message.timestampSeconds, opened.signedAtSeconds ?? clock.nowSeconds]) {
    const difference = clock.nowSeconds - seconds;
    if (Math.abs(difference) > clock.maxAgeSeconds) return difference;
  }
  return 0;
}

function denyReason(message: Message, stanza: Stanza, terms: SignerTerms): DenyReason | null {
  const { request, username } = message;
  if (stanza.requireUsername !== null && stanza.requireUsername !== username) return 'user';
  if (stanza.requireSourceAddress && request.source === null) return 'source-required';
  if (request.ports.some((port) => includesPort(stanza.restrictPorts, port))) return 'port-restricted';
  const { openPorts } = stanza;
  if (openPorts !== null && !request.ports.every((port) => includesPort(openPorts, port))) {
    return 'port-not-open';
  }
  const enrolled = terms.openPorts;
  if (enrolled !== null && !request.ports.every((port) => includesPort(enrolled, port))) {
    return 'port-not-enrolled';
  }
  return null;
}

function includesPort(ports: readonly ProtoPort[], wanted: ProtoPort): boolean {
  return ports.some(({ protocol, port }) => protocol === wanted.protocol && port === wanted.port);
}

/** What the client asks for, 0 meaning nothing, within the stanza's limit; otherwise the stanza's own. */
function timeoutOf(message: Message, stanza: Stanza): number {
  const wanted = message.clientTimeoutSeconds ?? 0;
  return wanted > 0 ? Math.min(wanted, stanza.maxTimeoutSeconds) : stanza.accessTimeoutSeconds;
}

/** No door outlives the right of whoever opened it, not by a whole second. */
function timeLeft(terms: SignerTerms, { nowSeconds }: Clock): number {
  const end = Math.min(terms.certifiedUntilSeconds, terms.enrolledUntilSeconds);
  return Math.min(terms.maxTimeoutSeconds, end - nowSeconds);
}
