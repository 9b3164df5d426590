import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  HmacKey,
  type OpeningKeys,
  openPacket,
  parsePacket,
  readCertificates,
  readSecretKeys,
  SpaError,
  sealPacket,
} from 'spa-core';
import { createGnupgHome, createScratch, type GnupgHome, lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { messageOf } from './gate.ts';

const skip = lackingPrograms('gpg');
const hmac = new HmacKey(randomBytes(64), 'sha256');
/** As gpg names them (`--compress-algo`). */
const COMPRESSIONS = ['none', 'zip', 'zlib'] as const;

for (const kind of ['ecc', 'rsa2048', 'rsa3072'] as const) {
  t.test(`packets that gpg made with ${kind} keys`, { skip }, async (t) => {
    const { home, keys } = await setUp(t, kind);
    for (const compression of COMPRESSIONS) {
      for (const mac of [null, hmac]) {
        const opened = await open(home, keys, ['--compress-algo', compression], mac);
        t.equal(opened, home.fingerprint, `open, ${compression}, ${mac === null ? 'no HMAC' : 'HMAC'}`);
      }
    }
    t.equal(
      await open(home, keys, ['--throw-keyids'], null),
      home.fingerprint,
      'open with no recipient named',
    );
    const alsoTo = ['--hidden-encrypt-to', home.fingerprint];
    if (kind === 'ecc') {
      t.equal(await open(home, keys, alsoTo, null), home.fingerprint, 'open with two recipients');
    }
  });
}

t.test('BZip2 opens only if an HMAC vouches for it', { skip }, async (t) => {
  const { home, keys } = await setUp(t, 'ecc');
  const bzip2 = ['--compress-algo', 'bzip2'];
  t.equal(await open(home, keys, bzip2, hmac), home.fingerprint);
  t.equal(await open(home, keys, bzip2, null), 'decrypt');
});

async function setUp(t: Test, kind: Parameters<typeof createGnupgHome>[2]) {
  const scratch = createScratch();
  t.teardown(scratch.remove);
  const home = await createGnupgHome(scratch.path('home'), 'bastion@example', kind);
  t.teardown(home.close);
  const certificates = await readCertificates(Buffer.from(await home.exportCertificate()));
  const secretKeys = await readSecretKeys(Buffer.from(await home.exportSecretKey()));
  return { home, keys: { kind: 'openpgp', secretKeys, certificates, requireSignature: true } as const };
}

/** Who signed what `gpg` made with these options; or the code of the error if it does not open. */
async function open(
  { path, fingerprint }: GnupgHome,
  keys: Omit<OpeningKeys & { readonly kind: 'openpgp' }, 'hmac'>,
  options: readonly string[],
  mac: HmacKey | null,
): Promise<string | null> {
  const message = messageOf({});
  const host = { nowSeconds: message.timestampSeconds, random: randomBytes };
  const fixed = ['--homedir', path, '--batch', '--quiet', '--trust-model', 'always', '--pinentry-mode'];
  const target = [
    'loopback',
    '--passphrase',
    '',
    ...options,
    '-u',
    fingerprint,
    '-r',
    fingerprint,
    '-s',
    '-e',
  ];
  const signAndEncrypt = async (text: string): Promise<Uint8Array> =>
    execFileSync('gpg', [...fixed, ...target], { input: Buffer.from(text, 'latin1') });
  const packet = await sealPacket(
    message,
    { encryption: { kind: 'external', signAndEncrypt }, hmac: mac },
    host,
  );
  try {
    return (await openPacket(parsePacket(Buffer.from(packet)), { ...keys, hmac: mac }, host)).signer;
  } catch (error) {
    if (error instanceof SpaError) return error.code;
    throw error;
  }
}
