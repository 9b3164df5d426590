import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HmacKey, openPacket, parsePacket, readCertificates, readSecretKeys } from 'spa-core';
import { lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';

const CLIENT = fileURLToPath(new URL('../src/bin/spa-client.cjs', import.meta.url));
const skip = lackingPrograms('gpg');

const STATE = mkdtempSync(join(tmpdir(), 'state-'));
t.teardown(() => rmSync(STATE, { recursive: true, force: true }));

const PASSPHRASE = 'correct horse';
const HMAC = 'an-hmac-key';

/** Speaks the Assuan protocol as a person who knows the passphrase would make it. */
const PINENTRY = `#!/bin/sh
echo OK
while read -r command rest; do
  [ "$command" = GETPIN ] && echo "D ${PASSPHRASE}"
  echo OK
  [ "$command" = BYE ] && exit
done
`;

/** The same for a person who closes the window. */
const NO_PINENTRY = `#!/bin/sh
echo OK
while read -r command rest; do
  if [ "$command" = GETPIN ]; then echo 'ERR 83886179 Operation cancelled'; else echo OK; fi
  [ "$command" = BYE ] && exit
done
`;

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(program: string, argv: readonly string[], input = ''): Promise<Run> {
  const env = { ...process.env, XDG_STATE_HOME: STATE };
  const child = spawn(program, argv, { detached: true, env, stdio: ['pipe', 'pipe', 'pipe'] });
  const chunks: { stdout: string; stderr: string } = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    chunks.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    chunks.stderr += chunk;
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...chunks };
}

function gpg(home: string, args: readonly string[], input: string | Buffer = ''): Buffer {
  return execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--trust-model', 'always', ...args], {
    input,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
}

/** Writes a file into the home. */
function put(home: string, name: string, data: string | Buffer, mode = 0o600): string {
  const path = join(home, name);
  writeFileSync(path, data);
  chmodSync(path, mode);
  return path;
}

function makeHome(t: Test, pinentry: string): string {
  const home = mkdtempSync(join(tmpdir(), 'g'));
  t.teardown(() => {
    spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    rmSync(home, { recursive: true, force: true });
  });
  chmodSync(home, 0o700);
  put(home, 'pinentry', pinentry, 0o700);
  // Few rounds: gpg-agent measures for seconds how many it can afford.
  put(home, 'gpg-agent.conf', `pinentry-program ${home}/pinentry\ns2k-count 65536\n`);
  const keys = [
    ['Operator <open@op.example>', 'ed25519', 'sign', ''],
    ['Operator <locked@op.example>', 'ed25519', 'sign', PASSPHRASE],
    ['Bastion <rsa@bastion.example>', 'rsa2048', 'encr', ''],
  ] as const;
  for (const [userId, algorithm, usage, passphrase] of keys) {
    const loopback = ['--pinentry-mode', 'loopback', '--passphrase', passphrase];
    gpg(home, [...loopback, '--quick-generate-key', userId, algorithm, usage, 'never']);
  }
  // A bastion with Curve25519 keys, the kind that stock fwknop cannot address.
  gpg(home, [
    '--passphrase',
    '',
    '--quick-generate-key',
    'Bastion <ecc@bastion.example>',
    'ed25519',
    'cert',
    'never',
  ]);
  gpg(home, [
    '--passphrase',
    '',
    '--quick-add-key',
    fingerprint(home, 'ecc@bastion.example'),
    'cv25519',
    'encr',
  ]);
  execFileSync('gpgconf', ['--homedir', home, '--reload', 'gpg-agent']);
  return home;
}

function fingerprint(home: string, keyId: string): string {
  return /^fpr:+([0-9A-F]+):/m.exec(gpg(home, ['--with-colons', '--list-keys', keyId]).toString())?.[1] ?? '';
}

const REQUEST = ['--no-rc-file', '-A', 'tcp/22', '-s', '-T', '--key-hmac', HMAC];

function clientFor(home: string): (argv: readonly string[], input?: string) => Promise<Run> {
  return (argv, input) => run(process.execPath, [CLIENT, ...REQUEST, '--gpg-home-dir', home, ...argv], input);
}

/** Opens the packet of a run of -T as the bastion would, and has gpg verify it too. */
async function checkPacket(
  t: Test,
  home: string,
  result: Run,
  signer: string,
  recipient: string,
): Promise<void> {
  t.equal(result.code, 0, result.stderr);
  const packet = /Final SPA Data: (\S+)/.exec(result.stdout)?.[1] ?? '';
  const opened = await openPacket(
    parsePacket(Buffer.from(packet)),
    {
      kind: 'openpgp',
      hmac: new HmacKey(Buffer.from(HMAC), 'sha256'),
      secretKeys: await readSecretKeys(gpg(home, ['--export-secret-keys', recipient])),
      certificates: await readCertificates(gpg(home, ['--export', signer])),
      requireSignature: true,
    },
    { nowSeconds: Math.floor(Date.now() / 1000) },
  );
  t.equal(opened.signer, fingerprint(home, signer));
  t.match(opened.message.request, { source: null, ports: [{ protocol: 'tcp', port: 22 }] });

  const sealed = Buffer.from(`hQ${packet.slice(0, -43)}`, 'base64');
  const args = ['--homedir', home, '--batch', '--status-fd', '2', '--decrypt'];
  const decrypted = spawnSync('gpg', args, { input: sealed });
  t.match(decrypted.stdout.toString(), opened.message.randomValue);
  t.match(decrypted.stderr.toString(), 'GOODSIG');
}

t.test('OpenPGP packets', { skip }, async (t) => {
  const home = makeHome(t, NO_PINENTRY);
  const client = clientFor(home);

  t.test('with keys of a GnuPG home, RSA and ECC', async (t) => {
    for (const recipient of ['rsa@bastion.example', 'ecc@bastion.example']) {
      const keys = ['--gpg-recipient-key', recipient, '--gpg-signer-key', 'open@op.example'];
      await checkPacket(
        t,
        home,
        await client([...keys, '--gpg-no-signing-pw']),
        'open@op.example',
        recipient,
      );
    }
  });

  t.test('with a key whose passphrase comes through a pipe', async (t) => {
    const keys = ['--gpg-recipient', 'rsa@bastion.example', '--gpg-signer', 'locked@op.example'];
    const result = await client([...keys, '--fd', '0'], `${PASSPHRASE}\n`);
    await checkPacket(t, home, result, 'locked@op.example', 'rsa@bastion.example');
  });

  t.test('with a key whose passphrase is in the rc file', async (t) => {
    const rc = put(
      home,
      'rc',
      `[default]
ACCESS tcp/22
ALLOW_IP source
[eu-west-1]
SPA_SERVER 127.0.0.1
USE_GPG Y
GPG_HOMEDIR ${home}
GPG_SIGNER locked@op.example
GPG_RECIPIENT ecc@bastion.example
GPG_SIGNING_PW_BASE64 ${Buffer.from(PASSPHRASE).toString('base64')}
HMAC_KEY ${HMAC}
`,
    );
    const result = await run(process.execPath, [CLIENT, '--rc-file', rc, '-n', 'eu-west-1', '-T']);
    await checkPacket(t, home, result, 'locked@op.example', 'ecc@bastion.example');
  });

  t.test('with key files, without any GnuPG home', async (t) => {
    const secret = put(home, 'me.key', gpg(home, ['--armor', '--export-secret-keys', 'open@op.example']));
    const certificate = put(
      home,
      'bastion.asc',
      gpg(home, ['--armor', '--export', 'ecc@bastion.example']),
      0o644,
    );
    const files = ['--gpg-signer-key-file', secret, '--gpg-recipient-key-file', certificate];
    const knock = () => run(process.execPath, [CLIENT, ...REQUEST, '--gpg-exe', '/nonexistent', ...files]);
    await checkPacket(t, home, await knock(), 'open@op.example', 'ecc@bastion.example');

    const plans = join(STATE, 'sshbh', 'openpgp');
    const [plan = ''] = readdirSync(plans);
    const planFile = join(plans, plan);
    t.equal(statSync(plans).mode & 0o777, 0o700);
    t.equal(statSync(planFile).mode & 0o777, 0o600);
    const judged = readFileSync(planFile, 'utf8');
    t.match(JSON.parse(judged), {
      encryptTo: /^[0-9A-F]{40}$/,
      signWith: fingerprint(home, 'open@op.example'),
      untilSeconds: JSON.parse(judged).fromSeconds + 86_400,
    });
    await checkPacket(t, home, await knock(), 'open@op.example', 'ecc@bastion.example');
    t.equal(readFileSync(planFile, 'utf8'), judged, 'what is remembered is used');
    for (const wrong of [
      '',
      'null',
      '{}',
      judged.replace('"aes256"', '7'),
      judged.replace(/[0-9A-F]{40}/, 'x'),
    ]) {
      writeFileSync(planFile, wrong);
      await checkPacket(t, home, await knock(), 'open@op.example', 'ecc@bastion.example');
      t.match(readFileSync(planFile, 'utf8'), '"encryptTo"', 'what is wrong is judged anew');
    }
    chmodSync(planFile, 0o666);
    writeFileSync(planFile, judged.replace('"fromSeconds":', '"fromSeconds":1'));
    await checkPacket(t, home, await knock(), 'open@op.example', 'ecc@bastion.example');
    t.equal(statSync(planFile).mode & 0o777, 0o600, 'what others can write is not believed');
  });

  t.test('with a locked key file and its passphrase', async (t) => {
    const loopback = ['--pinentry-mode', 'loopback', '--passphrase', PASSPHRASE];
    const secret = put(
      home,
      'locked.key',
      gpg(home, [...loopback, '--export-secret-keys', 'locked@op.example']),
    );
    execFileSync('gpgconf', ['--homedir', home, '--reload', 'gpg-agent']);
    const files = ['--gpg-signer-key-file', secret, '--gpg-recipient-key', 'rsa@bastion.example', '--stdin'];
    await checkPacket(t, home, await client(files, PASSPHRASE), 'locked@op.example', 'rsa@bastion.example');
    t.match(await client(files, 'wrong'), {
      code: 78,
      stderr: `${secret}: wrong passphrase for the secret key ${fingerprint(home, 'locked@op.example')}\n`,
    });
  });

  t.test('every mistake is one line that says what to do', async (t) => {
    const openFile = put(home, 'open.key', gpg(home, ['--export-secret-keys', 'open@op.example']), 0o644);
    const both = put(home, 'both.asc', gpg(home, ['--export', '@bastion.example']));
    const junk = put(home, 'junk', 'junk');
    const signer = ['--gpg-signer-key', 'open@op.example'];
    const recipient = ['--gpg-recipient-key', 'rsa@bastion.example'];
    const list = `${fingerprint(home, 'rsa@bastion.example')}, ${fingerprint(home, 'ecc@bastion.example')}`;
    const table: readonly (readonly [readonly string[], string, number?])[] = [
      [
        [...signer, '--gpg-recipient-key', '@bastion.example'],
        `${home}: "@bastion.example" is ambiguous; write the fingerprint of one public key: ${list}`,
      ],
      [
        [...signer, '--gpg-recipient-key', 'nobody@x'],
        `${home}: gpg finds no public key "nobody@x" here; gpg --homedir ${home} --list-keys shows those it has`,
      ],
      [
        ['--gpg-signer-key', 'nobody@x', ...recipient],
        `${home}: gpg finds no secret key "nobody@x" here; gpg --homedir ${home} --list-secret-keys shows those it has`,
      ],
      [
        [...recipient, '--gpg-signer-key-file', openFile],
        `${openFile}: holds a secret and others have access to it; run: chmod 600 ${openFile}`,
      ],
      [
        [...signer, '--gpg-recipient-key-file', both],
        `${both}: is ambiguous, it has several keys; keep one of ${list}`,
      ],
      [[...signer, '--gpg-recipient-key-file', junk], `${junk}: no OpenPGP key is here`],
      [
        [...signer, ...recipient, '--gpg-exe', '/nonexistent'],
        '/nonexistent: cannot be run: there is no such program; install GnuPG or correct GPG_EXE',
      ],
      [
        ['--gpg-signer-key', 'locked@op.example', ...recipient, '--gpg-no-signing-pw'],
        `the key "locked@op.example" of ${home} has a passphrase; take GPG_NO_SIGNING_PW out`,
      ],
      [
        ['--gpg-signer-key', 'locked@op.example', ...recipient],
        `${home}: gpg: [stdin]: sign+encrypt failed: Operation cancelled`,
      ],
    ];
    const results = await Promise.all(table.map(([argv]) => client(argv)));
    for (const [index, [argv, message, code = 78]] of table.entries()) {
      t.match(results[index], { code, stderr: `spa-client: ${message}\n` }, argv.join(' '));
    }
    const wrong = await client([...recipient, '--gpg-signer-key', 'locked@op.example', '--stdin'], 'wrong');
    t.match(wrong, {
      code: 78,
      stderr: `the signing passphrase does not open the key "locked@op.example" of ${home}\n`,
    });
    t.notMatch(wrong.stderr, /\bwrong\b/);
  });

  t.test('-T prints the fields as fwknop does', { skip: lackingPrograms('fwknop') }, async (t) => {
    const keys = ['-g', '--gpg-recipient-key', 'rsa@bastion.example', '--gpg-signer-key', 'open@op.example'];
    const argv = [...keys, '--gpg-no-signing-pw', '-f', '60', '--gpg-exe', '/usr/bin/gpg'];
    const [ours, theirs] = await Promise.all([
      client(argv),
      run('fwknop', ['--no-save-args', '-D', '127.0.0.1', ...REQUEST, '--gpg-home-dir', home, ...argv]),
    ]);
    const blank = (dump: string): string =>
      dump
        .replaceAll(/: [\w+/]{16,}$/gm, ': …')
        .replaceAll(/\d{16}:/g, 'R:')
        .replaceAll(/\b1\d{9}\b/g, 'T');
    const withoutPacket = (dump: string): string =>
      blank(dump).replace(/^.*signing passphrase not required\n/, '');
    t.equal(withoutPacket(ours.stdout), withoutPacket(theirs.stdout));
  });
});

t.test('a locked key without a known passphrase: gpg signs, and its pinentry asks', { skip }, async (t) => {
  const home = makeHome(t, PINENTRY);
  const client = clientFor(home);
  const signer = ['--gpg-signer-key', 'locked@op.example'];
  for (const recipient of ['rsa@bastion.example', 'ecc@bastion.example']) {
    const result = await client([...signer, '--gpg-recipient-key', recipient]);
    await checkPacket(t, home, result, 'locked@op.example', recipient);
  }
  const armored = gpg(home, ['--armor', '--export', 'ecc@bastion.example']);
  const certificate = put(home, 'bastion.asc', armored, 0o644);
  const result = await client([...signer, '--gpg-recipient-key-file', certificate]);
  await checkPacket(t, home, result, 'locked@op.example', 'ecc@bastion.example');
});

t.test(
  'whole fingerprints are not looked up, and what is wrong with them is said all the same',
  { skip },
  async (t) => {
    const home = makeHome(t, NO_PINENTRY);
    const client = clientFor(home);
    const open = fingerprint(home, 'open@op.example');
    const ecc = fingerprint(home, 'ecc@bastion.example');
    const result = await client([
      '--gpg-signer-key',
      open,
      '--gpg-recipient-key',
      ecc,
      '--gpg-no-signing-pw',
    ]);
    await checkPacket(t, home, result, 'open@op.example', 'ecc@bastion.example');

    const past = ['--faked-system-time', '20200101T000000', '--passphrase', ''];
    const expired = [
      '--quick-generate-key',
      'Old <old@bastion.example>',
      'rsa2048',
      'encr',
      '20210101T000000',
    ];
    gpg(home, [...past, ...expired]);
    const file = put(home, 'old.asc', gpg(home, ['--export', 'old@bastion.example']), 0o644);
    const nobody = 'F'.repeat(40);
    const table: readonly (readonly [readonly string[], RegExp])[] = [
      [['--gpg-signer-key', nobody, '--gpg-recipient-key', ecc], /gpg finds no secret key "F{40}" here/],
      [['--gpg-signer-key', open, '--gpg-recipient-key', nobody], /gpg finds no public key "F{40}" here/],
      [['--gpg-signer-key', open, '--gpg-recipient-key', 'old@bastion.example'], /Unusable public key/],
      [['--gpg-signer-key', open, '--gpg-recipient-key-file', file], /old\.asc: .*expired/],
    ];
    for (const [argv, stderr] of table) t.match(await client(argv), { code: 78, stderr }, argv.join(' '));
  },
);
