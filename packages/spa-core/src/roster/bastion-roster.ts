import { type Fingerprint, parseFingerprint } from '../openpgp-keys.ts';
import { formatProtoPort, type ProtoPort, parseProtoPort } from '../proto-port.ts';
import { type Access, accessOf } from './access.ts';
import type { Bastion, Roster } from './roster.ts';
import { keysOf } from './wanted.ts';

/** The largest text that is read, in UTF-16 code units: some ten thousand operators. */
export const BASTION_ROSTER_MAX_LENGTH = 4_194_304;

/** What one bastion has to know of a roster. All times are whole seconds since 1970. */
export interface BastionRoster {
  /** The roster's name: a bastion follows one. */
  readonly roster: string;
  /** From 1. A bastion refuses one that is older than what it has. */
  readonly version: number;
  readonly issuedAtSeconds: number;
  /** The bastion that it is for: the keys that it may have, the one that retires included. */
  readonly bastion: { readonly name: string; readonly fingerprints: readonly Fingerprint[] };
  /** Who may open something there; of those that are revoked there is no trace. */
  readonly operators: readonly EnrolledOperator[];
}

/** An operator, and what he may open. */
export interface EnrolledOperator {
  readonly name: string;
  readonly keys: readonly EnrolledKey[];
  /** Null: no end. */
  readonly notAfterSeconds: number | null;
  readonly ports: readonly ProtoPort[];
  /** No door is open longer for him. */
  readonly timeoutSeconds: number;
}

/** A key of an operator. */
export interface EnrolledKey {
  readonly fingerprint: Fingerprint;
  /** From when on it does not count, because another has taken its place; null: no end of its own. */
  readonly notAfterSeconds: number | null;
}

/** A text that is no bastion's roster. The message is one line that says where and what is wrong. */
export class BastionRosterError extends Error {
  override readonly name = 'BastionRosterError';
}

/**
 * What `bastion` has to know of `roster` at `nowSeconds`, which is also when it is issued.
 * @param access `accessOf` the same, as far as it is that bastion's, for who has it already
 */
export function bastionRosterOf(
  roster: Roster,
  bastion: Bastion,
  nowSeconds: number,
  access: readonly Access[] = accessOf(roster, nowSeconds).filter((one) => one.bastion.name === bastion.name),
): BastionRoster {
  return {
    roster: roster.name,
    version: roster.version,
    issuedAtSeconds: Math.floor(nowSeconds),
    bastion: {
      name: bastion.name,
      fingerprints: keysOf(bastion, nowSeconds).map(({ fingerprint }) => fingerprint),
    },
    operators: access.map(({ operator, ports, timeoutSeconds }) => ({
      name: operator.name,
      keys: keysOf(operator, nowSeconds).map((key) => ({
        fingerprint: key.fingerprint,
        notAfterSeconds: key === operator.retiring ? operator.retiring.untilSeconds : null,
      })),
      notAfterSeconds: operator.notAfterSeconds,
      ports,
      timeoutSeconds,
    })),
  };
}

/**
 * The text of a bastion's roster, JSON with an end of line: the same for the same roster, octet by octet. What a bastion reads
 * is this and a detached signature of it.
 */
export function formatBastionRoster(roster: BastionRoster): string {
  const { bastion, operators } = roster;
  const text = {
    format: FORMAT,
    roster: roster.roster,
    version: roster.version,
    issuedAt: formatTime(roster.issuedAtSeconds),
    bastion: { name: bastion.name, fingerprints: bastion.fingerprints },
    operators: operators.map(({ name, keys, notAfterSeconds, ports, timeoutSeconds }) => ({
      name,
      keys: keys.map((key) => ({
        fingerprint: key.fingerprint,
        notAfter: formatEnd(key.notAfterSeconds),
      })),
      notAfter: formatEnd(notAfterSeconds),
      ports: ports.map(formatProtoPort),
      timeoutSeconds,
    })),
  };
  return `${JSON.stringify(text, null, 2)}\n`;
}

/**
 * Reads what {@link formatBastionRoster} writes. A field that is missing, or not known, is an error, and so is a name or a
 * fingerprint that is there twice: nobody has to ask which of two counts.
 * @throws BastionRosterError
 */
export function parseBastionRoster(text: string): BastionRoster {
  if (text.length > BASTION_ROSTER_MAX_LENGTH) {
    throw new BastionRosterError(`it has more than ${BASTION_ROSTER_MAX_LENGTH} characters`);
  }
  const read = fieldsOf(parseJson(text), '');
  const format = read('format', integer(1, Number.MAX_SAFE_INTEGER));
  if (format !== FORMAT) {
    throw new BastionRosterError(`format: ${format} is not known here, ${FORMAT} is; update spa-server`);
  }
  const roster: BastionRoster = {
    roster: read('roster', name),
    version: read('version', integer(1, Number.MAX_SAFE_INTEGER)),
    issuedAtSeconds: read('issuedAt', time),
    bastion: read('bastion', readBastion),
    operators: read('operators', list(MAX_OPERATORS, readOperator)),
  };
  read.end();
  mustBeUnique(
    roster.operators.map(({ name }) => name),
    'operators',
  );
  mustBeUnique(
    roster.operators.flatMap(({ keys }) => keys.map(({ fingerprint }) => fingerprint)),
    'operators',
  );
  return roster;
}

const FORMAT = 1;
const MAX_OPERATORS = 10_000;
const MAX_KEYS = 16;
const MAX_PORTS = 64;
/** As in access.conf. */
const MAX_TIMEOUT_SECONDS = 8_388_608;
/** The last second of the year 9999. */
const LAST_SECOND = 253_402_300_799;

/** Reads a value at `place`, as in `operators[3].ports`. @throws BastionRosterError */
type Read<T> = (value: unknown, place: string) => T;

/** Reads the fields of one object. */
interface Fields {
  <T>(field: string, read: Read<T>): T;
  /** @throws BastionRosterError if there is a field that nobody has asked for. */
  end(): void;
}

const readBastion: Read<BastionRoster['bastion']> = (value, place) => {
  const read = fieldsOf(value, place);
  const bastion = {
    name: read('name', name),
    fingerprints: read('fingerprints', notEmpty(list(MAX_KEYS, fingerprint))),
  };
  read.end();
  return bastion;
};

const readOperator: Read<EnrolledOperator> = (value, place) => {
  const read = fieldsOf(value, place);
  const operator = {
    name: read('name', name),
    keys: read('keys', notEmpty(list(MAX_KEYS, readKey))),
    notAfterSeconds: read('notAfter', end),
    ports: read('ports', list(MAX_PORTS, port)),
    timeoutSeconds: read('timeoutSeconds', integer(1, MAX_TIMEOUT_SECONDS)),
  };
  read.end();
  return operator;
};

const readKey: Read<EnrolledKey> = (value, place) => {
  const read = fieldsOf(value, place);
  const key = {
    fingerprint: read('fingerprint', fingerprint),
    notAfterSeconds: read('notAfter', end),
  };
  read.end();
  return key;
};

function fieldsOf(value: unknown, place: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(place, 'this is no object');
  }
  const left = new Map(Object.entries(value));
  const at = (field: string): string => (place === '' ? field : `${place}.${field}`);
  const read = <T>(field: string, readField: Read<T>): T => {
    if (!left.has(field)) throw wrong(at(field), 'it is missing');
    const found = left.get(field);
    left.delete(field);
    return readField(found, at(field));
  };
  return Object.assign(read, {
    end: () => {
      for (const field of left.keys()) throw wrong(place, `"${shown(field)}" is not known here`);
    },
  });
}

function list<T>(max: number, read: Read<T>): Read<readonly T[]> {
  return (value, place) => {
    if (!Array.isArray(value)) throw wrong(place, 'this is no list');
    if (value.length > max) throw wrong(place, `there are more than ${max}`);
    return value.map((item, index) => read(item, `${place}[${index}]`));
  };
}

function notEmpty<T>(read: Read<readonly T[]>): Read<readonly T[]> {
  return (value, place) => {
    const items = read(value, place);
    if (items.length === 0) throw wrong(place, 'there is none');
    return items;
  };
}

function integer(min: number, max: number): Read<number> {
  return (value, place) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max)
      return value;
    throw wrong(place, `this is no whole number from ${min} to ${max}`);
  };
}

/** A word that a log can show. */
const name: Read<string> = (value, place) => {
  if (typeof value === 'string' && /^[\p{L}\p{N}][\p{L}\p{M}\p{N}._@+-]{0,63}$/u.test(value)) return value;
  throw wrong(place, 'this is no name of at most 64 letters, digits and . _ @ + -');
};

const fingerprint: Read<Fingerprint> = (value, place) => {
  const parsed = typeof value === 'string' ? parseFingerprint(value) : null;
  if (parsed !== null && parsed === value) return parsed;
  throw wrong(place, 'this is no fingerprint of 40 upper-case hexadecimal digits');
};

const port: Read<ProtoPort> = (value, place) => {
  const parsed = typeof value === 'string' ? parseProtoPort(value) : null;
  if (parsed !== null) return parsed;
  throw wrong(place, 'this is no port as in tcp/22');
};

const time: Read<number> = (value, place) => {
  const seconds = typeof value === 'string' ? parseTime(value) : null;
  if (seconds !== null) return seconds;
  throw wrong(place, 'this is no time as in 2026-11-22T10:00:00Z');
};

const end: Read<number | null> = (value, place) => (value === null ? null : time(value, place));

function mustBeUnique(values: readonly string[], place: string): void {
  const seen = new Set<string>();
  for (const value of values) {
    if (seen.has(value)) throw wrong(place, `${value} is there twice`);
    seen.add(value);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which may be anything.
    throw new BastionRosterError('it is no JSON, or not all of it');
  }
}

function wrong(place: string, what: string): BastionRosterError {
  return new BastionRosterError(place === '' ? what : `${place}: ${what}`);
}

function shown(field: string): string {
  return field.replaceAll(/[^\w.-]/g, '?').slice(0, 40);
}

function formatEnd(seconds: number | null): string | null {
  return seconds === null ? null : formatTime(seconds);
}

/** @throws RangeError for a time that has no such form. */
function formatTime(seconds: number): string {
  if (!Number.isSafeInteger(seconds) || seconds < 0 || seconds > LAST_SECOND) {
    throw new RangeError(`${seconds} is no time of a roster`);
  }
  // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a number is converted.
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

function parseTime(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text)) return null;
  // biome-ignore lint/style/noRestrictedGlobals: no clock is read, a text is converted.
  const seconds = Date.parse(text) / 1000;
  return Number.isSafeInteger(seconds) && seconds >= 0 && formatTime(seconds) === text ? seconds : null;
}
