import { dirname, resolve } from 'node:path';
import {
  decodeBase64,
  type IpAddress,
  type IpNetwork,
  ipFamily,
  isUsername,
  type ProtoPort,
  parseIpAddress,
  parseIpNetwork,
  parseProtoPort,
} from 'spa-core';
import { ConfigError, type ConfigPlace } from 'spa-host';
import type { ReadValue } from './keywords.ts';

/** Y or N. fwknopd takes all but Y for N: what its author did not mean by `true`, `1` and `on` is an error. */
export const readBoolean: ReadValue<boolean> = (value, place) => {
  if (/^(y|yes)$/i.test(value)) return true;
  if (/^(n|no|off|false|0)$/i.test(value)) return false;
  throw new ConfigError(place, `${quote(value)} is neither yes nor no; write Y or N`);
};

/** A whole number in decimal. `unit` is for the error: `seconds`. */
export function integerBetween(min: number, max: number, unit = ''): ReadValue<number> {
  return (value, place) => {
    const number = /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw new ConfigError(
      place,
      `${quote(value)} is out of range; write a number from ${min} to ${max}${unit === '' ? '' : ` (${unit})`}`,
    );
  };
}

/** One of a few words, by what it means. Case counts for nothing. */
export function oneOf<T>(words: Readonly<Record<string, T>>): ReadValue<T> {
  return (value, place) => {
    const word = Object.keys(words).find((candidate) => candidate.toLowerCase() === value.toLowerCase());
    if (word === undefined) {
      throw new ConfigError(place, `${quote(value)} is not known; write ${Object.keys(words).join(', ')}`);
    }
    return words[word] as T;
  };
}

/** An absolute path; a relative one starts at the folder of the file that says it. */
export const readPath: ReadValue<string> = (value, place) => {
  if (value.startsWith('~'))
    throw new ConfigError(place, '~ means nothing to a daemon; write the whole path');
  if (hasControlCharacter(value)) throw new ConfigError(place, 'there is a control character in this path');
  return resolve(dirname(place.file), value);
};

/** A program: a path, or a bare name that the PATH finds. */
export const readProgram: ReadValue<string> = (value, place) =>
  value.includes('/') ? readPath(value, place) : readName(value, place);

/** A word of letters, digits, `-`, `_` and `.` */
export const readName: ReadValue<string> = (value, place) => {
  if (/^[\w.-]{1,64}$/.test(value)) return value;
  throw new ConfigError(place, `${quote(value)} is no name; write letters, digits, "-", "_" and "." only`);
};

/** A user name that a message can carry. */
export const readUsername: ReadValue<string> = (value, place) => {
  if (isUsername(value)) return value;
  throw new ConfigError(
    place,
    `no client can send the user name ${quote(value)}; write a shorter or plainer one`,
  );
};

/** One IPv4 or IPv6 address. */
export const readAddress: ReadValue<IpAddress> = (value, place) => {
  const address = parseIpAddress(value);
  if (address !== null) return address;
  throw new ConfigError(place, `${quote(value)} is no IP address; write one as in 192.0.2.7 or 2001:db8::7`);
};

/** `ANY`, or addresses and networks separated by commas. */
export const readNetworks: ReadValue<'any' | readonly IpNetwork[]> = (value, place) =>
  value.toUpperCase() === 'ANY' ? 'any' : readList(value).map((item) => readNetwork(item, place));

/** `tcp/22, udp/53`: no range, none twice. */
export const readProtoPorts: ReadValue<readonly ProtoPort[]> = (value, place) => {
  const items = readList(value.toLowerCase());
  const twice = items.find((item, index) => items.indexOf(item) !== index);
  if (twice !== undefined) throw new ConfigError(place, `${quote(twice)} is here twice; write it once`);
  return items.map((item) => readProtoPort(item, place));
};

/** A secret written as text. */
export function keyText(maxBytes: number): ReadValue<Buffer> {
  return (value, place) => {
    mustBeChanged(value, place);
    if (value.includes('\ufffd')) {
      throw new ConfigError(place, 'this key is no UTF-8; write it as base64 with the keyword …_BASE64');
    }
    return limitKey(Buffer.from(value, 'utf8'), maxBytes, place);
  };
}

/** A secret written as standard base64, padded or not. */
export function keyBase64(maxBytes: number): ReadValue<Buffer> {
  return (value, place) => {
    mustBeChanged(value, place);
    const padded = /=$/.test(value);
    const bytes = padded && value.length % 4 !== 0 ? null : decodeBase64(value.replace(/={1,2}$/, ''));
    if (bytes === null || bytes.length === 0) {
      throw new ConfigError(place, 'this is no standard base64; write what "openssl rand -base64 32" prints');
    }
    return limitKey(bytes, maxBytes, place);
  };
}

/** A secret that is passed on as it is. */
export const readPassphrase: ReadValue<string> = (value, place) => {
  mustBeChanged(value, place);
  return value;
};

/** Items separated by commas, outer blanks removed. An empty item stays, for the item's reader to refuse. */
export function readList(value: string): readonly string[] {
  return value.split(',').map((item) => item.trim());
}

/** `value` for an error's text: short, quoted, nothing that a terminal obeys. Never for secrets. */
export function quote(value: string): string {
  const short = value.length > MAX_QUOTED ? `${value.slice(0, MAX_QUOTED)}…` : value;
  return `"${short.replaceAll(CONTROL_CHARACTERS, '?')}"`;
}

const MAX_QUOTED = 60;
const CONTROL_CHARACTERS = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

function hasControlCharacter(value: string): boolean {
  return value.search(CONTROL_CHARACTERS) >= 0;
}

function readProtoPort(item: string, place: ConfigPlace): ProtoPort {
  const port = parseProtoPort(item);
  if (port !== null) return port;
  if (item.includes('#')) {
    throw new ConfigError(place, `${quote(item)}: a comment stands on a line of its own; write tcp/22 alone`);
  }
  const range = /^(tcp|udp)\/(\d+)-(\d+)$/.exec(item);
  if (range !== null) {
    throw new ConfigError(
      place,
      `${quote(item)} is a range; write one protocol/port at a time, as in ${range[1]}/${range[2]}, ${range[1]}/${range[3]}`,
    );
  }
  throw new ConfigError(place, `${quote(item)} is no port; write protocol/port, as in tcp/22`);
}

function readNetwork(item: string, place: ConfigPlace): IpNetwork {
  const network = parseIpNetwork(item) ?? parseDottedMask(item);
  if (network === null) {
    throw new ConfigError(
      place,
      `${quote(item)} is no address or network; write ANY, 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32`,
    );
  }
  if (network.prefixLength === 0 && ipFamily(network.address) === 4)
    throw new ConfigError(place, `${quote(item)} is everybody; write ANY`);
  return network;
}

/** `192.0.2.0/255.255.255.0`; null if it is not, or if the mask has holes. */
function parseDottedMask(item: string): IpNetwork | null {
  const [addressText = '', maskText = '', ...rest] = item.split('/');
  const address = parseIpAddress(addressText);
  const mask = parseIpAddress(maskText);
  if (address === null || mask === null || rest.length > 0) return null;
  if (ipFamily(address) !== 4 || ipFamily(mask) !== 4) return null;
  const bits = mask
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
  return /^1*0*$/.test(bits) ? { address, prefixLength: bits.replaceAll('0', '').length } : null;
}

function mustBeChanged(value: string, place: ConfigPlace): void {
  if (!value.includes('__CHANGEME__')) return;
  throw new ConfigError(place, 'this still is the placeholder __CHANGEME__; write a key of your own');
}

function limitKey(bytes: Buffer, maxBytes: number, place: ConfigPlace): Buffer {
  if (bytes.length <= maxBytes) return bytes;
  throw new ConfigError(place, `this key has ${bytes.length} bytes; write one of at most ${maxBytes}`);
}
