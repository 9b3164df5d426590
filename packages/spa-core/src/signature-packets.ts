/**
 * What a signature packet of version 4 says (RFC 9580 section 5.2.3). Only the issuer and an embedded signature may come from its
 * unhashed part: both prove themselves. All else is what its maker signed, if he did.
 */
export interface SignatureFields {
  /** RFC 9580 section 5.2.1. */
  readonly type: number;
  /** Of the public key, RFC 9580 section 9.1. */
  readonly algorithm: number;
  /** RFC 9580 section 9.5. */
  readonly hash: number;
  /** Seconds since 1970; null: it does not say, and counts for nothing. */
  readonly createdAtSeconds: number | null;
  /** Seconds since 1970; null: never. */
  readonly expiresAtSeconds: number | null;
  readonly isExportable: boolean;
  /** 16 upper-case hexadecimal digits; null: it does not say. */
  readonly issuerKeyId: string | null;
  /** Key flags (section 5.2.3.29); null: it does not say. */
  readonly keyFlags: number | null;
  /** How long after its creation the signed key ends; null: never. */
  readonly keyLifetimeSeconds: number | null;
  readonly isPrimaryUserId: boolean;
  /** Reason for revocation (section 5.2.3.31); null: it does not say. */
  readonly revocationReason: { readonly code: number; readonly text: string } | null;
  /** The body of a signature inside this one (section 5.2.3.34), a signing subkey's own. */
  readonly embedded: Buffer | null;
  /** True if its maker wants it refused by who does not understand all of it, as we do not. */
  readonly isBeyondUs: boolean;
  /** Where in the octets of the packet its body begins, and with it the part that is signed. */
  readonly start: number;
  /** Where that part ends. */
  readonly hashedEnd: number;
  /** Where the left 16 bits of the digest are; the numbers of the signature follow. */
  readonly digestStart: number;
}

/** What a signature packet says whose body goes from `start` to the end; null if it is of another version, or broken. */
export function readSignatureFields(octets: Buffer, start: number): SignatureFields | null {
  if (octets.length < start + 10 || octets[start] !== 4) return null;
  const hashedEnd = start + 6 + octets.readUInt16BE(start + 4);
  if (hashedEnd + 2 > octets.length) return null;
  const digestStart = hashedEnd + 2 + octets.readUInt16BE(hashedEnd);
  if (digestStart + 4 > octets.length) return null;
  // One object, and no copy of it: a roster has a hundred thousand of them.
  const said: Said = {
    type: octets[start + 1] ?? 0,
    algorithm: octets[start + 2] ?? 0,
    hash: octets[start + 3] ?? 0,
    createdAtSeconds: null,
    expiresAtSeconds: null,
    isExportable: true,
    issuerKeyId: null,
    keyFlags: null,
    keyLifetimeSeconds: null,
    isPrimaryUserId: false,
    revocationReason: null,
    embedded: null,
    isBeyondUs: false,
    start,
    hashedEnd,
    digestStart,
  };
  if (!readSubpackets(octets, start + 6, hashedEnd, said, HASHED)) return null;
  if (!readSubpackets(octets, hashedEnd + 2, digestStart, said, UNHASHED)) return null;
  const { createdAtSeconds, expiresAtSeconds: lifetimeSeconds } = said;
  if (lifetimeSeconds !== null) {
    said.expiresAtSeconds = createdAtSeconds === null ? null : createdAtSeconds + lifetimeSeconds;
  }
  return said;
}

/** One subpacket (RFC 9580 section 5.2.3.7), of less than 16,320 octets. */
export function writeSubpacket(type: number, value: Uint8Array): Buffer {
  const length = value.length + 1;
  const size =
    length < 192 ? Buffer.of(length) : Buffer.of(192 + ((length - 192) >> 8), (length - 192) & 0xff);
  return Buffer.concat([size, Buffer.of(type), value]);
}

/** Numbers of subpackets (RFC 9580 section 5.2.3.7). */
export const SUBPACKET = {
  creationTime: 2,
  expirationTime: 3,
  isExportable: 4,
  keyExpirationTime: 9,
  issuerKeyId: 16,
  isPrimaryUserId: 25,
  keyFlags: 27,
  reason: 29,
  embedded: 32,
  issuerFingerprint: 33,
} as const;

/** While it is read, when it expires counts from when it was made. */
type Said = { -readonly [Name in keyof SignatureFields]: SignatureFields[Name] };

type Reader = (said: Said, body: Buffer, start: number, end: number) => void;

const UNHASHED: Readonly<Record<number, Reader>> = {
  [SUBPACKET.issuerKeyId]: (said, body, start, end) => {
    if (end - start === 8) said.issuerKeyId ??= keyIdAt(body, start);
  },
  [SUBPACKET.issuerFingerprint]: (said, body, start, end) => {
    // Of a key of version 4 its last eight octets are the key ID.
    if (body[start] === 4 && end - start === 21) {
      said.issuerKeyId ??= keyIdAt(body, end - 8);
    }
  },
  [SUBPACKET.embedded]: (said, body, start, end) => {
    said.embedded ??= body.subarray(start, end);
  },
};

const HASHED: Readonly<Record<number, Reader>> = {
  ...UNHASHED,
  [SUBPACKET.creationTime]: (said, body, start, end) => {
    if (end - start === 4) said.createdAtSeconds = body.readUInt32BE(start);
  },
  [SUBPACKET.expirationTime]: (said, body, start, end) => {
    if (end - start === 4) said.expiresAtSeconds = body.readUInt32BE(start) || null;
  },
  [SUBPACKET.isExportable]: (said, body, start, end) => {
    if (end - start === 1) said.isExportable = body[start] !== 0;
  },
  [SUBPACKET.keyExpirationTime]: (said, body, start, end) => {
    if (end - start === 4) said.keyLifetimeSeconds = body.readUInt32BE(start) || null;
  },
  [SUBPACKET.isPrimaryUserId]: (said, body, start, end) => {
    if (end - start === 1) said.isPrimaryUserId = body[start] !== 0;
  },
  [SUBPACKET.keyFlags]: (said, body, start, end) => {
    said.keyFlags = end > start ? (body[start] ?? 0) : 0;
  },
  [SUBPACKET.reason]: (said, body, start, end) => {
    if (end > start)
      said.revocationReason = { code: body[start] ?? 0, text: body.toString('utf8', start + 1, end) };
  },
};

/** A few keys make a hundred thousand signatures: one text for each key. */
function keyIdAt(body: Buffer, start: number): string {
  const high = body.readUInt32BE(start);
  const low = body.readUInt32BE(start + 4);
  const slot = low % KEY_IDS.length;
  const known = KEY_IDS[slot];
  if (known?.low === low && known.high === high) return known.keyId;
  const keyId = body.toString('hex', start, start + 8).toUpperCase();
  KEY_IDS[slot] = { high, low, keyId };
  return keyId;
}

/** The last of those whose key IDs share a place: more would be for whoever sends strange ones to fill. */
const KEY_IDS: ({ readonly high: number; readonly low: number; readonly keyId: string } | null)[] =
  /* @__PURE__ */ Array.from({ length: 1024 }, () => null);

/** Those whose meaning changes nothing for us: trust, revocable, preferences, the policy's address, features and the like. */
const HARMLESS: ReadonlySet<number> = new Set([5, 7, 11, 12, 21, 22, 23, 24, 26, 28, 30, 31, 34, 35, 39]);
const IS_CRITICAL = 0x80;

/** False if a length leads beyond the end. */
function readSubpackets(
  body: Buffer,
  from: number,
  to: number,
  said: Said,
  readers: Readonly<Record<number, Reader>>,
): boolean {
  for (let at = from; at < to; ) {
    const first = body[at] ?? 0;
    let length = first;
    at += 1;
    if (first === 255) {
      if (at + 4 > to) return false;
      length = body.readUInt32BE(at);
      at += 4;
    } else if (first >= 192) {
      if (at + 1 > to) return false;
      length = ((first - 192) << 8) + (body[at] ?? 0) + 192;
      at += 1;
    }
    if (length < 1 || at + length > to) return false;
    const type = body[at] ?? 0;
    const reader = readers[type & 0x7f];
    if (reader !== undefined) reader(said, body, at + 1, at + length);
    else if (readers === HASHED && (type & IS_CRITICAL) !== 0 && !HARMLESS.has(type & 0x7f)) {
      said.isBeyondUs = true;
    }
    at += length;
  }
  return true;
}
