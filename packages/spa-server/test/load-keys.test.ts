import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SecretKey } from 'spa-core';
import { lackingPrograms } from 'spa-lab';
import t from 'tap';
import type { Stanza } from '../src/decision/stanza.ts';
import { loadKeys } from '../src/keys/load-keys.ts';
import { parseAccessText } from './access-text.ts';

const skip = lackingPrograms('gpg');

const CONTEXT = {
  get nowSeconds() {
    return Math.floor(Date.now() / 1000);
  },
  warn: () => {},
};
const PASSPHRASE = 'correct horse battery';

/** A folder that is gone after the test, and a GnuPG home in it. */
function makeFolder(): { readonly folder: string; readonly home: string } {
  const folder = mkdtempSync(join(tmpdir(), 'k'));
  const home = mkdtempSync(join(folder, 'g'));
  chmodSync(home, 0o700);
  t.teardown(() => {
    spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, home };
}

function gpg(home: string, args: readonly string[], input = ''): Buffer {
  const common = [
    '--homedir',
    home,
    '--batch',
    '--quiet',
    '--pinentry-mode',
    'loopback',
    '--passphrase-fd',
    '0',
  ];
  return execFileSync('gpg', [...common, ...args], { input, stdio: ['pipe', 'pipe', 'ignore'] });
}

/** Makes a key and gives its fingerprint. */
function addKey(
  home: string,
  userId: string,
  passphrase = '',
  options: readonly string[] = [],
  expiry = 'never',
  algorithm = 'future-default',
): string {
  gpg(home, [...options, '--quick-generate-key', userId, algorithm, 'default', expiry], passphrase);
  const list = gpg(home, ['--with-colons', '--list-keys', userId]).toString();
  return /^fpr:+([0-9A-F]{40}):/m.exec(list)?.[1] ?? '';
}

t.test('keys of a GnuPG home', { skip }, async (t) => {
  const { folder, home } = makeFolder();
  const bastion = addKey(home, 'Bastion <bastion@here.example>');
  const locked = addKey(home, 'Locked <locked@here.example>', PASSPHRASE);
  const alice = addKey(home, 'Alice <alice@there.example>');
  const bob = addKey(home, 'Bob <bob@there.example>');
  const subkey = /^ssb:(?:[^:]*:){3}([0-9A-F]{16}):/m.exec(
    gpg(home, ['--with-colons', '--list-secret-keys', bastion]).toString(),
  )?.[1];

  const file = (name: string, data: Buffer, mode: number): string => {
    const path = join(folder, name);
    writeFileSync(path, data);
    chmodSync(path, mode);
    return path;
  };
  const ended = {
    expired: addKey(home, 'Old <old@else.example>', '', ['--faked-system-time', '20250101T000000'], '1d'),
    revoked: addKey(home, 'Gone <gone@else.example>'),
    brainpool: addKey(home, 'Other <other@else.example>', '', [], 'never', 'brainpoolP256r1'),
  };
  const revocation = readFileSync(join(home, 'openpgp-revocs.d', `${ended.revoked}.rev`), 'utf8');
  gpg(home, ['--import', file('revocation', Buffer.from(revocation.replace(/^:---/m, '---')), 0o600)]);
  const bastionFile = file('bastion.pgp', gpg(home, ['--export-secret-keys', bastion]), 0o600);
  const armoredFile = file(
    'locked.asc',
    gpg(home, ['--armor', '--export-secret-keys', locked], PASSPHRASE),
    0o600,
  );
  const twoKeys = file('two.pgp', gpg(home, ['--export-secret-keys', bastion, alice]), 0o600);
  const openFile = file('open.pgp', gpg(home, ['--export-secret-keys', bastion]), 0o644);
  const operators = file('operators.asc', gpg(home, ['--armor', '--export', alice, bob]), 0o644);
  const editable = file('editable.asc', gpg(home, ['--armor', '--export', alice]), 0o666);
  const garbage = file('garbage', Buffer.from('hunter2'), 0o600);

  const load = async (...lines: readonly string[]): Promise<Stanza | undefined> => {
    const { value } = parseAccessText('access.conf', ['SOURCE ANY', ...lines].join('\n'));
    return (await loadKeys(value, { directory: home, program: 'gpg' }, CONTEXT))[0];
  };

  t.test('the key that opens and those who may sign are found by whatever names them', async (t) => {
    const cases: readonly (readonly [lines: readonly string[], opens: string, sign: readonly string[]])[] = [
      [[`GPG_DECRYPT_ID ${bastion}`, `GPG_FINGERPRINT_ID ${alice}, ${bob}`], bastion, [alice, bob]],
      [
        [`GPG_DECRYPT_ID ${bastion.slice(-8)}`, `GPG_FINGERPRINT_ID ${alice}`, 'GPG_ALLOW_NO_PW Y'],
        bastion,
        [alice],
      ],
      [[`GPG_DECRYPT_ID bastion@here.example`, `GPG_REMOTE_ID ${alice.slice(-8)}`], bastion, [alice]],
      [[`GPG_DECRYPT_ID ${bastion}`, `GPG_REMOTE_ID ${bob.slice(-16)}, ${alice}`], bastion, [bob, alice]],
      [
        [
          `GPG_DECRYPT_ID ${bastion}`,
          `GPG_REMOTE_ID ${bob.slice(-8)}`,
          `GPG_FINGERPRINT_ID ${alice}, ${bob}`,
        ],
        bastion,
        [bob],
      ],
      [
        [`GPG_DECRYPT_ID ${locked}`, `GPG_DECRYPT_PW ${PASSPHRASE}`, `GPG_FINGERPRINT_ID ${bob}`],
        locked,
        [bob],
      ],
      [[`GPG_DECRYPT_KEY_FILE ${bastionFile}`, `GPG_FINGERPRINT_ID ${bob}`], bastion, [bob]],
      [[`GPG_DECRYPT_KEY_FILE ${bastionFile}`, `GPG_SIGNER_CERT_FILE ${operators}`], bastion, [alice, bob]],
      [
        [
          `GPG_DECRYPT_KEY_FILE ${bastionFile}`,
          `GPG_SIGNER_CERT_FILE ${operators}`,
          `GPG_FINGERPRINT_ID ${bob}`,
        ],
        bastion,
        [bob],
      ],
      [
        [`GPG_DECRYPT_KEY_FILE ${twoKeys}`, `GPG_DECRYPT_ID ${subkey}`, `GPG_SIGNER_CERT_FILE ${operators}`],
        bastion,
        [alice, bob],
      ],
      [
        [
          `GPG_DECRYPT_KEY_FILE ${armoredFile}`,
          `GPG_DECRYPT_PW ${PASSPHRASE}`,
          `GPG_SIGNER_CERT_FILE ${operators}`,
        ],
        locked,
        [alice, bob],
      ],
    ];
    for (const [lines, opens, sign] of cases) {
      const keys = (await load(...lines))?.keys[0];
      t.match(keys, { kind: 'openpgp', requireSignature: true, hmac: null }, lines.join('; '));
      if (keys?.kind !== 'openpgp') continue;
      t.same(
        keys.secretKeys.map((key) => [String(key.fingerprint), key instanceof SecretKey && key.isLocked]),
        [[opens, false]],
      );
      t.same(
        keys.certificates.map((certificate) => String(certificate.fingerprint)),
        sign,
      );
    }
  });

  t.test('a stanza may take both kinds of packets, under one HMAC key', async (t) => {
    const stanza = await load(
      'KEY one',
      'HMAC_KEY two',
      `GPG_DECRYPT_ID ${bastion}`,
      `GPG_FINGERPRINT_ID ${bob}`,
    );
    t.match(stanza?.keys, [
      { kind: 'aes', hmac: { digest: 'sha256' } },
      { kind: 'openpgp', hmac: { digest: 'sha256' } },
    ]);
  });

  t.test('what stanzas have in common is asked of gpg once', async (t) => {
    const calls = join(folder, 'calls');
    const program = file('gpg', Buffer.from(`#!/bin/sh\necho >>${calls}\nexec gpg "$@"\n`), 0o700);
    const text = ['SOURCE ANY', `GPG_DECRYPT_ID ${bastion}`, `GPG_FINGERPRINT_ID ${alice}, ${bob}`].join(
      '\n',
    );
    const countCalls = async (count: number): Promise<number> => {
      writeFileSync(calls, '');
      const { value } = parseAccessText('access.conf', `${text}\n`.repeat(count));
      const stanzas = await loadKeys(value, { directory: home, program }, CONTEXT);
      t.equal(stanzas.length, count);
      t.match(stanzas.at(-1)?.keys, [{ certificates: [{ fingerprint: alice }, { fingerprint: bob }] }]);
      return readFileSync(calls, 'utf8').length;
    };
    t.equal(await countCalls(50), await countCalls(1));
  });

  t.test('a subkey names the certificate that it belongs to, in the home and in a file', async (t) => {
    const [, sub = ''] = Array.from(
      gpg(home, ['--with-colons', '--list-keys', alice])
        .toString()
        .matchAll(/^fpr:+([0-9A-F]{40}):/gm),
      ([, fingerprint]) => fingerprint,
    );
    for (const line of [`GPG_DECRYPT_ID ${bastion}`, `GPG_SIGNER_CERT_FILE ${operators}`]) {
      const id = [`GPG_DECRYPT_KEY_FILE ${bastionFile}`, `GPG_FINGERPRINT_ID ${sub}`, line];
      const stanza = await load(...id);
      t.match(stanza?.keys, [{ certificates: [{ fingerprint: alice }] }], line);
    }
  });

  t.test(
    'GPG_REQUIRE_SIG and GPG_DISABLE_SIG without a list: whose key is valid in the home may sign',
    async (t) => {
      const there = mkdtempSync(join(folder, 'h'));
      t.teardown(() => spawnSync('gpgconf', ['--homedir', there, '--kill', 'all']));
      const own = addKey(there, 'Own <own@here.example>');
      execFileSync('gpg', ['--homedir', there, '--batch', '--quiet', '--import', operators]);
      const stanzaOf = () =>
        load(`GPG_HOME_DIR ${there}`, `GPG_DECRYPT_ID ${own}`, 'GPG_REQUIRE_SIG Y', 'GPG_DISABLE_SIG Y');
      const signersOf = async () => {
        const keys = (await stanzaOf())?.keys[0];
        if (keys?.kind !== 'openpgp' || !keys.requireSignature) return null;
        return keys.certificates.map(({ fingerprint }) => String(fingerprint)).sort();
      };
      t.same(await signersOf(), [own], 'nobody is certified');
      gpg(there, ['--yes', '--quick-lsign-key', alice]);
      t.same(await signersOf(), [own, alice].sort());
    },
  );

  t.test('keys that time or their owners have ended are told of, and keep nobody else out', async (t) => {
    const warnings: string[] = [];
    const { value } = parseAccessText(
      'access.conf',
      [
        'SOURCE ANY',
        `GPG_DECRYPT_ID ${bastion}`,
        `GPG_FINGERPRINT_ID ${ended.expired}, ${ended.revoked}, ${alice}, ${ended.brainpool}`,
      ].join('\n'),
    );
    const home1 = { directory: home, program: 'gpg' };
    await loadKeys(value, home1, { nowSeconds: CONTEXT.nowSeconds, warn: (line) => warnings.push(line) });
    t.match(warnings, [
      new RegExp(
        `^access.conf:3: GPG_FINGERPRINT_ID: ${ended.expired} .* has expired .*: what it signs is refused$`,
      ),
      new RegExp(
        `^access.conf:3: GPG_FINGERPRINT_ID: ${ended.revoked} .* is revoked: what it signs is refused$`,
      ),
      new RegExp(
        `^access.conf:3: GPG_FINGERPRINT_ID: ${ended.brainpool} .* curve brainpoolP256r1, which is not`,
      ),
    ]);
    t.equal(warnings.length, 3);
  });

  t.test('without signatures there need be no signers', async (t) => {
    const stanza = await load(`GPG_DECRYPT_ID ${bastion}`, 'GPG_DISABLE_SIG Y');
    t.match(stanza?.keys, [{ kind: 'openpgp', requireSignature: false, certificates: [] }]);
  });

  t.test('a key that is not there, or not alone, is an error at the line that names it', async (t) => {
    const nobody = 'F'.repeat(40);
    const cases: readonly (readonly [lines: readonly string[], message: string | RegExp])[] = [
      [
        [`GPG_DECRYPT_ID ${bastion}`, `GPG_FINGERPRINT_ID ${alice}, ${nobody}`],
        `access.conf:3: GPG_FINGERPRINT_ID: ${home}: gpg finds no public key "${nobody}" here; gpg --homedir ${home} --list-keys shows those it has`,
      ],
      [
        [`GPG_DECRYPT_ID ${nobody}`, `GPG_FINGERPRINT_ID ${alice}`],
        `access.conf:2: GPG_DECRYPT_ID: ${home}: gpg finds no secret key "${nobody}" here; gpg --homedir ${home} --list-secret-keys shows those it has`,
      ],
      [
        ['GPG_DECRYPT_ID there.example', `GPG_FINGERPRINT_ID ${alice}`],
        /^access\.conf:2: GPG_DECRYPT_ID: .* "there\.example" is ambiguous; write the fingerprint of one secret key: /,
      ],
      [
        [`GPG_DECRYPT_ID ${bastion}`, `GPG_REMOTE_ID ${alice.slice(-8)}`, `GPG_FINGERPRINT_ID ${bob}`],
        'access.conf:3: GPG_REMOTE_ID: nobody is both here and in GPG_FINGERPRINT_ID; remove GPG_REMOTE_ID',
      ],
      [
        [`GPG_DECRYPT_ID ${locked}`, `GPG_FINGERPRINT_ID ${alice}`],
        /^access\.conf:2: GPG_DECRYPT_ID: .*; write GPG_DECRYPT_PW too$/,
      ],
      [
        [`GPG_DECRYPT_KEY_FILE ${armoredFile}`, `GPG_DECRYPT_PW wrong`, `GPG_FINGERPRINT_ID ${alice}`],
        `access.conf:3: GPG_DECRYPT_PW: wrong passphrase for the secret key ${locked}`,
      ],
      [
        [`GPG_DECRYPT_KEY_FILE ${armoredFile}`, `GPG_FINGERPRINT_ID ${alice}`],
        'access.conf:2: GPG_DECRYPT_KEY_FILE: this key is locked by a passphrase; write GPG_DECRYPT_PW too',
      ],
      [
        [`GPG_DECRYPT_KEY_FILE ${twoKeys}`, `GPG_FINGERPRINT_ID ${alice}`],
        `access.conf:2: GPG_DECRYPT_KEY_FILE: ${twoKeys} has several such keys; write GPG_DECRYPT_ID with one of: ${bastion}, ${alice}`,
      ],
      [
        [`GPG_DECRYPT_KEY_FILE ${bastionFile}`, `GPG_DECRYPT_ID ${alice}`, `GPG_FINGERPRINT_ID ${alice}`],
        `access.conf:3: GPG_DECRYPT_ID: ${bastionFile} has no such key; write the fingerprint of one of: ${bastion}`,
      ],
      [
        [`GPG_DECRYPT_KEY_FILE ${openFile}`, `GPG_FINGERPRINT_ID ${alice}`],
        `access.conf:2: GPG_DECRYPT_KEY_FILE: ${openFile}: holds a secret and others have access to it; run: chmod 600 ${openFile}`,
      ],
      [
        [`GPG_DECRYPT_KEY_FILE ${folder}/missing`, `GPG_FINGERPRINT_ID ${alice}`],
        `access.conf:2: GPG_DECRYPT_KEY_FILE: ${folder}/missing: cannot be read: there is no such file`,
      ],
      [
        [`GPG_DECRYPT_KEY_FILE ${garbage}`, `GPG_FINGERPRINT_ID ${alice}`],
        'access.conf:2: GPG_DECRYPT_KEY_FILE: no OpenPGP key is here',
      ],
      [
        [`GPG_DECRYPT_ID ${bastion}`, `GPG_SIGNER_CERT_FILE ${operators}`, `GPG_FINGERPRINT_ID ${bastion}`],
        `access.conf:4: GPG_FINGERPRINT_ID: ${operators} has no certificate ${bastion}; it has ${alice}, ${bob}`,
      ],
      [
        [`GPG_DECRYPT_ID ${bastion}`, `GPG_SIGNER_CERT_FILE ${editable}`],
        `access.conf:3: GPG_SIGNER_CERT_FILE: ${editable}: others may write it and let themselves in; run: chmod go-w on it`,
      ],
      [
        [`GPG_DECRYPT_ID ${bastion}`, `GPG_FINGERPRINT_ID ${alice}`, 'GPG_EXE /nowhere/gpg'],
        /^access\.conf:[23]: GPG_\w+_ID: \/nowhere\/gpg: cannot be run: there is no such program; install GnuPG or correct GPG_EXE$/,
      ],
    ];
    for (const [lines, message] of cases) {
      await t.rejects(load(...lines), { name: 'ConfigError', message }, lines.join('; '));
    }
  });
});
