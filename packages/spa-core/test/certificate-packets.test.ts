import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import {
  armorCertificates,
  KeyError,
  mergeCertificates,
  onlyCertifiedBy,
  type RawCertificate,
  readRawCertificates,
  withSignatures,
} from 'spa-core';
import t, { type Test } from 'tap';

const hasGpg = spawnSync('gpg', ['--version']).status === 0;
if (!hasGpg && process.env.CI) throw new Error('in CI nothing is skipped: gpg is not installed');
const skip = hasGpg ? false : 'gpg is not installed';

function home(t: Test): (...args: readonly string[]) => Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'c'));
  t.teardown(() => {
    spawnSync('gpgconf', ['--homedir', directory, '--kill', 'all']);
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  });
  writeFileSync(join(directory, 'gpg.conf'), 'no-auto-check-trustdb\ntrust-model always\n');
  const options = ['--homedir', directory, '--batch', '--quiet', '--yes', '--no-tty'];
  return (...args) =>
    execFileSync('gpg', [...options, '--passphrase', '', '--pinentry-mode', 'loopback', ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
}

function only(data: Uint8Array): RawCertificate {
  const [raw, ...more] = readRawCertificates(data);
  if (raw === undefined || more.length > 0) throw new Error('one was expected');
  return raw;
}

t.test('what gpg exports is read whole, and written as it was', { skip }, (t) => {
  const gpg = home(t);
  gpg('--quick-generate-key', 'Ünal <unal@example.com>', 'ed25519', 'cert,sign', 'never');
  gpg('--quick-generate-key', 'bob <bob@example.com>', 'rsa2048', 'default', '2y');
  const listed = gpg('--with-colons', '--list-keys').toString();
  const fingerprints = Array.from(listed.matchAll(/^fpr:+([0-9A-F]{40}):/gm), (match) => match[1]);
  const [unal = '', bob = ''] = fingerprints;
  gpg('--quick-add-key', unal, 'cv25519', 'encr', 'never');
  gpg('--quick-add-uid', unal, 'second <second@example.com>');
  gpg('--local-user', bob, '--quick-sign-key', unal);

  const [binary, armored] = [gpg('--export'), gpg('--export', '--armor')];
  const raws = readRawCertificates(binary);
  t.same(readRawCertificates(armored), raws);
  t.same(
    raws.map(({ fingerprint }) => fingerprint),
    [unal, bob],
  );
  t.same(Buffer.concat(raws.map(({ octets }) => octets)), binary);
  t.same(readRawCertificates(Buffer.from(armorCertificates(raws))), raws);
  const list = spawnSync('gpg', ['--show-keys', '--with-colons'], { input: armorCertificates(raws) });
  t.equal(list.status, 0, 'gpg reads our armor');
  t.match(list.stdout.toString(), `fpr:::::::::${bob}:`);

  const [first] = raws;
  t.same(first?.users.map(({ userId }) => userId).sort(), [
    'second <second@example.com>',
    'Ünal <unal@example.com>',
  ]);
  t.equal(first?.subkeys.length, 1);
  const byBob = first?.users[0]?.signatures.filter(({ fields }) => fields?.issuerKeyId === bob.slice(-16));
  t.equal(byBob?.length, 1);
  t.end();
});

t.test('certificates are merged, extended and trimmed by their packets', { skip }, (t) => {
  const gpg = home(t);
  for (const name of ['alice', 'bob', 'carol']) {
    gpg('--quick-generate-key', `${name} <${name}@example.com>`, 'ed25519', 'cert,sign', 'never');
  }
  const before = only(gpg('--export', 'alice@example.com'));
  gpg('--local-user', 'bob@example.com', '--quick-sign-key', before.fingerprint);
  const byBob = only(gpg('--export', 'alice@example.com'));
  gpg('--local-user', 'carol@example.com', '--quick-sign-key', before.fingerprint);
  gpg('--quick-add-key', before.fingerprint, 'cv25519', 'encr', 'never');
  const after = only(gpg('--export', 'alice@example.com'));
  t.same(mergeCertificates(before, after).octets, after.octets);
  t.same(mergeCertificates(after, byBob).octets, after.octets);
  const bob = only(gpg('--export', 'bob@example.com'));
  t.throws(() => mergeCertificates(before, bob), KeyError);

  const userId = 'alice <alice@example.com>';
  const [, bobs] = byBob.users[0]?.signatures ?? [];
  const added = [{ userId, signature: bobs?.octets ?? Buffer.alloc(0) }];
  t.same(withSignatures(before, added).octets, byBob.octets);
  t.same(withSignatures(byBob, added).octets, byBob.octets, 'none is there twice');
  t.throws(() => withSignatures(before, [{ userId: 'eve', signature: Buffer.alloc(0) }]), KeyError);
  t.throws(() => withSignatures(before, [{ userId, signature: Buffer.from('no') }]), KeyError);

  const sizes = (raw: RawCertificate) => [raw.users[0]?.signatures.length, raw.subkeys[0]?.signatures.length];
  t.same(sizes(after), [3, 1]);
  t.same(sizes(onlyCertifiedBy(after, [])), [1, 1]);
  t.same(sizes(onlyCertifiedBy(after, [bob.primary.keyId])), [2, 1]);
  t.same(onlyCertifiedBy(after, []).octets, only(onlyCertifiedBy(after, []).octets).octets);
  t.end();
});

t.test('a secret key is refused', { skip }, (t) => {
  const gpg = home(t);
  gpg('--quick-generate-key', 'alice', 'ed25519', 'cert,sign', 'never');
  const wanted = { name: 'KeyError', message: /secret key/ };
  t.throws(() => readRawCertificates(gpg('--export-secret-keys')), wanted);
  t.throws(() => readRawCertificates(gpg('--export-secret-keys', '--armor')), wanted);
  t.end();
});

t.test('any bytes give certificates or a KeyError', { skip }, (t) => {
  const gpg = home(t);
  gpg('--quick-generate-key', 'alice', 'ed25519', 'cert,sign', 'never');
  const good = gpg('--export');
  const armored = gpg('--export', '--armor');
  const readOrRefuse = (data: Uint8Array): void => {
    try {
      const raws = readRawCertificates(data);
      const all = Buffer.concat(raws.map(({ octets }) => octets));
      const again = readRawCertificates(all);
      if (again.length !== raws.length) throw new Error('what was read is not what was written');
      for (const raw of raws) mergeCertificates(raw, onlyCertifiedBy(raw, []));
    } catch (error) {
      if (!(error instanceof KeyError) || /\n/.test(error.message)) throw error;
    }
  };
  const damaged = (whole: Buffer) =>
    fc
      .array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((changes) => {
        const copy = Buffer.from(whole);
        for (const [at, octet] of changes) copy[at] = octet;
        return copy;
      });
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), readOrRefuse));
  fc.assert(fc.property(damaged(good), readOrRefuse), { numRuns: 500 });
  fc.assert(fc.property(damaged(armored), readOrRefuse), { numRuns: 500 });
  fc.assert(
    fc.property(fc.nat(good.length), (length) => readOrRefuse(good.subarray(0, length))),
    { numRuns: 200 },
  );
  t.pass('nothing else came');
  t.end();
});
