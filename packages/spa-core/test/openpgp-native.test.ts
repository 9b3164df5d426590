import * as fc from 'fast-check';
import {
  Certificate,
  encodeMessage,
  type Message,
  type OpeningKeys,
  openPacket,
  parsePacket,
  readCertificates,
  readSecretKeys,
  SecretKey,
  SpaError,
  sealPacket,
} from 'spa-core';
import t from 'tap';
import { decryptContent, readSignedText, verifySignedText } from '../src/openpgp-native.ts';
import { firstPacket, splitPackets } from '../src/openpgp-packets.ts';
import { decryptSessionKey, recipientOf } from '../src/session-key.ts';
import { plainRequest as message } from './generators.ts';
import { type OpenPgpVectors, readVectors } from './vectors.ts';

const PAIRS = [
  ['cli-ecc', 'srv-ecc'],
  ['cli-rsa2048', 'srv-rsa2048'],
  ['cli-rsa3072', 'srv-rsa3072'],
  ['cli-ecc', 'srv-rsa2048'],
] as const;

const { timestampSeconds: nowSeconds } = message;
const file = readVectors<OpenPgpVectors>('06-gpg');

for (const [signerName, recipientName] of PAIRS) {
  t.test(`${signerName} to ${recipientName}`, async (t) => {
    const { packet, signer, secretKeys, certificates } = await setUp(signerName, recipientName);
    const first = firstPacket(Buffer.from(`hQ${packet}`, 'base64'));
    const key = secretKeys[0]?.decryptionKey(recipientOf(first?.packet.body ?? Buffer.alloc(0)) ?? '');
    const sessionKey = key && first ? decryptSessionKey(key, first.packet.body) : null;
    const [encrypted] = splitPackets(first?.rest ?? Buffer.alloc(0)) ?? [];
    if (!sessionKey || !encrypted) throw new Error('the packet does not have the usual form');

    await t.test('a packet of our client is opened without the library', async (t) => {
      const text = readSignedText(decryptContent(encrypted.body, sessionKey) ?? Buffer.alloc(0));
      t.equal(text?.data.toString('latin1'), encodeMessage(message));
      t.equal(text?.createdSeconds, nowSeconds);
      const own = certificates.find((certificate) => certificate.fingerprint === signer.fingerprint);
      const verificationKey = own?.verificationKey(text?.keyId ?? '');
      if (!text || !verificationKey) throw new Error('no key verifies it');
      t.ok(verifySignedText(text, verificationKey));
      for (const other of certificates.filter((certificate) => certificate !== own)) {
        for (const keyId of other.keyIds) {
          const otherKey = other.verificationKey(keyId);
          if (otherKey !== null) t.notOk(verifySignedText(text, otherKey), 'no other key does');
        }
      }
    });

    await t.test('of a damaged packet nothing is accepted', async (t) => {
      await t.resolves(
        fc.assert(
          fc.asyncProperty(
            fc.nat(encrypted.body.length - 1),
            fc.integer({ min: 1, max: 255 }),
            async (at, bits) => {
              const damaged = Buffer.from(encrypted.body);
              damaged[at] = (damaged[at] ?? 0) ^ bits;
              return decryptContent(damaged, sessionKey) === null;
            },
          ),
          { numRuns: 200 },
        ),
      );
    });

    await t.test('what is signed by somebody else is refused, however the packet is damaged', async (t) => {
      const others = certificates.filter(({ fingerprint }) => fingerprint !== signer.fingerprint);
      const keys: OpeningKeys = {
        kind: 'openpgp',
        secretKeys,
        certificates: others,
        requireSignature: true,
        hmac: null,
      };
      await t.rejects(openPacket(parsePacket(Buffer.from(packet)), keys, { nowSeconds }), {
        code: 'signature',
      });
    });
  });
}

t.test('a key that has expired, was revoked or is not there yet does not count', async (t) => {
  const openpgp = await import('openpgp');
  const birth = new Date((nowSeconds - 1000) * 1000);
  const userIDs = { name: 'alice' };
  const { privateKey } = await openpgp.generateKey({ userIDs, date: birth, format: 'object' });
  const expired = { privateKey, userIDs, date: birth, keyExpirationTime: 500, format: 'object' } as const;
  const variants = {
    valid: privateKey,
    expired: (await openpgp.reformatKey(expired)).privateKey,
    revoked: (await openpgp.revokeKey({ key: privateKey, date: birth, format: 'object' })).privateKey,
  };
  const { secretKeys, recipient } = await setUp('cli-ecc', 'srv-ecc');
  const signer = new SecretKey(privateKey);
  const packet = parsePacket(Buffer.from(await seal(message, signer, recipient, nowSeconds)));
  const openWith = (key: typeof privateKey, atSeconds: number) => {
    const certificates = [new Certificate(key.toPublic())];
    const keys: OpeningKeys = {
      kind: 'openpgp',
      secretKeys,
      certificates,
      requireSignature: true,
      hmac: null,
    };
    return openPacket(packet, keys, { nowSeconds: atSeconds });
  };
  t.equal((await openWith(variants.valid, nowSeconds)).signer, signer.fingerprint);
  await t.rejects(openWith(variants.expired, nowSeconds), {
    code: 'signature',
    message: /does not count: primary key is expired$/,
  });
  await t.rejects(openWith(variants.revoked, nowSeconds), {
    code: 'signature',
    message: /does not count: primary key is revoked$/,
  });
  await t.rejects(openWith(variants.valid, nowSeconds - 200_000), SpaError, 'signed in the far future');
});

t.test('a session key that was damaged on its way to X25519 is none', async (t) => {
  const { packet, secretKeys } = await setUp('cli-ecc', 'srv-ecc');
  const body = firstPacket(Buffer.from(`hQ${packet}`, 'base64'))?.packet.body ?? Buffer.alloc(0);
  const key = secretKeys[0]?.decryptionKey(recipientOf(body) ?? '');
  if (!key) throw new Error('no key for it');
  t.equal(decryptSessionKey(key, body)?.algorithm, 'aes256');
  for (let at = 9; at < body.length; at++) {
    // A length in bits, of which the last does not change the number of octets.
    if (at === 11) continue;
    const damaged = Buffer.from(body);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    t.equal(decryptSessionKey(key, damaged), null, `octet ${at}`);
  }
});

async function setUp(signerName: string, recipientName: string) {
  const [signer] = await readSecretKeys(Buffer.from(file.client_secret_keys[signerName] ?? ''));
  const secretKeys = await readSecretKeys(Buffer.from(file.server_secret_keys[recipientName] ?? ''));
  const [recipient] = await readCertificates(Buffer.from(file.server_secret_keys[recipientName] ?? ''));
  const clients = Object.values(file.client_secret_keys).map((text) => readCertificates(Buffer.from(text)));
  const certificates = (await Promise.all(clients)).flat();
  if (signer === undefined || recipient === undefined) throw new Error('vector file without keys');
  const packet = await seal(message, signer, recipient, nowSeconds);
  return { packet, signer, recipient, secretKeys, certificates };
}

function seal(
  wanted: Message,
  signer: Awaited<ReturnType<typeof readSecretKeys>>[number],
  recipient: Awaited<ReturnType<typeof readCertificates>>[number],
  atSeconds: number,
): Promise<string> {
  const host = { nowSeconds: atSeconds, random: (bytes: number) => Buffer.alloc(bytes, 7) };
  return sealPacket(wanted, { encryption: { kind: 'openpgp', signer, recipient }, hmac: null }, host);
}
