import { decodeBase64, encodeBase64 } from './base64.ts';
import { type DigestName, digestOf, identifyDigest } from './digest.ts';
import { SpaError } from './errors.ts';
import {
  CLIENT_TIMEOUT_MAX_SECONDS,
  FIELD_MAX_LENGTH,
  TEXT_MAX_LENGTH,
  TEXT_MIN_LENGTH,
  USERNAME_MAX_BYTES,
} from './limits.ts';
import { type MessageTypeRow, messageTypeFor, parseMessageType } from './message-type.ts';
import {
  formatNatTarget,
  formatRequest,
  isCommand,
  isHost,
  type NatTarget,
  natTargetOf,
  parseNatTarget,
  parseRequest,
  type Request,
} from './request.ts';

/** The decoded fields of a packet. Its type on the wire follows from them: see {@link messageTypeOf}. */
export interface Message {
  /** 16 decimal digits that make the message unique. */
  readonly randomValue: string;
  /** What the sender says who they are; only an OpenPGP signature proves it. See {@link isUsername}. */
  readonly username: string;
  /** When the message was made, in seconds since 1970. */
  readonly timestampSeconds: number;
  /** Version of the sender's protocol. Never compared. */
  readonly version: string;
  readonly request: Request;
  /** How long the sender wants the door open, 0: as the server likes; null: the message does not say, as with a command. */
  readonly clientTimeoutSeconds: number | null;
  /** The digest at the message's end. */
  readonly digest: DigestName;
}

/** The type of a message on the wire. @throws RangeError for a command with a timeout: there is no such type. */
export function messageTypeOf({
  request,
  clientTimeoutSeconds,
}: Pick<Message, 'request' | 'clientTimeoutSeconds'>): MessageTypeRow {
  const row = messageTypeFor(request.kind, clientTimeoutSeconds !== null);
  if (row === null) throw new RangeError('a command has no client timeout');
  return row;
}

/** Letters, digits and most printable ASCII, 1..48 bytes; not `"/\[]:;|=,+*?<>`. */
export function isUsername(text: string): boolean {
  return (
    text.length <= USERNAME_MAX_BYTES && /^[\x20-\x7e]+$/.test(text) && !/["/\\[\]:;|=,+*?<>]/.test(text)
  );
}

/** 16 decimal digits from `random`, without bias. */
export function randomDigits(random: (bytes: number) => Uint8Array): string {
  let digits = '';
  while (digits.length < 16) {
    for (const byte of random(32)) {
      if (byte < 250) digits += byte % 10;
    }
  }
  return digits.slice(0, 16);
}

/**
 * The text of a message: its fields joined by colons, and their digest.
 * @throws RangeError if a field breaks its own rule.
 */
export function encodeMessage(message: Message): string {
  if (!/^\d{16}$/.test(message.randomValue)) throw new RangeError('the random value has 16 digits');
  if (!isUsername(message.username)) throw new RangeError(`"${message.username}" is no user name`);
  if (!isCount(message.timestampSeconds, 10 ** 12 - 1))
    throw new RangeError('the time is no count of seconds');
  if (!isVersion(message.version)) throw new RangeError(`"${message.version}" is no version`);
  const type = messageTypeOf(message);
  if (
    message.clientTimeoutSeconds !== null &&
    !isCount(message.clientTimeoutSeconds, CLIENT_TIMEOUT_MAX_SECONDS)
  ) {
    throw new RangeError(`a client timeout is 0..${CLIENT_TIMEOUT_MAX_SECONDS} seconds`);
  }
  const request = encodeField(checkedRequest(message.request));
  if (request.length > FIELD_MAX_LENGTH) throw new RangeError('the request is too long for one message');
  const target = natTargetOf(message.request);
  const fields = [
    message.randomValue,
    encodeField(message.username),
    String(message.timestampSeconds),
    message.version,
    String(type.number),
    request,
    ...(target === null ? [] : [encodeField(formatNatTarget(target))]),
    ...(message.clientTimeoutSeconds === null ? [] : [String(message.clientTimeoutSeconds)]),
  ].join(':');
  return `${fields}:${digestOf(message.digest, fields)}`;
}

/**
 * The inverse of {@link encodeMessage}, strict: decimal numbers without sign, blank or leading zero, canonical base64.
 * A "server auth" field, which fwknop's library can write, is passed over as fwknopd does.
 * @throws SpaError `message-malformed`, `digest`
 */
export function decodeMessage(text: string): Message {
  if (text.length < TEXT_MIN_LENGTH || text.length > TEXT_MAX_LENGTH) throw malformed('its length');
  if (!/^[\x20-\x7e]*$/.test(text)) throw malformed('a character that is not printable');
  const digestAt = text.lastIndexOf(':');
  const encoded = text.slice(0, Math.max(0, digestAt));
  const digest = identifyDigest(encoded, text.slice(digestAt + 1));
  if (digest === null) throw new SpaError('digest', 'the digest of the message does not fit');

  const [
    randomValue = '',
    username = '',
    timestamp = '',
    version = '',
    type = '',
    request = '',
    ...optional
  ] = encoded.split(':');
  if (!/^\d{16}$/.test(randomValue)) throw malformed('its random value');
  const decodedUsername = decodeField(username);
  if (decodedUsername === null || !isUsername(decodedUsername)) throw malformed('its user name');
  if (!isDecimal(timestamp, 12)) throw malformed('its time');
  if (!isVersion(version)) throw malformed('its version');
  const row = parseMessageType(type);
  if (row === null) throw malformed('its type');
  const target = row.request.includes('nat') ? decodeTarget(optional.shift()) : null;
  const decodedRequest = decodeField(request);
  const parsed = decodedRequest === null ? null : parseRequest(row.request, decodedRequest, target);
  if (parsed === null) throw malformed('its request');
  const clientTimeoutSeconds = row.timeout ? decodeTimeout(optional.pop()) : null;
  checkServerAuth(optional);
  return {
    randomValue,
    username: decodedUsername,
    timestampSeconds: Number(timestamp),
    version,
    request: parsed,
    clientTimeoutSeconds,
    digest,
  };
}

/** The text of a request whose parts keep their own rules. */
function checkedRequest(request: Request): string {
  if (request.kind === 'command' && !isCommand(request.command)) {
    throw new RangeError('a command is printable ASCII');
  }
  const target = natTargetOf(request);
  if (target !== null && !isHost(target.host)) throw new RangeError(`"${target.host}" is no host`);
  return formatRequest(request);
}

function decodeTarget(field: string | undefined): NatTarget {
  const text = field === undefined ? null : decodeField(field);
  const target = text === null ? null : parseNatTarget(text);
  if (target === null) throw malformed('its NAT access');
  return target;
}

function decodeTimeout(text: string | undefined): number {
  if (text === undefined || !isDecimal(text, 5) || Number(text) > CLIENT_TIMEOUT_MAX_SECONDS) {
    throw malformed('its client timeout');
  }
  return Number(text);
}

/** What is left of the optional fields is nothing or one "server auth". */
function checkServerAuth(fields: readonly string[]): void {
  const [serverAuth = '', ...rest] = fields;
  if (rest.length > 0) throw malformed('its number of fields');
  if (serverAuth !== '' && decodeField(serverAuth) === null) throw malformed('its server auth');
}

function encodeField(text: string): string {
  return encodeBase64(Buffer.from(text, 'latin1'));
}

function decodeField(field: string): string | null {
  if (field === '' || field.length > FIELD_MAX_LENGTH) return null;
  return decodeBase64(field)?.toString('latin1') ?? null;
}

function isDecimal(text: string, maxDigits: number): boolean {
  return /^(0|[1-9]\d*)$/.test(text) && text.length <= maxDigits;
}

function isCount(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= max;
}

function isVersion(text: string): boolean {
  return /^[\x20-\x39\x3b-\x7e]{1,8}$/.test(text);
}

function malformed(what: string): SpaError {
  return new SpaError('message-malformed', `the message is malformed: ${what}`);
}
