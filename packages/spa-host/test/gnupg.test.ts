import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lackingPrograms } from 'spa-lab';
import t from 'tap';
import {
  decryptSessionKey,
  exportCertificates,
  exportOneCertificate,
  exportSecretKey,
  type GnupgHome,
  listFingerprints,
  signAndEncrypt,
} from '../src/index.ts';

const skip = lackingPrograms('gpg');

function gpg(directory: string, args: readonly string[], input: string | Buffer = ''): Buffer {
  return execFileSync('gpg', ['--homedir', directory, '--batch', '--quiet', ...args], {
    input,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
}

function addKey(directory: string, userId: string, algorithm: string, passphrase: string): void {
  const loopback = ['--pinentry-mode', 'loopback', '--passphrase-fd', '0'];
  gpg(
    directory,
    [
      ...loopback,
      '--quick-generate-key',
      userId,
      algorithm,
      algorithm === 'rsa2048' ? 'encr' : 'sign',
      'never',
    ],
    passphrase,
  );
}

function makeHome(): GnupgHome {
  const directory = mkdtempSync(join(tmpdir(), 'g'));
  t.teardown(() => {
    spawnSync('gpgconf', ['--homedir', directory, '--kill', 'all']);
    rmSync(directory, { recursive: true, force: true });
  });
  chmodSync(directory, 0o700);
  // Few rounds: gpg-agent measures for seconds how many it can afford.
  writeFileSync(join(directory, 'gpg-agent.conf'), 's2k-count 65536\n');
  return { directory, program: 'gpg' };
}

t.test('a GnuPG home', { skip }, async (t) => {
  const home = makeHome();
  const directory = home.directory ?? '';
  addKey(directory, 'Open <open@one.example>', 'ed25519', '');
  addKey(directory, 'Locked <locked@one.example>', 'ed25519', 'correct horse');
  addKey(directory, 'Bastion <bastion@two.example>', 'rsa2048', '');

  t.test('lists the fingerprint of each primary key and no subkey', async (t) => {
    const one = await listFingerprints(home, 'public', 'open@one.example');
    t.match(one, [/^[0-9A-F]{40}$/]);
    t.equal((await listFingerprints(home, 'secret', '@one.example')).length, 2);
    t.same(await listFingerprints(home, 'public', 'nobody'), []);
  });

  t.test('exports the certificates that were named, or all', async (t) => {
    const one = await exportCertificates(home, ['open@one.example']);
    const two = await exportCertificates(home, ['open@one.example', 'bastion@two.example']);
    const all = await exportCertificates(home, 'all');
    t.equal(one[0], 0x98, 'binary, a public key packet first');
    t.ok(one.length < two.length && two.length < all.length);
    t.equal((await exportCertificates(home, [])).length, 0);
  });

  t.test('says which certificate is missing, also among several', async (t) => {
    await t.rejects(exportCertificates(home, ['one.example', 'nobody@x']), {
      name: 'ConfigError',
      message: `${directory}: gpg finds no public key "nobody@x" here; gpg --homedir ${directory} --list-keys shows those it has`,
    });
  });

  t.test('takes no key ID for an option', async (t) => {
    await t.rejects(exportCertificates(home, ['--version']), { message: /no public key "--version"/ });
  });

  t.test('names the fingerprints when one key was meant and several match', async (t) => {
    await t.rejects(exportOneCertificate(home, 'one.example'), {
      message: /"one.example" is ambiguous; .*: [0-9A-F]{40}, [0-9A-F]{40}$/,
    });
    t.same(
      await exportOneCertificate(home, 'open@one.example'),
      await exportCertificates(home, ['open@one.example']),
    );
  });

  t.test('hands out a secret key without passphrase, or with the right one', async (t) => {
    t.equal((await exportSecretKey(home, 'open@one.example', null))?.[0], 0x94);
    t.equal((await exportSecretKey(home, 'locked@one.example', 'correct horse'))?.[0], 0x94);
    t.equal((await exportSecretKey(home, 'open@one.example', 'not needed'))?.[0], 0x94);
  });

  t.test('does not hand out a secret key that is locked', async (t) => {
    forgetPassphrases(directory);
    t.equal(await exportSecretKey(home, 'locked@one.example', null), null);
    t.equal(await exportSecretKey(home, 'locked@one.example', 'wrong'), null);
    await t.rejects(exportSecretKey(home, 'nobody@x', null), { message: /no secret key "nobody@x"/ });
  });

  t.test('signs and encrypts what no other key opens', async (t) => {
    const keys = { signer: 'locked@one.example', recipient: 'bastion@two.example' };
    const sealed = await signAndEncrypt(home, { ...keys, passphrase: 'correct horse' }, 'a text');
    const status = spawnSync('gpg', ['--homedir', directory, '--batch', '--status-fd', '2', '--decrypt'], {
      input: sealed,
    });
    t.equal(status.stdout.toString(), 'a text');
    t.match(status.stderr.toString(), 'GOODSIG');
    forgetPassphrases(directory);
    await t.rejects(signAndEncrypt(home, { ...keys, passphrase: 'wrong' }, 'a text'), {
      name: 'ConfigError',
      message: /Bad passphrase$/,
    });
  });
});

t.test('gpg-agent asks for the passphrase itself when none is known', { skip }, async (t) => {
  const home = makeHome();
  const directory = home.directory ?? '';
  addKey(directory, 'Locked <locked@x>', 'ed25519', 'asked');
  addKey(directory, 'Bastion <bastion@x>', 'rsa2048', '');
  const pinentry = join(directory, 'pinentry');
  writeFileSync(
    pinentry,
    '#!/bin/sh\necho OK\nwhile read -r c rest; do\n[ "$c" = GETPIN ] && echo "D asked"\necho OK\n[ "$c" = BYE ] && exit\ndone\n',
    { mode: 0o700 },
  );
  writeFileSync(join(directory, 'gpg-agent.conf'), `pinentry-program ${pinentry}\ns2k-count 65536\n`);
  forgetPassphrases(directory);
  const keys = { signer: 'locked@x', recipient: 'bastion@x', passphrase: null };
  const sealed = await signAndEncrypt(home, keys, 'a text');
  t.equal(gpg(directory, ['--decrypt'], sealed).toString(), 'a text');
});

t.test('a gpg that does not answer is killed, and nobody waits for what it has started', async (t) => {
  const { directory } = makeHome();
  const program = join(directory ?? '', 'slow');
  writeFileSync(program, '#!/bin/sh\nsleep 8\n', { mode: 0o700 });
  const before = performance.now();
  const limit = { passphrase: null, limitMs: 200 };
  t.equal(await decryptSessionKey({ directory, program }, Buffer.of(0x84, 0), limit), null);
  t.ok(performance.now() - before < 6_000);
});

t.test('a program that is not there is one clear line', async (t) => {
  await t.rejects(exportCertificates({ directory: '/tmp', program: '/nonexistent/gpg' }, 'all'), {
    name: 'ConfigError',
    message: '/nonexistent/gpg: cannot be run: there is no such program; install GnuPG or correct GPG_EXE',
  });
});

function forgetPassphrases(directory: string): void {
  execFileSync('gpgconf', ['--homedir', directory, '--reload', 'gpg-agent']);
}
