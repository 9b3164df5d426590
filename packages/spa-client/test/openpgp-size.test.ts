import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createScratch, lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';

const CLIENT = fileURLToPath(new URL('../src/bin/spa-client.cjs', import.meta.url));
const VECTORS = fileURLToPath(new URL('../../../../test/vectors/06-gpg.json', import.meta.url));
const skip = lackingPrograms('gpg');

t.test('keys that make no packet are told of before gpg is asked to sign', { skip }, async (t) => {
  const { home, ids, knock, calls } = setUp(t);
  const { code, stderr } = await knock([
    '--gpg-signer-key',
    ids.signer,
    '--gpg-recipient-key',
    ids.recipient,
  ]);
  t.equal(code, 78);
  t.match(
    stderr,
    /^spa-client: a signature with your RSA-4096 key for the bastion's RSA-4096 key makes a packet of about 1[67]\d\d characters, but 1500 is the limit: sign with an ed25519 key \(about 1[01]\d\d characters\), or have the bastion make a cv25519 key \(about 11\d\d characters\)\n$/,
  );
  t.notMatch(calls(), /--encrypt/, `gpg of ${home} was asked for sizes only`);
});

t.test('a packet that nobody signs is sent with a warning, unless it is too short', { skip }, async (t) => {
  const { ids, knock, home } = setUp(t);
  const long = await knock(['--gpg-recipient-key', ids.recipient]);
  t.match(long, {
    code: 0,
    stderr: /^spa-client: nobody signs this packet, and only a server with GPG_DISABLE_SIG/,
  });
  const file = join(home, 'recipient');
  writeFileSync(file, execFileSync('gpg', ['--homedir', home, '--export', ids.recipient]));
  t.match(await knock(['--gpg-recipient-key-file', file]), { code: 0 }, 'without GnuPG, too');
  const short = await knock(['--gpg-recipient-key', ids.ecc]);
  t.match(short, {
    code: 78,
    stderr: /the packet has \d+ characters, and fwknopd takes one this short for AES: sign it$/m,
  });
});

function setUp(t: Test) {
  const scratch = createScratch();
  t.teardown(scratch.remove);
  const home = scratch.path('home');
  mkdirSync(home, { mode: 0o700 });
  t.teardown(() => spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']));
  // Whatever the clock says, and the keys do.
  writeFileSync(join(home, 'gpg.conf'), 'ignore-time-conflict\nignore-valid-from\n');
  const vectors = JSON.parse(readFileSync(VECTORS, 'utf8'));
  const keys = [
    vectors.client_secret_keys['cli-rsa4096'],
    vectors.server_secret_keys['srv-rsa4096'],
    vectors.server_secret_keys['srv-ecc'],
  ];
  execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--import'], { input: keys.join('\n') });
  const log = scratch.path('calls');
  const gpg = scratch.path('gpg');
  writeFileSync(gpg, `#!/bin/sh\necho "$@" >>${log}\nexec gpg "$@"\n`, { mode: 0o700 });
  const fixed = [
    '-A',
    'tcp/22',
    '-a',
    '192.0.2.1',
    '-D',
    '192.0.2.2',
    '-T',
    '--no-rc-file',
    '--no-save-args',
  ];
  const knock = (options: readonly string[]): Promise<{ readonly code: number; readonly stderr: string }> =>
    new Promise((resolve) => {
      const argv = [
        CLIENT,
        ...fixed,
        '--gpg-home-dir',
        home,
        '--gpg-exe',
        gpg,
        '--gpg-no-signing-pw',
        ...options,
      ];
      execFile(process.execPath, argv, (error, _, stderr) => {
        resolve({ code: Number(error?.code ?? 0), stderr });
      });
    });
  return {
    ...{ home, knock, calls: () => readFileSync(log, 'utf8') },
    ids: {
      signer: String(vectors.fingerprints['cli-rsa4096']),
      recipient: String(vectors.fingerprints['srv-rsa4096']),
      ecc: String(vectors.fingerprints['srv-ecc']),
    },
  };
}
