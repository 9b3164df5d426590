import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  certifyingKey,
  revokeCertificate,
  signDetached,
  signingKey,
  verifyDetached,
  withSignatures,
} from 'spa-core';
import t, { type Test } from 'tap';
import { createHome, DAY, START, skip } from './gnupg.ts';

const TEXT = Buffer.from('name: example\nversion: 7\n');
const NOW = START + 2 * DAY;

function files(t: Test, contents: Readonly<Record<string, Uint8Array | string>>): (name: string) => string {
  const directory = mkdtempSync(join(tmpdir(), 'd'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(contents)) writeFileSync(join(directory, name), content);
  return (name) => join(directory, name);
}

for (const [algorithm, usage] of [
  ['ed25519', 'cert,sign'],
  ['rsa3072', 'cert,sign'],
  ['nistp256', 'cert,sign'],
] as const) {
  t.test(
    `gpg verifies what a key of ${algorithm} signed here, and we what gpg signed`,
    { skip },
    async (t) => {
      const home = createHome(t);
      const fingerprint = home.key('authority', { algorithm, usage });
      const authority = home.raw('authority');
      const signature = await signDetached(certifyingKey(await home.secret('authority')), TEXT, START + DAY);
      const wanted = { signer: fingerprint, signedAtSeconds: START + DAY };
      t.same(await verifyDetached(TEXT, signature, [authority], NOW), wanted);
      const path = files(t, { roster: TEXT, 'roster.asc': signature });
      const status = home.gpg(['--status-fd', '1', '--verify', path('roster.asc'), path('roster')], NOW);
      t.match(status, `[GNUPG:] VALIDSIG ${fingerprint}`);

      for (const more of [[], ['--armor'], ['--textmode'], ['--digest-algo', 'SHA256']]) {
        const theirs = home.gpgBytes([...more, '--detach-sign'], START + DAY, TEXT);
        t.same(
          await verifyDetached(TEXT, theirs, [authority], NOW),
          wanted,
          `gpg ${more.join(' ')} --detach-sign`,
        );
      }
    },
  );
}

t.test('a subkey signs for its certificate', { skip }, async (t) => {
  const home = createHome(t);
  const fingerprint = home.key('authority', { usage: 'cert' });
  home.gpg(['--quick-add-key', fingerprint, 'ed25519', 'sign', '10d']);
  const theirs = home.gpg(['--armor', '--detach-sign'], START + DAY, TEXT.toString());
  const look = (nowSeconds: number) => verifyDetached(TEXT, theirs, [home.raw('authority')], nowSeconds);
  t.match(await look(NOW), { signer: fingerprint });
  t.match(await look(START + 20 * DAY), { signer: fingerprint }, 'also when it has expired since');

  const secret = await home.secret('authority');
  const key = signingKey(secret, NOW);
  t.equal(key.fingerprint, home.raw('authority').subkeys[0]?.key.fingerprint);
  const ours = await signDetached(key, TEXT, START + DAY);
  t.match(await verifyDetached(TEXT, ours, [home.raw('authority')], NOW), { signer: fingerprint });
  const path = files(t, { roster: TEXT, 'roster.asc': ours });
  const status = home.gpg(['--status-fd', '1', '--verify', path('roster.asc'), path('roster')], NOW);
  t.match(status, `[GNUPG:] VALIDSIG ${key.fingerprint}`);
  t.throws(() => signingKey(secret, START + 20 * DAY), { name: 'KeyError', message: /may sign/ });
  const byPrimary = await signDetached(certifyingKey(secret), TEXT, START + DAY);
  const none = await verifyDetached(TEXT, byPrimary, [home.raw('authority')], NOW);
  t.equal(none, null, 'a primary key that only certifies does not, as gpg has it');
});

t.test("a signature that does not count is nobody's", { skip }, async (t) => {
  const home = createHome(t);
  home.key('authority');
  home.key('other');
  const [authority, other] = [home.raw('authority'), home.raw('other')];
  const key = certifyingKey(await home.secret('authority'));
  const signature = await signDetached(key, TEXT, START + DAY);
  const look = (text: Buffer, signed: string | Buffer, certificate = authority, now = NOW) =>
    verifyDetached(text, signed, [certificate], now);
  t.not(await look(TEXT, signature), null);
  t.equal(await look(Buffer.from('name: example\nversion: 8\n'), signature), null, 'of another text');
  t.equal(await look(TEXT, signature, other), null, 'by another key');
  t.equal(await look(TEXT, signature, authority, START), null, 'from the future');
  t.equal(await look(TEXT, ''), null, 'of nothing');
  const weak = home.gpgBytes(
    ['--local-user', 'authority', '--digest-algo', 'SHA1', '--detach-sign'],
    START,
    TEXT,
  );
  t.equal(await look(TEXT, weak), null, 'with SHA-1');
  const expired = home.gpgBytes(
    ['--local-user', 'authority', '--default-sig-expire', '1d', '--detach-sign'],
    START,
    TEXT,
  );
  t.equal(await look(TEXT, expired), null, 'past its end');
  t.not(await look(TEXT, expired, authority, START), null);
  const terms = { madeAtSeconds: START + DAY, reason: 'compromised', text: '' } as const;
  const revocation = { userId: null, signature: await revokeCertificate(key, authority, terms) };
  t.equal(await look(TEXT, signature, withSignatures(authority, [revocation])), null, 'by a revoked key');
});
