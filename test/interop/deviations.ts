import { isIPv6 } from 'node:net';
import { authenticate, base64, decryptText, digestText, forge, innerText, withDigest } from './forge.ts';
import type { Secrets } from './libfko.ts';

/** A named way in which spa-core and libfko judge a packet differently on purpose. docs/PROTOCOL.md has the reasons. */
export interface Deviation {
  /** As in the table of docs/PROTOCOL.md. */
  readonly name: string;
  /** True of a packet for which it is the reason. */
  readonly holds: (packet: Anatomy) => boolean;
  /** Such a packet, under {@link EXAMPLE_SECRETS}. */
  readonly example: () => string;
}

/** A packet taken apart, as forgiving as it gets: nothing here is checked. */
export interface Anatomy {
  readonly packet: string;
  /** With its prefix, without its MAC. */
  readonly text: string;
  readonly mac: string;
  readonly blob: Buffer;
  /** What was encrypted, padding included. */
  readonly padded: Buffer;
  readonly fields: {
    readonly user: string;
    readonly time: string;
    readonly type: string;
    readonly message: string;
    readonly nat: string;
    readonly auth: string;
    readonly timeout: string;
  };
}

/** What the examples below are sealed with. */
export const EXAMPLE_SECRETS: Secrets = {
  key: Buffer.alloc(32, 1),
  mode: 'cbc',
  hmac: { key: Buffer.alloc(64, 2), digest: 'sha256' },
};

const ACCESS = base64('10.1.2.3,tcp/22');

/** What spa-core refuses and libfko accepts. */
export const STRICTER: readonly Deviation[] = [
  {
    name: 'outer checks',
    holds: ({ packet }) =>
      packet.length < 140 || !/^[A-Za-z0-9+/=]*$/.test(packet) || packet.startsWith('U2FsdGVkX1'),
    example: () => `U2FsdGVkX1${packetOf('1', ACCESS)}`,
  },
  {
    name: 'spelling of the packet',
    holds: ({ text, mac }) => !isCanonical(text) || !isCanonical(mac),
    example: () => authenticate(`${innerText(packetOf('1', ACCESS), EXAMPLE_SECRETS)}=`, EXAMPLE_SECRETS),
  },
  {
    name: 'magic',
    holds: ({ blob }) => blob.toString('latin1', 0, 8) !== 'Salted__',
    example: () => {
      // The last bits of "Salted__" are in the first character that is sent.
      const blob = Buffer.from(innerText(packetOf('1', ACCESS), EXAMPLE_SECRETS), 'base64').fill('^', 7, 8);
      return authenticate(base64(blob.toString('latin1')), EXAMPLE_SECRETS);
    },
  },
  {
    name: 'padding',
    holds: ({ padded }) => !isPadded(padded),
    // A text of whole blocks is the same without.
    example: () =>
      forge(textOf('3', base64('10.1.2.3,tcp/222'), '60'), EXAMPLE_SECRETS, SALT, Buffer.alloc(0)),
  },
  {
    name: 'numbers',
    holds: ({ fields }) =>
      [fields.time, fields.type, fields.timeout].some((text) => text !== '' && !isPlainNumber(text)),
    example: () => packetOf('1x', ACCESS),
  },
  {
    name: 'timeout that wraps',
    holds: ({ fields }) => /^\d+$/.test(fields.timeout) && BigInt(fields.timeout) > 65_536n,
    example: () => packetOf('3', ACCESS, '4294967297'),
  },
  {
    name: 'spelling of a field',
    holds: ({ fields }) =>
      [fields.user, fields.message, fields.nat, fields.auth].some((text) => !isCanonical(text)),
    example: () => packetOf('1', `${ACCESS}=junk`),
  },
  {
    name: 'bytes of a field',
    holds: ({ fields }) =>
      [fields.user, fields.message, fields.nat].some((text) => /[^\x20-\x7e]/.test(decode(text))),
    example: () => packetOf('1', base64('10.1.2.3,tcp/22\0,junk')),
  },
  {
    name: 'leading zeros',
    holds: ({ fields }) => [fields.message, fields.nat].some((text) => /(^|[./,])0\d/.test(decode(text))),
    example: () => packetOf('1', base64('010.1.2.3,tcp/22')),
  },
  {
    name: 'host of a NAT access',
    holds: ({ fields }) => fields.nat !== '' && !isHostName(decode(fields.nat).split(',')[0] ?? ''),
    example: () => packetOf('2', ACCESS, base64('300.1.1.1,22')),
  },
  {
    name: 'blank command',
    holds: ({ fields }) => fields.type === '0' && /, *$/.test(decode(fields.message)),
    example: () => packetOf('0', base64('10.1.2.3, ')),
  },
];

/** What spa-core accepts and libfko refuses. */
export const LOOSER: readonly Deviation[] = [
  {
    name: 'IPv6',
    holds: ({ fields }) => isIPv6(decode(fields.message).split(',')[0] ?? ''),
    example: () => packetOf('1', base64('2001:db8::1,tcp/22')),
  },
  {
    name: 'the year 2038',
    holds: isAfter2038,
    example: () => forge(textAt('2147483648', '1', ACCESS), EXAMPLE_SECRETS, SALT),
  },
  {
    name: '400 characters',
    holds: ({ packet, text }) => Math.max(packet.length, text.length) >= 400,
    example: () => packetOf('1', base64(`10.1.2.3${',tcp/1234'.repeat(20)}`)),
  },
];

/** What both accept and read differently. */
export const READ_OTHERWISE: readonly Deviation[] = [
  {
    name: 'the year 2038',
    holds: isAfter2038,
    example: () => forge(textAt('6090267296', '1', ACCESS), EXAMPLE_SECRETS, SALT),
  },
];

/** Takes a packet apart with the keys that it is opened with. */
export function dissect(packet: string, opening: Secrets): Anatomy {
  const text = innerText(packet, opening);
  const padded = decryptText(text, opening) ?? Buffer.alloc(0);
  const padCount = padded.at(-1) ?? 0;
  const plain = padded.toString('latin1', 0, padded.length - (padCount <= 16 ? padCount : 0));
  return {
    packet,
    text,
    mac: opening.hmac === null ? '' : packet.slice(-digestText(opening.hmac.digest, '').length),
    blob: Buffer.from(text, 'base64'),
    padded,
    fields: fieldsOf(plain.split(':').slice(0, -1)),
  };
}

function fieldsOf(parts: readonly string[]): Anatomy['fields'] {
  const [, user = '', time = '', , type = '', message = '', ...optional] = parts;
  const number = Number.parseInt(type.trim(), 10) || 0;
  const nat = [2, 4, 5, 6].includes(number) ? (optional.shift() ?? '') : '';
  const timeout = [3, 4, 6].includes(number) ? (optional.pop() ?? '') : '';
  return { user, time, type, message, nat, auth: optional.join(':'), timeout };
}

function isAfter2038({ fields }: Anatomy): boolean {
  return Number(fields.time) >= 2 ** 31;
}

const SALT = Buffer.from('saltsalt');

function packetOf(type: string, ...fields: readonly string[]): string {
  return forge(textOf(type, ...fields), EXAMPLE_SECRETS, SALT);
}

function textOf(type: string, ...fields: readonly string[]): string {
  return textAt('1795300000', type, ...fields);
}

function textAt(time: string, ...fields: readonly string[]): string {
  return withDigest(['1234567890123456', base64('root'), time, '3.0.0', ...fields].join(':'));
}

function decode(text: string): string {
  return Buffer.from(text, 'base64').toString('latin1');
}

function isCanonical(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64').replaceAll('=', '') === text;
}

function isPadded(padded: Buffer): boolean {
  const count = padded.at(-1) ?? 0;
  return count >= 1 && count <= 16 && padded.subarray(-count).every((byte) => byte === count);
}

function isPlainNumber(text: string): boolean {
  return /^(0|[1-9]\d*)$/.test(text);
}

/** Labels of letters, digits, dashes and underscores, the last of which is no number; or a dotted quad. */
function isHostName(text: string): boolean {
  if (/^(\d{1,3}\.){3}\d{1,3}$/.test(text)) return text.split('.').every((part) => Number(part) < 256);
  return /^\w[\w.-]*$/.test(text) && !/(^|\.)(\d+|0x[\da-f]*)\.?$/i.test(text);
}
