import {
  type AccessRequest,
  type CommandRequest,
  type Message,
  type NatAccessRequest,
  networkContains,
  type ProtoPort,
} from 'spa-core';
import type { CycleVariables } from './commands.ts';
import { forwardOf } from './nat.ts';
import { refusalOf, type SignerTerms, termsOf } from './signers.ts';
import type { Stanza } from './stanza.ts';
import type { Arrival, Authentic, DenyReason, Verdict } from './verdict.ts';

/** The receiver's time, and how far a message's time may be from it, both ways and inclusive. */
export interface Clock {
  readonly nowSeconds: number;
  readonly maxAgeSeconds: number;
}

/**
 * What the stanza that opened a packet gives for it: age both ways, signer, user, source, ports, then what it asks for. Who
 * signed was settled when it was opened, only certificates of the stanza count there; what is left of the signer is whether he
 * still counts now, and what he gets.
 */
export function authorize(opened: Authentic, arrival: Arrival, stanza: Stanza, clock: Clock): Verdict {
  const differenceSeconds = outdatedBy(opened, clock);
  if (differenceSeconds !== 0) return { kind: 'outdated', differenceSeconds, opened };
  const terms = termsOf(stanza, opened.signer);
  const reason =
    stanzaRefusal(stanza, arrival, clock) ??
    refusalOf(terms, clock.nowSeconds) ??
    messageRefusal(opened.message, stanza);
  if (reason !== null) return { kind: 'deny', reason, opened };
  const { request } = opened.message;
  if (request.kind === 'command') return authorizeCommand(opened, request, stanza);
  const portReason = portRefusal(request.ports, stanza, terms);
  if (portReason !== null) return { kind: 'deny', reason: portReason, opened };
  const forward = forwardOf(request, stanza.nat, stanza.openPorts);
  if (typeof forward === 'string') return { kind: 'deny', reason: forward, opened };
  const address = request.source ?? arrival.forwardedFor ?? arrival.source;
  const timeoutSeconds = Math.min(timeoutOf(opened.message, stanza), timeLeft(terms, stanza, clock));
  const { cycle } = stanza;
  if (cycle !== null) {
    const variables = variablesOf(opened.message, request, arrival, { address, timeoutSeconds });
    return { kind: 'cycle', cycle: { cycle, variables }, opened };
  }
  const destination = stanza.doorsAtDestination ? arrival.destination : null;
  const grant = { id: opened.id, address, ports: request.ports, timeoutSeconds, forward, destination };
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

/** What the stanza says of all messages. */
function stanzaRefusal(stanza: Stanza, { destination }: Arrival, { nowSeconds }: Clock): DenyReason | null {
  const { destinations, expiresAtSeconds } = stanza;
  if (expiresAtSeconds !== null && nowSeconds >= expiresAtSeconds) return 'stanza-expired';
  if (destinations === 'any') return null;
  const isHere =
    destination !== null && destinations.some((network) => networkContains(network, destination));
  return isHere ? null : 'destination';
}

function messageRefusal({ request, username }: Message, stanza: Stanza): DenyReason | null {
  if (stanza.requireUsername !== null && stanza.requireUsername !== username) return 'user';
  return stanza.requireSourceAddress && request.source === null ? 'source-required' : null;
}

/** A stanza of commands of its own runs no others. */
function authorizeCommand(opened: Authentic, { command }: CommandRequest, stanza: Stanza): Verdict {
  const { commands: policy, cycle } = stanza;
  if (policy === null || cycle !== null) return { kind: 'deny', reason: 'command-not-allowed', opened };
  return { kind: 'run', run: { command, policy }, opened };
}

function portRefusal(
  ports: readonly ProtoPort[],
  { restrictPorts, openPorts }: Stanza,
  { openPorts: enrolled }: SignerTerms,
): DenyReason | null {
  if (ports.some((port) => includesPort(restrictPorts, port))) return 'port-restricted';
  if (openPorts !== null && !ports.every((port) => includesPort(openPorts, port))) return 'port-not-open';
  if (enrolled !== null && !ports.every((port) => includesPort(enrolled, port))) return 'port-not-enrolled';
  return null;
}

function variablesOf(
  { timestampSeconds }: Message,
  { ports: [port] }: AccessRequest | NatAccessRequest,
  { source, destination }: Arrival,
  given: Pick<CycleVariables, 'address' | 'timeoutSeconds'>,
): CycleVariables {
  if (port === undefined) throw new TypeError('a request without ports');
  return {
    ...given,
    packetSource: source,
    packetDestination: destination,
    port,
    timestampSeconds,
  };
}

function includesPort(ports: readonly ProtoPort[], wanted: ProtoPort): boolean {
  return ports.some(({ protocol, port }) => protocol === wanted.protocol && port === wanted.port);
}

/** What the client asks for within the stanza's limit, 0 meaning nothing; otherwise what the stanza gives by itself. */
function timeoutOf({ clientTimeoutSeconds }: Message, stanza: Stanza): number {
  const wanted = clientTimeoutSeconds ?? 0;
  if (wanted > 0) return Math.min(wanted, stanza.maxTimeoutSeconds);
  return stanza.cycle === null ? stanza.accessTimeoutSeconds : stanza.cycle.timerSeconds;
}

/** No door outlives the stanza, nor the right of whoever opened it, not by a whole second. */
function timeLeft(terms: SignerTerms, { expiresAtSeconds }: Stanza, { nowSeconds }: Clock): number {
  const end = Math.min(
    terms.certifiedUntilSeconds,
    terms.enrolledUntilSeconds,
    expiresAtSeconds ?? Number.POSITIVE_INFINITY,
  );
  return Math.min(terms.maxTimeoutSeconds, end - nowSeconds);
}
