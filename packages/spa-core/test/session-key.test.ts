import { constants, generateKeyPairSync, publicEncrypt, randomBytes } from 'node:crypto';
import t from 'tap';
import { decryptRsaSessionKey, unpadSessionKey } from '../src/session-key.ts';

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

function encoded(algorithm: number, key: Buffer): Buffer {
  const sum = key.reduce((total, byte) => total + byte, 0) & 0xffff;
  return Buffer.concat([Buffer.of(algorithm), key, Buffer.of(sum >> 8, sum & 255)]);
}

t.test('session keys of every AES length come out as they went in', async (t) => {
  for (const [number, bytes, algorithm] of [
    [7, 16, 'aes128'],
    [8, 24, 'aes192'],
    [9, 32, 'aes256'],
  ] as const) {
    const key = randomBytes(bytes);
    const encrypted = publicEncrypt(
      { key: publicKey, padding: constants.RSA_PKCS1_PADDING },
      encoded(number, key),
    );
    const sessionKey = decryptRsaSessionKey(privateKey, encrypted);
    t.equal(sessionKey.algorithm, algorithm);
    t.ok(key.equals(sessionKey.data));
  }
});

t.test('wrong padding, algorithm or checksum gives a random key, never an error', async (t) => {
  const fallback = randomBytes(32);
  const good = Buffer.concat([
    Buffer.of(0, 2),
    Buffer.alloc(218, 1),
    Buffer.of(0),
    encoded(9, Buffer.alloc(32, 5)),
  ]);
  t.equal(good.length, 256);
  t.notSame(unpadSessionKey(good, fallback).data, fallback);
  for (const at of [0, 1, 100, 220, 221, 230, 254, 255]) {
    const bad = Buffer.from(good);
    bad[at] = at === 100 ? 0 : (bad[at] ?? 0) ^ 1;
    t.same(unpadSessionKey(bad, fallback), { algorithm: 'aes256', data: fallback }, `octet ${at}`);
  }
  t.equal(decryptRsaSessionKey(privateKey, Buffer.alloc(256, 0xff)).data.length, 32);
  t.equal(decryptRsaSessionKey(privateKey, randomBytes(3)).data.length, 32);
});
