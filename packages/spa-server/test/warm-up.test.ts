import { execFileSync } from 'node:child_process';
import { readCertificates, readSecretKeys } from 'spa-core';
import { createGnupgHome, createScratch, lackingPrograms } from 'spa-lab';
import t from 'tap';
import { warmUp } from '../src/warm-up.ts';
import { createSharedKeys, stanzaOf } from './gate.ts';

const now = Math.floor(Date.now() / 1000);

t.test('a daemon without stanzas, or with stanzas that would refuse the packet, warms up', async (t) => {
  await warmUp([], now);
  await warmUp(
    [stanzaOf({ keys: [createSharedKeys().opening], sources: [], requireUsername: 'alice' })],
    now,
  );
  t.pass('nothing is thrown');
});

t.test(
  'an OpenPGP key warms up with its own signature, and one that cannot sign is left out',
  { skip: lackingPrograms('gpg') },
  async (t) => {
    const scratch = createScratch();
    t.teardown(scratch.remove);
    const home = await createGnupgHome(scratch.path('home'), 'bastion@example', 'ecc');
    t.teardown(home.close);
    const certificates = await readCertificates(Buffer.from(await home.exportCertificate()));
    const warmUpWith = async (secretKey: Uint8Array): Promise<void> => {
      const secretKeys = await readSecretKeys(secretKey);
      const keys = { kind: 'openpgp', secretKeys, certificates, requireSignature: true, hmac: null } as const;
      await warmUp([stanzaOf({ keys: [keys] })], now);
    };
    await warmUpWith(Buffer.from(await home.exportSecretKey()));
    const gpg = (...args: readonly string[]): Buffer =>
      execFileSync('gpg', ['--homedir', home.path, '--batch', '--quiet', '--passphrase', '', ...args]);
    gpg('--pinentry-mode', 'loopback', '--quick-generate-key', 'certify-only', 'ed25519', 'cert', '1y');
    await warmUpWith(gpg('--pinentry-mode', 'loopback', '--export-secret-keys', 'certify-only'));
    t.pass('nothing is thrown');
  },
);
