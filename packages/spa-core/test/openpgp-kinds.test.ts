import { randomBytes } from 'node:crypto';
import * as openpgp from 'openpgp';
import {
  type Certificate,
  encodeMessage,
  expectedLength,
  HmacKey,
  openPacket,
  parsePacket,
  readCertificates,
  readSecretKeys,
  type SecretKey,
  SpaError,
  sealingSizes,
  sealPacket,
} from 'spa-core';
import t from 'tap';
import { plainRequest as request } from './generators.ts';

const { timestampSeconds: nowSeconds } = request;
const host = { nowSeconds, random: randomBytes };
const hmac = new HmacKey(Buffer.alloc(64, 2), 'sha256');

type KeyOptions = Pick<openpgp.KeyOptions, 'type' | 'curve' | 'rsaBits' | 'config'>;

/** Keys as the library makes them. The last two ask for a form of message that no receiver of this wire has to know. */
const KINDS: Readonly<Record<string, KeyOptions>> = {
  'RSA-2048': { type: 'rsa', rsaBits: 2048 },
  'Curve25519 as GnuPG makes it': { type: 'ecc', curve: 'curve25519Legacy' },
  'NIST P-256': { type: 'ecc', curve: 'nistP256' },
  'NIST P-384': { type: 'ecc', curve: 'nistP384' },
  'NIST P-521': { type: 'ecc', curve: 'nistP521' },
  'Curve25519 of RFC 9580': { type: 'curve25519' },
  'Curve448 of RFC 9580': { type: 'curve448' },
  'Curve25519, version 6': { type: 'curve25519', config: { v6Keys: true } },
  'Curve25519 with AEAD': { type: 'curve25519', config: { aeadProtect: true } },
  'Curve25519, version 6, with AEAD': { type: 'curve25519', config: { v6Keys: true, aeadProtect: true } },
};

for (const [name, options] of Object.entries(KINDS)) {
  t.test(`keys of the kind ${name} seal and open, with HMAC and without`, async (t) => {
    const signer = await makeKey('operator', options);
    const recipient = await makeKey('bastion', options);
    for (const mac of [hmac, null]) {
      const encryption = {
        kind: 'openpgp',
        signer: signer.secret,
        recipient: recipient.certificate,
      } as const;
      const packet = await sealPacket(request, { encryption, hmac: mac }, host);
      const opened = await open(packet, recipient.secret, signer.certificate, mac);
      t.equal(opened, signer.certificate.fingerprint, mac === null ? 'without HMAC' : 'with HMAC');
      const sizes = await sealingSizes(
        { signer: signer.secret, recipient: recipient.certificate },
        nowSeconds,
      );
      const expected = expectedLength(sizes, encodeMessage(request).length) + (mac === null ? 0 : 43);
      // A signature of version 6 has a salt and a longer fingerprint.
      const more = signer.certificate.fingerprint.length === 64 ? 122 : 0;
      t.ok(
        Math.abs(packet.length - expected - more) <= 12,
        `${packet.length} characters are near ${expected}`,
      );
    }
  });
}

t.test('a message to a recipient of version 6 opens if an HMAC vouches for it, else not', async (t) => {
  const options = { type: 'curve25519', config: { v6Keys: true, aeadProtect: true } } as const;
  const signer = await makeKey('operator', options);
  const recipient = await makeKey('bastion', options);
  const message = await openpgp.encrypt({
    message: await openpgp.createMessage({ binary: Buffer.from(encodeMessage(request), 'latin1') }),
    encryptionKeys: recipient.certificate.openpgpKey(),
    signingKeys: signer.secret.openpgpKey(),
    format: 'binary',
    date: new Date(nowSeconds * 1000),
  });
  t.match(Buffer.from(message).toString('hex', 0, 3), /^c16d06/, 'a PKESK of version 6');
  const encryption = { kind: 'external', signAndEncrypt: async () => message as Uint8Array } as const;
  for (const [mac, expected] of [
    [hmac, signer.certificate.fingerprint],
    [null, 'decrypt'],
  ] as const) {
    const packet = await sealPacket(request, { encryption, hmac: mac }, host);
    t.equal(await open(packet, recipient.secret, signer.certificate, mac), expected);
    t.equal(await open(packet, signer.secret, signer.certificate, mac), 'decrypt', 'and for nobody else');
  }
});

async function makeKey(
  name: string,
  options: KeyOptions,
): Promise<{ readonly secret: SecretKey; readonly certificate: Certificate }> {
  const { privateKey, publicKey } = await openpgp.generateKey({
    ...options,
    userIDs: [{ name }],
    date: new Date(nowSeconds * 1000),
    format: 'binary',
  });
  const [secret] = await readSecretKeys(privateKey);
  const [certificate] = await readCertificates(publicKey);
  if (secret === undefined || certificate === undefined) throw new Error('the library made no key');
  return { secret, certificate };
}

/** Who signed; or the code of the error if it does not open. */
async function open(packet: string, secretKey: SecretKey, certificate: Certificate, mac: HmacKey | null) {
  const keys = { secretKeys: [secretKey], certificates: [certificate], requireSignature: true, hmac: mac };
  try {
    return (await openPacket(parsePacket(Buffer.from(packet)), { kind: 'openpgp', ...keys }, host)).signer;
  } catch (error) {
    if (error instanceof SpaError) return error.code;
    throw error;
  }
}
