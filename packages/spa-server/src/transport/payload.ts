import { type IpAddress, PACKET_MAX_LENGTH, PACKET_MIN_LENGTH } from 'spa-core';
import type { Datagram } from '../decision/verdict.ts';
import { type HttpRules, isHttpRequest, readHttpRequest } from './http-request.ts';

/** What came in, by whatever transport. */
export interface Payload {
  /** Its own only while it is being received; then the memory is used again. */
  readonly bytes: Buffer;
  readonly source: IpAddress;
  /** Null: the transport does not tell. */
  readonly destination: IpAddress | null;
}

/** What a payload is: a datagram, or why there is no packet in it. */
export type Reading = Datagram | 'length' | 'http';

/** Takes the packet out of a payload. `http` null: a request is no packet. What counts is the payload, not its transport. */
export function readPayload({ bytes, source, destination }: Payload, http: HttpRules | null): Reading {
  if (http !== null && isHttpRequest(bytes)) {
    const request = readHttpRequest(bytes, http);
    if (request === null) return 'http';
    const { packet, forwardedFor } = request;
    return hasLength(packet) ? { packet, source, destination, forwardedFor } : 'length';
  }
  return hasLength(bytes) ? { packet: bytes, source, destination, forwardedFor: null } : 'length';
}

function hasLength({ length }: Buffer): boolean {
  return length >= PACKET_MIN_LENGTH && length <= PACKET_MAX_LENGTH;
}
