import { randomBytes } from 'node:crypto';
import {
  beginOpening,
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
  type SecretKey,
  SpaError,
  SymmetricKey,
  sealPacket,
} from 'spa-core';
import t from 'tap';
import { plainRequest as request } from './generators.ts';
import { type OpenPgpVector, type OpenPgpVectors, readVectors, type SymmetricVector } from './vectors.ts';

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

t.test(
  'every AES packet of the stock client is made again from its fields and its salt, byte for byte',
  async (t) => {
    for (const vector of SYMMETRIC_FILES.flatMap(symmetricVectors)) {
      const keys = keysOf(vector);
      const { message } = await open(vector.packet, keys, 0);
      const sealing = { encryption: { kind: 'aes' as const, key: keys.key }, hmac: keys.hmac };
      const salt = beginOpening(parsePacket(Buffer.from(vector.packet)))
        .container(keys.hmac)
        ?.subarray(8, 16);
      const packet = await sealPacket(message, sealing, {
        nowSeconds: 0,
        random: () => salt ?? Buffer.alloc(8),
      });
      t.equal(packet, vector.packet, vector.name);
    }
  },
);

/** Where the verdict on packets with OpenPGP is another than fwknopd's. */
const OPENPGP_DEVIATIONS = new Map([
  [
    'ed25519-signed-cv25519 (lost prefix)',
    'accepted: the two characters that the stock client cut off are found again',
  ],
  ['ed25519-signed-cv25519-hmac (lost prefix)', 'accepted: the same, by its HMAC'],
]);

t.test(
  'OpenPGP packets of the stock client get the verdict of fwknopd, but for the listed deviations',
  async (t) => {
    const file = readVectors<OpenPgpVectors>('06-gpg');
    const clients = await Promise.all(
      Object.values(file.client_secret_keys).map((key) => readCertificates(Buffer.from(key))),
    );
    const deviations: string[] = [];
    for (const vector of file.vectors) {
      const secretKeys = await readSecretKeys(Buffer.from(file.server_secret_keys[vector.recipient] ?? ''));
      if (vector.packet === undefined) {
        await t.rejects(sealAs(vector, file, secretKeys), { code: 'packet-too-long' }, vector.name);
        continue;
      }
      const nowSeconds = timeOf(vector.expected.plaintext);
      const keys: OpeningKeys = {
        kind: 'openpgp',
        secretKeys,
        certificates: clients.flat(),
        // The stanza of the one that nobody signed has GPG_DISABLE_SIG.
        requireSignature: vector.signer !== null,
        hmac: hmacOf(vector.hmac_key_base64, vector.hmac_type),
      };
      const opened = await open(vector.packet, keys, nowSeconds);
      const [signer] =
        vector.signer === null
          ? []
          : await readCertificates(Buffer.from(file.client_secret_keys[vector.signer] ?? ''));
      t.equal(encodeMessage(opened.message), vector.expected.plaintext, vector.name);
      t.equal(opened.signer, signer?.fingerprint ?? null, vector.name);
      if (vector.fwknopd_2_6_10 !== 'accept') deviations.push(vector.name);
      if (vector.signer === null) {
        const asking = { ...keys, requireSignature: true };
        t.equal(
          await codeOf(vector.packet, asking, nowSeconds),
          'signature',
          `${vector.name}, signature asked for`,
        );
      }
    }
    t.strictSame(deviations, [...OPENPGP_DEVIATIONS.keys()]);
  },
);

/** What our client makes of keys of which the stock client makes nothing. */
async function sealAs(
  { signer }: OpenPgpVector,
  file: OpenPgpVectors,
  recipients: readonly SecretKey[],
): Promise<string> {
  const [key] = await readSecretKeys(Buffer.from(file.client_secret_keys[signer ?? ''] ?? ''));
  const recipient = recipients[0]?.certificate();
  if (key === undefined || recipient === undefined) throw new Error('the vector names its keys');
  const host = { nowSeconds: timeOf(file.vectors[0]?.expected.plaintext ?? ''), random: randomBytes };
  return sealPacket(request, { encryption: { kind: 'openpgp', signer: key, recipient }, hmac: null }, host);
}

function symmetricVectors(file: string): readonly SymmetricVector[] {
  return readVectors<{ readonly vectors: readonly SymmetricVector[] }>(file).vectors;
}

function keysOf(vector: SymmetricVector): Extract<OpeningKeys, { kind: 'aes' }> {
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
