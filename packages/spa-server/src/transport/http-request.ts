import { type IpAddress, parseIpAddress } from 'spa-core';

/** Which HTTP requests are taken for packets. */
export interface HttpRules {
  /** `ALLOW_ANY_USER_AGENT`. */
  readonly anyUserAgent: boolean;
  /** `ENABLE_X_FORWARDED_FOR`. */
  readonly forwardedFor: boolean;
}

/** What a request carries. */
export interface HttpPacket {
  readonly packet: Buffer;
  /** Whom a proxy says that the request is from; null: nobody says so, or it is not asked for. */
  readonly forwardedFor: IpAddress | null;
}

/** True if the payload is a request, not a packet. */
export function isHttpRequest(payload: Uint8Array): boolean {
  return /^get \/$/i.test(latin1(payload.subarray(0, METHOD_BYTES)));
}

/** True if all of the request's head is there. */
export function isWholeRequest(payload: Uint8Array): boolean {
  return END_OF_HEAD.test(latin1(payload));
}

/**
 * The packet that a request carries in place of a path, `+` and `/` written as `-` and `_` (fwknop's protocol, section 8.3);
 * null if it carries none, comes from another program than fwknop's, or a proxy names anything but one address.
 *
 * Its head may be cut off after the `User-Agent`, for whoever sees single segments; not if a proxy has something to say.
 */
export function readHttpRequest(payload: Uint8Array, rules: HttpRules): HttpPacket | null {
  const text = latin1(payload);
  const end = text.search(END_OF_HEAD);
  if (end < 0 && rules.forwardedFor) return null;
  const [first = '', ...headers] =
    end < 0 ? text.split(LINE_END).slice(0, -1) : text.slice(0, end).split(LINE_END);
  const path = REQUEST_LINE.exec(first)?.[1];
  if (path === undefined) return null;
  if (!rules.anyUserAgent && !valuesOf(headers, 'user-agent').some((value) => value.startsWith('Fwknop'))) {
    return null;
  }
  const packet = Buffer.from(path.replaceAll('-', '+').replaceAll('_', '/'), 'latin1');
  const named = rules.forwardedFor ? valuesOf(headers, 'x-forwarded-for') : [];
  if (named.length === 0) return { packet, forwardedFor: null };
  const forwardedFor = named.length === 1 ? parseIpAddress(named[0] ?? '') : null;
  return forwardedFor === null || NOBODY.has(forwardedFor) ? null : { packet, forwardedFor };
}

/** No source has these addresses, and an ipset takes no door for them. */
const NOBODY: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

const METHOD_BYTES = 5;
const LINE_END = /\r?\n/;
const END_OF_HEAD = /\r?\n\r?\n/;
const REQUEST_LINE = /^GET \/([A-Za-z0-9+/=_-]+) HTTP\/1\.[01]$/i;

/** The values of the header lines of that name. */
function valuesOf(headers: readonly string[], name: string): readonly string[] {
  const prefix = `${name}:`;
  return headers
    .filter((line) => line.slice(0, prefix.length).toLowerCase() === prefix)
    .map((line) => line.slice(prefix.length).trim());
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
