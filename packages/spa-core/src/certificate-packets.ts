import { hash } from 'node:crypto';
import { type Fingerprint, KeyError } from './openpgp-keys.ts';
import { parseHeader } from './openpgp-packets.ts';
import { readSignatureFields, type SignatureFields } from './signature-packets.ts';

/**
 * A certificate as the packets that it consists of (RFC 9580 section 10.1). Nothing of it is verified: who made which signature
 * is for `certificationsOf` and `validityOf` to say.
 */
export interface RawCertificate {
  readonly fingerprint: Fingerprint;
  /** The whole of it, binary, as it was read or put together. */
  readonly octets: Buffer;
  readonly primary: RawKey;
  /** Signatures on the primary key itself: revocations and the like. */
  readonly signatures: readonly RawSignature[];
  readonly users: readonly RawUser[];
  readonly subkeys: readonly RawSubkey[];
}

/** One packet: its header and its body. */
export interface RawPacket {
  readonly octets: Buffer;
  readonly body: Buffer;
}

/** A public key, version 4 or 6. */
export interface RawKey extends RawPacket {
  readonly version: 4 | 6;
  readonly fingerprint: Fingerprint;
  /** 16 upper-case hexadecimal digits. */
  readonly keyId: string;
  /** RFC 9580 section 9.1. */
  readonly algorithm: number;
  /** Seconds since 1970. */
  readonly createdAtSeconds: number;
}

/** A signature packet. `fields` null: of a version that we do not know, or broken; it counts for nothing. */
export interface RawSignature {
  /** Header and body. */
  readonly octets: Buffer;
  readonly fields: SignatureFields | null;
}

/** A user ID, or a picture or the like (`userId` null), with all signatures on it. */
export interface RawUser extends RawPacket {
  readonly userId: string | null;
  readonly signatures: readonly RawSignature[];
}

/** A subkey with all signatures on it. */
export interface RawSubkey {
  readonly key: RawKey;
  readonly signatures: readonly RawSignature[];
}

/** A signature packet that belongs into a certificate: on that user ID, or on the key itself (null). */
export interface AddedSignature {
  readonly userId: string | null;
  /** The packet, header and all. */
  readonly signature: Buffer;
}

/**
 * The certificates in `data`: one or more, binary or armored.
 * @throws KeyError if there is none, one that cannot be read, or a secret key.
 */
export function readRawCertificates(data: Uint8Array): readonly RawCertificate[] {
  const found = binaryBlocks(data).flatMap(readBinary);
  if (found.length === 0) throw new KeyError('no OpenPGP certificate is here');
  return found;
}

/** The certificates as one armored block (RFC 9580 section 6.2). */
export function armorCertificates(certificates: readonly RawCertificate[]): string {
  return armor('PUBLIC KEY BLOCK', Buffer.concat(certificates.map(({ octets }) => octets)));
}

/** Octets as an armored block with that name. */
export function armor(name: string, octets: Buffer): string {
  const base64 = octets.toString('base64');
  const lines = Array.from({ length: Math.ceil(base64.length / 64) }, (_, line) =>
    base64.slice(line * 64, (line + 1) * 64),
  );
  const checksum = crc24(octets).toString('base64');
  return `-----BEGIN PGP ${name}-----\n\n${lines.join('\n')}\n=${checksum}\n-----END PGP ${name}-----\n`;
}

/**
 * What both know of the same certificate.
 * @throws KeyError if they are two.
 */
export function mergeCertificates(a: RawCertificate, b: RawCertificate): RawCertificate {
  if (!a.primary.body.equals(b.primary.body)) {
    throw new KeyError(`${a.fingerprint} and ${b.fingerprint} are two certificates`);
  }
  return assemble({
    primary: a.primary,
    signatures: mergeSignatures(a.signatures, b.signatures),
    users: mergeBy(a.users, b.users, bodyOf, (one, other) => ({
      ...one,
      signatures: mergeSignatures(one.signatures, other.signatures),
    })),
    subkeys: mergeBy(
      a.subkeys,
      b.subkeys,
      ({ key }) => bodyOf(key),
      (one, other) => ({ ...one, signatures: mergeSignatures(one.signatures, other.signatures) }),
    ),
  });
}

/**
 * The certificate with more signatures; those that it has already are not doubled.
 * @throws KeyError if it has no such user ID, or one of them is no signature packet.
 */
export function withSignatures(raw: RawCertificate, added: readonly AddedSignature[]): RawCertificate {
  const signaturesOn = (userId: string | null): readonly RawSignature[] =>
    added.filter((one) => one.userId === userId).map(({ signature }) => readSignaturePacket(signature));
  const stranger = added.find(
    ({ userId }) => userId !== null && !raw.users.some((user) => user.userId === userId),
  );
  if (stranger !== undefined) throw new KeyError(`${raw.fingerprint} has no user ID ${stranger.userId}`);
  return assemble({
    ...raw,
    signatures: mergeSignatures(raw.signatures, signaturesOn(null)),
    users: raw.users.map((user) =>
      user.userId === null
        ? user
        : { ...user, signatures: mergeSignatures(user.signatures, signaturesOn(user.userId)) },
    ),
  });
}

/**
 * The certificate without what others signed, but for those with `keyIds` (16 hexadecimal digits). That a signature names a key ID
 * does not say that the key made it.
 */
export function onlyCertifiedBy(raw: RawCertificate, keyIds: readonly string[]): RawCertificate {
  const kept = new Set([raw.primary.keyId, ...keyIds.map((keyId) => keyId.toUpperCase())]);
  const keep = (signatures: readonly RawSignature[]): readonly RawSignature[] =>
    signatures.filter(({ fields }) => kept.has(fields?.issuerKeyId ?? ''));
  return assemble({
    ...raw,
    signatures: keep(raw.signatures),
    users: raw.users.map((user) => ({ ...user, signatures: keep(user.signatures) })),
  });
}

/** The binary octets of each armored block of `data`, of whatever kind `names` lists, or `data` itself if it is binary. */
export function unarmorBlocks(data: Uint8Array, names: readonly string[]): readonly Buffer[] {
  const octets = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (((octets[0] ?? 0) & 0x80) !== 0) return [octets];
  const text = octets.toString('latin1');
  const blocks: Buffer[] = [];
  for (let begin = text.indexOf(BEGIN); begin >= 0; begin = text.indexOf(BEGIN, begin + 1)) {
    const nameEnd = text.indexOf('-----', begin + BEGIN.length);
    const name = nameEnd < 0 ? '' : text.slice(begin + BEGIN.length, nameEnd);
    if (name.startsWith('PRIVATE KEY')) throw secretKeyError();
    if (!names.includes(name)) continue;
    const end = text.indexOf('-----END PGP ', nameEnd);
    if (end < 0) throw new KeyError(`an armored ${name} has no end`);
    blocks.push(unarmorBody(text.slice(nameEnd + '-----'.length, end), name));
    begin = end;
  }
  return blocks;
}

const BEGIN = '-----BEGIN PGP ';
const SIGNATURE = 2;
const SECRET_KEY = 5;
const PUBLIC_KEY = 6;
const SECRET_SUBKEY = 7;
const USER_ID = 13;
const PUBLIC_SUBKEY = 14;
const USER_ATTRIBUTE = 17;

function binaryBlocks(data: Uint8Array): readonly Buffer[] {
  return unarmorBlocks(data, ['PUBLIC KEY BLOCK']);
}

/** Header lines, an empty line, base64, and perhaps a checksum, which RFC 9580 wants ignored. */
function unarmorBody(text: string, name: string): Buffer {
  const [, , lines = ''] = /^([ \t]*\r?\n(?:[^\s:]+: ?[^\n]*\n)*)[ \t]*\r?\n([\s\S]*)$/.exec(text) ?? [];
  const checksum = lines.search(/\n=[A-Za-z0-9+/]{4}\s*$/);
  const base64 = checksum < 0 ? lines : lines.slice(0, checksum);
  if (!/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(base64)) {
    throw new KeyError(`an armored ${name} is no base64`);
  }
  return Buffer.from(base64, 'base64');
}

function crc24(octets: Buffer): Buffer {
  let crc = 0xb704ce;
  // By index: an iterator over some megabytes takes seconds.
  for (let at = 0; at < octets.length; at += 1) {
    crc = ((crc << 8) ^ (CRC_TABLE[((crc >> 16) ^ (octets[at] ?? 0)) & 0xff] ?? 0)) & 0xffffff;
  }
  return Buffer.of(crc >> 16, (crc >> 8) & 0xff, crc & 0xff);
}

/** RFC 9580 section 6.1.1, an octet at a time. */
const CRC_TABLE: Int32Array = /* @__PURE__ */ Int32Array.from({ length: 256 }, (_, octet) => {
  let crc = octet << 16;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc << 1) ^ ((crc & 0x800000) === 0 ? 0 : 0x1864cfb);
  return crc & 0xffffff;
});

interface Parts {
  readonly primary: RawKey;
  readonly signatures: readonly RawSignature[];
  readonly users: readonly RawUser[];
  readonly subkeys: readonly RawSubkey[];
}

function assemble({ primary, signatures, users, subkeys }: Parts): RawCertificate {
  const octets = Buffer.concat([
    primary.octets,
    ...signatures.map(octetsOf),
    ...users.flatMap((user) => [user.octets, ...user.signatures.map(octetsOf)]),
    ...subkeys.flatMap((subkey) => [subkey.key.octets, ...subkey.signatures.map(octetsOf)]),
  ]);
  return { fingerprint: primary.fingerprint, octets, primary, signatures, users, subkeys };
}

function octetsOf({ octets }: RawSignature): Buffer {
  return octets;
}

function bodyOf({ body }: RawPacket): string {
  return body.toString('latin1');
}

function mergeSignatures(a: readonly RawSignature[], b: readonly RawSignature[]): readonly RawSignature[] {
  return b.length === 0 ? a : mergeBy(a, b, signatureIdentity, (one) => one);
}

/** The unhashed part is nobody's word, and who passes a signature on may change it. */
function signatureIdentity({ octets, fields }: RawSignature): string {
  if (fields === null) return octets.toString('latin1');
  const { start, hashedEnd, digestStart } = fields;
  return `${octets.toString('latin1', start, hashedEnd)} ${octets.toString('latin1', digestStart)}`;
}

function mergeBy<One>(
  a: readonly One[],
  b: readonly One[],
  identity: (one: One) => string,
  merge: (one: One, other: One) => One,
): readonly One[] {
  const merged = new Map<string, One>();
  for (const one of [...a, ...b]) {
    const key = identity(one);
    const known = merged.get(key);
    merged.set(key, known === undefined ? one : merge(known, one));
  }
  return [...merged.values()];
}

/** A certificate while it is read. */
interface Growing {
  readonly start: number;
  readonly primary: RawKey;
  readonly signatures: RawSignature[];
  readonly users: (RawUser & { readonly signatures: RawSignature[] })[];
  readonly subkeys: (RawSubkey & { readonly signatures: RawSignature[] })[];
  /** Where a signature that comes next belongs. */
  current: RawSignature[];
}

function readBinary(data: Buffer): readonly RawCertificate[] {
  const found: RawCertificate[] = [];
  let growing: Growing | null = null;
  const finish = (end: number): void => {
    if (growing === null) return;
    const { start, primary, signatures, users, subkeys } = growing;
    const octets = data.subarray(start, end);
    found.push({ fingerprint: primary.fingerprint, octets, primary, signatures, users, subkeys });
  };
  for (let at = 0; at < data.length; ) {
    const header = parseHeader(data, at);
    const end = header === null ? Number.NaN : at + header.headerLength + header.bodyLength;
    if (header === null || !(end <= data.length)) {
      throw new KeyError(`no OpenPGP certificate can be read here: the packet at octet ${at} is not whole`);
    }
    if (header.tag === SIGNATURE && growing !== null) {
      growing.current.push(readSignature(data.subarray(at, end), header.headerLength));
    } else {
      const packet = { octets: data.subarray(at, end), body: data.subarray(at + header.headerLength, end) };
      if (header.tag === PUBLIC_KEY) {
        finish(at);
        growing = begin(at, packet);
      } else {
        grow(growing, header.tag, packet);
      }
    }
    at = end;
  }
  finish(data.length);
  return found;
}

function begin(start: number, packet: RawPacket): Growing {
  const primary = readKey(packet);
  if (primary === null) {
    throw new KeyError(`no OpenPGP certificate can be read here: a key of version ${packet.body[0] ?? 0}`);
  }
  const signatures: RawSignature[] = [];
  return { start, primary, signatures, users: [], subkeys: [], current: signatures };
}

function grow(growing: Growing | null, tag: number, packet: RawPacket): void {
  if (tag === SECRET_KEY || tag === SECRET_SUBKEY) throw secretKeyError();
  if (growing === null) {
    throw new KeyError(`no OpenPGP certificate can be read here: it begins with a packet of type ${tag}`);
  }
  switch (tag) {
    case USER_ID:
    case USER_ATTRIBUTE: {
      const userId = tag === USER_ID ? packet.body.toString('utf8') : null;
      const user = { ...packet, userId, signatures: [] };
      growing.users.push(user);
      growing.current = user.signatures;
      return;
    }
    case PUBLIC_SUBKEY: {
      const key = readKey(packet);
      const signatures: RawSignature[] = [];
      if (key !== null) growing.subkeys.push({ key, signatures });
      growing.current = signatures;
    }
  }
}

/** RFC 9580 section 5.5.2; null for versions that we do not know, and for what is too short or too long for its own. */
function readKey(packet: RawPacket): RawKey | null {
  const { body } = packet;
  const [version] = body;
  if ((version !== 4 && version !== 6) || body.length < 12 || body.length > KEY_MAX_BYTES) return null;
  const fingerprint = FINGERPRINTS[version](body) as Fingerprint;
  return {
    ...packet,
    version,
    fingerprint,
    keyId: version === 4 ? fingerprint.slice(-16) : fingerprint.slice(0, 16),
    algorithm: body[5] ?? 0,
    createdAtSeconds: body.readUInt32BE(1),
  };
}

/** RFC 9580 section 5.5.4. */
const FINGERPRINTS: Readonly<Record<4 | 6, (body: Buffer) => string>> = {
  4: (body) => hash('sha1', withKeyPrefix(body), 'hex').toUpperCase(),
  6: (body) => {
    const prefix = Buffer.of(0x9b, 0, 0, body.length >> 8, body.length & 0xff);
    return hash('sha256', Buffer.concat([prefix, body]), 'hex').toUpperCase();
  },
};

/** How a key of version 4 goes into its fingerprint, and into what is signed (RFC 9580 section 5.2.4). */
export function withKeyPrefix(body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0x99, body.length >> 8, body.length & 0xff), body]);
}

function readSignaturePacket(octets: Buffer): RawSignature {
  const header = parseHeader(octets);
  if (header?.tag !== SIGNATURE || header.headerLength + header.bodyLength !== octets.length) {
    throw new KeyError('this is no signature packet');
  }
  return readSignature(octets, header.headerLength);
}

function readSignature(octets: Buffer, headerLength: number): RawSignature {
  return { octets, fields: readSignatureFields(octets, headerLength) };
}

function secretKeyError(): KeyError {
  return new KeyError('this is a secret key; only its certificate belongs here (gpg --export)');
}

const KEY_MAX_BYTES = 0xffff;
