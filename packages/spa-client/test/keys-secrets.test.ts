import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Fingerprint } from 'spa-core';
import t, { type Test } from 'tap';
import {
  changeSecrets,
  readReferredSecret,
  readSecret,
  secretKeyFile,
} from '../src/roster/secrets-folder.ts';

const FINGERPRINT = '0123456789ABCDEF0123456789ABCDEF01234567' as Fingerprint;

function folderOf(t: Test): string {
  const above = mkdtempSync(join(tmpdir(), 'keys-secrets-'));
  t.teardown(() => rmSync(above, { recursive: true, force: true }));
  return join(above, 'deep', 'secrets');
}

t.test('secrets are for nobody else: folders 0700, files 0600, whatever the umask', async (t) => {
  const before = process.umask(0);
  t.teardown(() => process.umask(before));
  const folder = folderOf(t);
  const file = secretKeyFile(FINGERPRINT);
  await changeSecrets(
    folder,
    new Map([
      [file, 'secret'],
      ['hmac/us-east-1a', 'aGk=\n'],
    ]),
  );
  for (const path of ['', '..', 'keys', 'hmac', '.spa-keys']) {
    t.equal(statSync(join(folder, path)).mode & 0o777, 0o700, path);
  }
  for (const path of [file, 'hmac/us-east-1a']) t.equal(statSync(join(folder, path)).mode & 0o777, 0o600);
  t.equal(readSecret(folder, file)?.toString(), 'secret');
  t.equal(readReferredSecret(folder, { kind: 'file', file: 'hmac/us-east-1a' }), 'aGk=');
  await changeSecrets(folder, new Map([[file, null]]));
  t.equal(readSecret(folder, file), null);
});

t.test('what is not there is null', async (t) => {
  const folder = folderOf(t);
  t.equal(readSecret(folder, 'keys/x'), null);
  t.equal(readReferredSecret(folder, { kind: 'env', variable: 'SPA_KEYS_TEST_NONE' }), null);
});

t.test('a folder or a file that others can get at is refused, with the command that mends it', async (t) => {
  const folder = folderOf(t);
  await changeSecrets(folder, new Map([['keys/x', 'secret']]));
  chmodSync(join(folder, 'keys/x'), 0o640);
  t.throws(() => readSecret(folder, 'keys/x'), { name: 'ConfigError', message: /run: chmod 600 / });
  for (const mode of [0o750, 0o705, 0o710]) {
    chmodSync(folder, mode);
    const message = `${folder}: holds secrets and others have access to it; run: chmod 700 ${folder}`;
    t.throws(() => readSecret(folder, 'keys/x'), { name: 'ConfigError', message });
    await t.rejects(changeSecrets(folder, new Map([['keys/y', 'secret']])), { name: 'ConfigError', message });
  }
  const file = join(folder, '..', 'file');
  writeFileSync(file, '');
  t.throws(() => readSecret(file, 'keys/x'), { name: 'ConfigError', message: /is no folder/ });
});
