import {
  encodeMessage,
  HmacKey,
  messageTypeOf,
  type OpenedPacket,
  type OpeningKeys,
  openPacket,
  parseCipherMode,
  parseDigestName,
  parsePacket,
  readCertificates,
  readSecretKeys,
  SpaError,
  SymmetricKey,
} from 'spa-core';
import t from 'tap';
import { type OpenPgpVectors, readVectors, type SymmetricVector, type VerdictVectors } from './vectors.ts';

const SYMMETRIC_FILES = [
  '01-cbc-digest-hmac-matrix',
  '02-modes',
  '03-message-types',
  '04-keys',
  '05-users-times',
];

t.test('every AES packet of the stock client opens to the fields it was made from', async (t) => {
  for (const vector of SYMMETRIC_FILES.flatMap(symmetricVectors)) {
    const opened = await openPacket(parsePacket(Buffer.from(vector.packet)), keysOf(vector), {
      nowSeconds: 0,
    });
    const { message } = opened;
    t.equal(encodeMessage(message), vector.expected.plaintext, vector.name);
    t.equal(messageTypeOf(message).number, vector.expected.messageType, vector.name);
    t.equal(message.username, vector.expected.username, vector.name);
    t.equal(message.timestampSeconds, vector.expected.timestamp, vector.name);
    t.equal(message.clientTimeoutSeconds ?? 0, vector.expected.clientTimeout, vector.name);
  }
});

t.test('OpenPGP packets of the stock client open, ECC ones with a lost prefix too', async (t) => {
  const file = readVectors<OpenPgpVectors>('06-gpg');
  const clients = await Promise.all(
    Object.values(file.client_secret_keys).map((key) => readCertificates(Buffer.from(key))),
  );
  for (const vector of file.vectors) {
    if (vector.packet === undefined) continue;
    const keys: OpeningKeys = {
      kind: 'openpgp',
      secretKeys: await readSecretKeys(Buffer.from(file.server_secret_keys[vector.recipient] ?? '')),
      certificates: clients.flat(),
      requireSignature: true,
      hmac: hmacOf(vector.hmac_key_base64, vector.hmac_type),
    };
    if (vector.signer === null) {
      t.equal(await codeOf(vector.packet, keys, timeOf(vector.expected.plaintext)), 'signature', vector.name);
    } else {
      const opened = await open(vector.packet, keys, timeOf(vector.expected.plaintext));
      const [signer] = await readCertificates(Buffer.from(file.client_secret_keys[vector.signer] ?? ''));
      t.equal(encodeMessage(opened.message), vector.expected.plaintext, vector.name);
      t.equal(opened.signer, signer?.fingerprint, vector.name);
    }
  }
});

/** Where we are stricter than fwknopd on purpose, or not bound by its limits. */
const DEVIATIONS = new Map([
  ["timestamp '01795300000'", 'refused: leading zero'],
  ["timestamp 'abc'", 'refused: no number'],
  ["timestamp '2147483648'", 'accepted: no limit in 2038'],
  ["timestamp '999999999999'", 'accepted: no limit in 2038'],
  ["type ' 1'", 'refused: blank'],
  ["type '1x'", 'refused: no number'],
  ['type3 timeout 0000077', 'refused: leading zero'],
  ["msg '10.1.2.3,tcp/022'", 'refused: leading zero'],
  ["msg '010.1.2.3,tcp/4022'", 'refused: octal address'],
  ["msg '10.1.2.3,tcp/22\\x00,junk'", 'refused: NUL'],
  ['msg trailing = junk', 'refused: not canonical base64'],
  ["user 'a\\x00b'", 'refused: NUL'],
  ['plaintext 256 bytes, HMAC sha256', 'accepted: no limit of 400 characters'],
  ['plaintext 272 bytes, HMAC sha256', 'accepted: no limit of 400 characters'],
  ['command while ENABLE_CMD_EXEC is not set', 'opens: the stanza refuses it'],
  ['type4 while NAT is not enabled', 'opens: the stanza refuses it'],
  ['type5 while NAT is not enabled', 'opens: the stanza refuses it'],
  ['no HMAC replay with = appended (replay bypass)', 'refused: replay bypass'],
  ['no HMAC replay with =junk appended (replay bypass)', 'refused: replay bypass'],
  ['unused bits of last base64 char changed (replay bypass)', 'refused: replay bypass'],
]);

t.test('hand-made packets get the verdict of the stock daemon, but for the listed deviations', async (t) => {
  const file = readVectors<VerdictVectors>('07-server-verdicts');
  const key = new SymmetricKey(Buffer.from(file.key_base64, 'base64'));
  const hmac = new HmacKey(Buffer.from(file.hmac_key_base64, 'base64'), 'sha256');
  const seen = new Set<string>();
  const deviations = new Set<string>();
  for (const vector of file.cases.filter(({ access }) => access === 'hmac' || access === 'nohmac')) {
    const keys: OpeningKeys = { kind: 'aes', key, hmac: vector.access === 'nohmac' ? null : hmac };
    const opened = await open(vector.packet, keys, 0).catch((error: unknown) => error);
    const accepted = !(opened instanceof SpaError) && !seen.has((opened as OpenedPacket).id);
    if (accepted) seen.add((opened as OpenedPacket).id);
    if (accepted !== (vector.fwknopd_2_6_10 === 'accept')) deviations.add(vector.name);
  }
  t.strictSame([...deviations].sort(), [...DEVIATIONS.keys()].sort());
});

function symmetricVectors(file: string): readonly SymmetricVector[] {
  return readVectors<{ readonly vectors: readonly SymmetricVector[] }>(file).vectors;
}

function keysOf(vector: SymmetricVector): OpeningKeys {
  return {
    kind: 'aes',
    key: new SymmetricKey(Buffer.from(vector.key_base64, 'base64'), parseCipherMode(vector.mode) ?? 'cbc'),
    hmac: hmacOf(vector.hmac_key_base64, vector.hmac_type),
  };
}

function hmacOf(key: string | null, type: string | null): HmacKey | null {
  const digest = parseDigestName(type ?? '');
  return key === null || digest === null ? null : new HmacKey(Buffer.from(key, 'base64'), digest);
}

function timeOf(plaintext: string): number {
  return Number(plaintext.split(':')[2]);
}

function open(packet: string, keys: OpeningKeys, nowSeconds: number): Promise<OpenedPacket> {
  return Promise.resolve().then(() =>
    openPacket(parsePacket(Buffer.from(packet, 'latin1')), keys, { nowSeconds }),
  );
}

async function codeOf(packet: string, keys: OpeningKeys, nowSeconds = 0): Promise<string> {
  const outcome = await open(packet, keys, nowSeconds).catch((error: unknown) => error);
  return outcome instanceof SpaError ? outcome.code : 'opened';
}
