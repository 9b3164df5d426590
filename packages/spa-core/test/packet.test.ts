import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import {
  decodeMessage,
  encodeMessage,
  HmacKey,
  type OpeningKeys,
  openPacket,
  parsePacket,
  randomDigits,
  readCertificates,
  readSecretKeys,
  SpaError,
  SymmetricKey,
  sealPacket,
} from 'spa-core';
import t from 'tap';
import { message, plainRequest as request } from './generators.ts';
import { type OpenPgpVectors, readVectors } from './vectors.ts';

const key = new SymmetricKey(Buffer.alloc(32, 1));
const hmac = new HmacKey(Buffer.alloc(64, 2), 'sha256');
const { timestampSeconds: nowSeconds } = request;
const host = { nowSeconds, random: randomBytes };

t.test('what is encoded decodes to itself', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(message, (original) => {
        return isDeepStrictEqual(decodeMessage(encodeMessage(original)), original);
      }),
    ),
  );
});

t.test('what is sealed opens to itself, with and without HMAC', async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(message, fc.boolean(), async (original, withHmac) => {
        const keys = { hmac: withHmac ? hmac : null };
        const packet = await sealPacket(original, { encryption: { kind: 'aes', key }, ...keys }, host).catch(
          tooLong,
        );
        if (packet === null) return true;
        const opened = await openPacket(
          parsePacket(Buffer.from(packet)),
          { kind: 'aes', key, ...keys },
          host,
        );
        return isDeepStrictEqual(opened.message, original);
      }),
    ),
  );
});

// As they were measured with fwknopd 2.6.10: the longest text that its daemon takes.
for (const [name, kind, digest, limit] of [
  ['a request with an HMAC', 'access', 'sha256', 255],
  ['a request with a long HMAC', 'access', 'sha512', 223],
  ['a request without an HMAC', 'access', null, 287],
  ['a command with an HMAC', 'command', 'sha256', 271],
] as const) {
  t.test(`${name} is sealed up to what fwknopd takes, and no further`, async (t) => {
    const mac = digest === null ? null : new HmacKey(Buffer.alloc(64, 2), digest);
    const lengths = { sealed: new Set<number>(), refused: new Set<number>() };
    for (let userLength = 1; userLength <= 48; userLength += 1) {
      for (let count = 1; count <= 28; count += 1) {
        const ports = Array.from({ length: count }, () => ({ protocol: 'tcp', port: 1 }) as const);
        const asked =
          kind === 'access'
            ? ({ kind, source: null, ports } as const)
            : ({ kind, source: null, command: 'x'.repeat(6 * count) } as const);
        const sample = { ...request, username: 'u'.repeat(userLength), request: asked };
        const packet = await sealPacket(sample, { encryption: { kind: 'aes', key }, hmac: mac }, host).catch(
          tooLong,
        );
        lengths[packet === null ? 'refused' : 'sealed'].add(encodeMessage(sample).length);
      }
    }
    t.equal(Math.max(...lengths.sealed), limit);
    t.ok(Math.min(...lengths.refused) > limit);
  });
}

t.test('any bytes give a message or a SpaError, nothing else', async (t) => {
  const keysOfAllKinds = [
    ...(await openPgpKeys()),
    { kind: 'aes', key, hmac: null },
    { kind: 'aes', key, hmac },
  ] as const;
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 1600 }),
    fc.base64String({ minLength: 140, maxLength: 1500 }).map((text) => Buffer.from(text)),
    fc.uint8Array({ minLength: 120, maxLength: 1000 }).map((body) => base64Of([0x85, 1, 12, 3, ...body])),
    fc.uint8Array({ minLength: 120, maxLength: 1000 }).map((body) => base64Of([0x84, 0x5e, 3, ...body])),
  );
  await t.resolves(
    fc.assert(
      fc.asyncProperty(bytes, fc.constantFrom(...keysOfAllKinds), async (junk, keys) => {
        try {
          await openPacket(parsePacket(junk), keys, host);
          return false;
        } catch (error) {
          return error instanceof SpaError;
        }
      }),
      { numRuns: 500 },
    ),
  );
});

t.test('a packet with any character changed does not open, or opens to the same identity', async (t) => {
  const [openPgp] = await openPgpKeys();
  const packets: readonly (readonly [string, OpeningKeys])[] = [
    [await sealPacket(request, { encryption: { kind: 'aes', key }, hmac }, host), { kind: 'aes', key, hmac }],
    [await sealPacket(request, { encryption: await openPgpSealing(), hmac: null }, host), openPgp],
  ];
  for (const [packet, keys] of packets) {
    const original = await openPacket(parsePacket(Buffer.from(packet)), keys, host);
    await t.resolves(
      fc.assert(
        fc.asyncProperty(fc.nat(packet.length - 1), fc.constantFrom(...'AZaz09+/'), async (at, character) => {
          const changed = packet.slice(0, at) + character + packet.slice(at + 1);
          const opened = await openOrNull(changed, keys);
          return opened === null || opened.id === original.id;
        }),
      ),
    );
  }
});

t.test('a packet that is spelled otherwise has no second identity', async (t) => {
  const sealed = await sealPacket(request, { encryption: { kind: 'aes', key }, hmac: null }, host);
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const last = alphabet.indexOf(sealed.slice(-1));
  for (let spare = 0; spare < 4; spare++) {
    const respelled = sealed.slice(0, -1) + alphabet.charAt((last & ~3) | spare);
    if (respelled === sealed) continue;
    await t.rejects(openPacket(parsePacket(Buffer.from(respelled)), { kind: 'aes', key, hmac: null }, host), {
      code: 'packet-base64',
    });
  }
  t.throws(() => parsePacket(Buffer.from(`${sealed}=`)), { code: 'packet-alphabet' });
  t.throws(() => parsePacket(Buffer.from(`${sealed}\n`)), { code: 'packet-alphabet' });
});

t.test('an OpenPGP packet that is re-framed opens to the same identity', async (t) => {
  const [keys] = await openPgpKeys();
  const packet = await sealPacket(request, { encryption: await openPgpSealing(), hmac: null }, host);
  const binary = Buffer.from(`hQ${packet}`, 'base64');
  const sessionKeyLength = binary.readUInt16BE(1);
  const rest = binary.subarray(3 + sessionKeyLength);
  const bodyOf = rest[1] !== undefined && rest[1] < 192 ? rest.subarray(2) : rest.subarray(3);
  const reframed = Buffer.concat([
    binary.subarray(0, 3 + sessionKeyLength),
    Buffer.of(0xd2, 255, 0, 0, bodyOf.length >> 8, bodyOf.length & 255),
    bodyOf,
  ]);
  const respelled = reframed.toString('base64').replaceAll('=', '').slice(2);
  t.not(respelled, packet);
  const original = await openPacket(parsePacket(Buffer.from(packet)), keys, host);
  const again = await openPacket(parsePacket(Buffer.from(respelled)), keys, host);
  t.equal(again.id, original.id);
});

t.test('ECC, RSA-2048 and RSA-3072 packets fit, RSA-4096 is refused with what to use instead', async (t) => {
  const sizes = new Map<string, number>();
  for (const [signer, recipient] of [
    ['cli-ecc', 'srv-ecc'],
    ['cli-rsa2048', 'srv-rsa2048'],
    ['cli-rsa3072', 'srv-rsa3072'],
  ] as const) {
    const [keys] = await openPgpKeys(recipient);
    const packet = await sealPacket(
      request,
      { encryption: await openPgpSealing(signer, recipient), hmac },
      host,
    );
    const opened = await openPacket(parsePacket(Buffer.from(packet)), { ...keys, hmac }, host);
    t.strictSame(opened.message, request, signer);
    sizes.set(signer, packet.length);
  }
  t.ok((sizes.get('cli-ecc') ?? 0) < 700);
  const tooBig = await openPgpSealing('cli-rsa4096', 'srv-rsa4096');
  await t.rejects(sealPacket(request, { encryption: tooBig, hmac }, host), {
    code: 'packet-too-long',
    message: /^a signature with your RSA-4096 key .* 1500 is the limit: sign with an ed25519 key/,
  });
});

t.test('a packet to somebody else, signed by somebody else, or unsigned does not open', async (t) => {
  const [keys] = await openPgpKeys();
  const [others] = await openPgpKeys('srv-rsa2048');
  const packet = parsePacket(
    Buffer.from(await sealPacket(request, { encryption: await openPgpSealing(), hmac: null }, host)),
  );
  await t.rejects(openPacket(packet, others, host), { code: 'decrypt' });
  await t.rejects(openPacket(packet, { ...keys, certificates: [] } as OpeningKeys, host), {
    code: 'signature',
  });
  await t.rejects(openPacket(packet, { ...keys, hmac }, host), { code: 'hmac' });
  await t.rejects(openPacket(packet, { kind: 'aes', key, hmac: null }, host), { code: 'packet-kind' });
});

t.test('keys cannot be printed', async (t) => {
  const [signer] = await readSecretKeys(Buffer.from(openPgpVectors().client_secret_keys['cli-ecc'] ?? ''));
  t.equal(JSON.stringify({ key, hmac }), '{"key":"[symmetric key]","hmac":"[HMAC key]"}');
  t.equal(JSON.stringify(signer), `"${signer?.fingerprint}"`);
});

t.test('random digits come from the given source and have no bias', async (t) => {
  t.equal(
    randomDigits((bytes) => new Uint8Array(bytes).fill(7)),
    '7'.repeat(16),
  );
  let round = 0;
  t.equal(
    randomDigits((bytes) => new Uint8Array(bytes).fill(round++ === 0 ? 255 : 13)),
    '3'.repeat(16),
  );
});

function openPgpVectors(): OpenPgpVectors {
  return readVectors<OpenPgpVectors>('06-gpg');
}

async function openPgpKeys(recipient = 'srv-ecc'): Promise<readonly [OpeningKeys & { kind: 'openpgp' }]> {
  const file = openPgpVectors();
  const clients = Object.values(file.client_secret_keys).map((text) => readCertificates(Buffer.from(text)));
  const secretKeys = await readSecretKeys(Buffer.from(file.server_secret_keys[recipient] ?? ''));
  return [
    {
      kind: 'openpgp',
      secretKeys,
      certificates: (await Promise.all(clients)).flat(),
      requireSignature: true,
      hmac: null,
    },
  ];
}

async function openPgpSealing(signerName = 'cli-ecc', recipientName = 'srv-ecc') {
  const file = openPgpVectors();
  const [signer] = await readSecretKeys(Buffer.from(file.client_secret_keys[signerName] ?? ''));
  const [recipient] = await readCertificates(Buffer.from(file.server_secret_keys[recipientName] ?? ''));
  if (signer === undefined || recipient === undefined) throw new Error('vector file without keys');
  return { kind: 'openpgp' as const, signer, recipient };
}

async function openOrNull(packet: string, keys: OpeningKeys) {
  return Promise.resolve()
    .then(() => openPacket(parsePacket(Buffer.from(packet)), keys, host))
    .catch((error: unknown) => {
      if (error instanceof SpaError) return null;
      throw error;
    });
}

function tooLong(error: unknown): null {
  if (error instanceof SpaError && error.code === 'packet-too-long') return null;
  throw error;
}

function base64Of(bytes: readonly number[]): Buffer {
  return Buffer.from(Buffer.from(bytes).toString('base64').replaceAll('=', '').slice(2));
}
