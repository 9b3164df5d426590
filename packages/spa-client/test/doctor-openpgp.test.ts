import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { createGnupgHome, type GnupgHome, lackingPrograms } from 'spa-lab';
import t, { type Test } from 'tap';
import { shortDiagnosis } from '../src/doctor/short.ts';
import { readRcFile } from '../src/rc-file.ts';
import { readRegion } from '../src/region.ts';
import { doctor, examine, file, folder, of, only } from './doctor-support.ts';

const skip = lackingPrograms('ssh', 'gpg');
const DAY_MS = 86_400_000;
const HMAC_KEY = 'the-hmac-key-of-the-test';

/** Two homes: an operator's, who has the bastion's certificate, and the bastion's, which has his. */
interface Homes {
  readonly operator: GnupgHome;
  readonly bastion: GnupgHome;
  /** An rc file with that operator's home; `lines` come last. */
  readonly rc: (lines?: string) => string;
  readonly inOperators: (args: readonly string[], input?: string) => string;
}

async function homes(t: Test, algorithm: 'ecc' | 'rsa3072' = 'ecc'): Promise<Homes> {
  const directory = folder(t);
  const [operator, bastion] = await Promise.all([
    createGnupgHome(join(directory, 'o'), 'Alice <alice@example.com>', algorithm),
    createGnupgHome(join(directory, 'b'), 'Bastion <bastion@example.com>', algorithm),
  ]);
  t.teardown(() => {
    operator.close();
    bastion.close();
  });
  gpgIn(operator, ['--import'], await bastion.exportCertificate());
  gpgIn(bastion, ['--import'], await operator.exportCertificate());
  let count = 0;
  return {
    operator,
    bastion,
    inOperators: (args, input) => gpgIn(operator, args, input),
    rc: (lines = '') =>
      file(
        directory,
        `rc${count++}`,
        `[x]\nSPA_SERVER 127.0.0.1\nUSE_GPG Y\nGPG_HOMEDIR ${operator.path}\nGPG_SIGNER ${operator.fingerprint}\nGPG_RECIPIENT ${bastion.fingerprint}\nHMAC_KEY ${HMAC_KEY}\n${lines}`,
      ),
  };
}

function gpgIn(home: GnupgHome, args: readonly string[], input = ''): string {
  const common = ['--homedir', home.path, '--batch', '--quiet', '--yes', '--pinentry-mode', 'loopback'];
  return execFileSync('gpg', [...common, '--passphrase', '', ...args], {
    input,
    stdio: ['pipe', 'pipe', 'ignore'],
  }).toString();
}

t.test('OpenPGP keys in order, but not certified: the command that certifies', { skip }, async (t) => {
  const { operator, bastion, rc, inOperators } = await homes(t);
  const before = await examine(rc());
  t.match(only(before, 'key-files'), { state: 'ok', says: `GnuPG home ${operator.path} is yours alone` });
  t.match(only(before, 'keys'), {
    state: 'ok',
    says: new RegExp(`signing key.*, an HMAC key of ${HMAC_KEY.length} bytes$`),
  });
  const until = /is valid until 20\d\d-\d\d-\d\d$/;
  t.match(only(before, 'signer'), { state: 'ok', says: until });
  t.match(only(before, 'signer'), { says: `Alice <alice@example.com> ${operator.fingerprint}` });
  t.match(only(before, 'recipient'), { state: 'ok', says: until });
  t.match(only(before, 'size'), {
    state: 'ok',
    says: /^a packet has [56]\d\d characters, 1500 are allowed$/,
  });

  const [missing, unknown] = of(before, 'certification');
  const command = `--local-user ${operator.fingerprint} --quick-lsign-key ${bastion.fingerprint}`;
  t.match(missing, {
    state: 'warn',
    says: /is not certified by yours/,
    todo: `gpg --homedir ${operator.path} ${command}`,
  });
  t.match(unknown, { state: 'skipped', todo: `--quick-lsign-key ${operator.fingerprint}` });

  inOperators(command.split(' '));
  gpgIn(bastion, ['--quick-sign-key', operator.fingerprint]);
  inOperators(['--import'], gpgIn(bastion, ['--armor', '--export', operator.fingerprint]));
  t.match(of(await examine(rc()), 'certification'), [
    { state: 'ok', says: "the bastion's key is certified by yours (local)" },
    { state: 'ok', says: "your key is certified by the bastion's (exportable)" },
  ]);
});

t.test('keys that expire soon, have expired, or are of the future', { skip }, async (t) => {
  const { rc, operator } = await homes(t);
  const at = async (days: number) => examine(rc(), { nowMs: () => Date.now() + days * DAY_MS });
  const soon = await at(360);
  t.match(only(soon, 'signer'), {
    state: 'warn',
    says: /is valid until/,
    todo: `--quick-set-expire ${operator.fingerprint} 2y`,
  });
  t.match(only(soon, 'recipient'), { state: 'warn', todo: /bastion's owner .* --import/ });
  const late = await at(370);
  t.match(only(late, 'signer'), { state: 'bad', says: /expired on 20/ });
  t.match(only(late, 'recipient'), { state: 'bad', says: /expired on 20/ });
  t.match(of(late, 'certification')[0], { state: 'warn' });
  t.match(only(await at(-2), 'signer'), {
    state: 'bad',
    says: /was made in the future/,
    todo: 'set the clock',
  });
});

t.test('a revoked key is bad, also in the short form', { skip }, async (t) => {
  const { rc, bastion, inOperators } = await homes(t);
  const file = join(bastion.path, 'openpgp-revocs.d', `${bastion.fingerprint}.rev`);
  const revocation = execFileSync('sed', ['s/^:---/---/', file]).toString();
  inOperators(['--import'], revocation);
  const all = await examine(rc());
  t.match(only(all, 'recipient'), {
    state: 'bad',
    says: `Bastion <bastion@example.com> ${bastion.fingerprint} is revoked`,
  });
  t.match(only(all, 'signer'), { state: 'ok' });
  t.match(only(all, 'size'), { state: 'bad' });
  const region = readRegion(readRcFile(rc()), 'x');
  const [line, ...rest] = await shortDiagnosis(region, { address: '127.0.0.1', state: 'silent' });
  t.match(line, /^recipient: Bastion .* is revoked; ask the bastion's owner/);
  t.same(rest, ['sshbh doctor x says more']);
});

t.test('a key that is not in the home, and none named', { skip }, async (t) => {
  const { rc, operator } = await homes(t);
  const all = await examine(rc('GPG_RECIPIENT nobody@example.com\n'));
  t.match(only(all, 'recipient'), {
    state: 'bad',
    says: `${operator.path}: gpg finds no public key "nobody@example.com" here`,
    todo: /--list-keys shows those it has$/,
  });
  t.match(only(all, 'certification'), { state: 'skipped' });
  const foreign = await examine(rc('GPG_SIGNER bastion@example.com\n'));
  t.ok(
    foreign.some(({ check, state }) => ['keys', 'size'].includes(check) && state === 'bad'),
    'a signer whose secret key is elsewhere',
  );
  const none = file(folder(t), 'rc', '[x]\nSPA_SERVER 127.0.0.1\nUSE_GPG Y\nHMAC_KEY h\n');
  t.match(only(await examine(none), 'signer'), { state: 'bad', says: 'GPG_SIGNER: is not set' });
});

t.test('who else can get at the keys', { skip }, async (t) => {
  const { rc, operator, bastion } = await homes(t);
  const directory = folder(t);
  const look = async (lines?: string) => of(await examine(rc(lines)), 'key-files');
  for (const [mode, state] of [
    [0o750, 'warn'],
    [0o770, 'bad'],
  ] as const) {
    chmodSync(operator.path, mode);
    t.match(await look(), [{ state, todo: `run: chmod 700 ${operator.path}` }]);
  }
  chmodSync(operator.path, 0o700);
  t.match(await look(`GPG_HOMEDIR ${directory}/none\n`), [{ state: 'bad', says: /there is no GnuPG home/ }]);

  const signer = file(directory, 'me.key', await operator.exportSecretKey(), 0o640);
  const recipient = file(directory, 'bastion.asc', await bastion.exportCertificate(), 0o664);
  const files = `GPG_SIGNER_KEY_FILE ${signer}\nGPG_RECIPIENT_KEY_FILE ${recipient}\n`;
  t.match(await look(files), [
    { state: 'bad', says: /others have access/, todo: `run: chmod 600 ${signer}` },
    { state: 'bad', says: /others can change it/, todo: `run: chmod go-w ${recipient}` },
  ]);
  chmodSync(signer, 0o600);
  chmodSync(recipient, 0o644);
  const all = await examine(rc(`${files}GPG_EXE /nonexistent\n`));
  t.match(of(all, 'key-files'), [{ state: 'ok' }, { state: 'ok' }]);
  for (const check of ['signer', 'recipient', 'size'] as const) t.match(only(all, check), { state: 'ok' });
});

t.test('a packet that is too long for fwknopd names the keys to use instead', { skip }, async (t) => {
  const { rc } = await homes(t, 'rsa3072');
  t.match(only(await examine(rc()), 'size'), { state: 'ok', says: /^a packet has 1[34]\d\d characters/ });
  const ports = Array.from({ length: 18 }, (_, index) => `tcp/${60_000 + index}`).join(',');
  const long = only(await examine(rc(`ACCESS ${ports}\nSPOOF_USER ${'u'.repeat(48)}\n`)), 'size');
  t.match(long, {
    state: 'bad',
    says: /^a signature with your RSA-3072 key .* of about 1[5-9]\d\d characters, but 1500 is the limit$/,
    todo: /^ask for less at once \(about 14\d\d characters\), or sign with an ed25519 key/,
  });
});

t.test('--json of an OpenPGP region, as a program sees it', { skip }, async (t) => {
  const { rc } = await homes(t);
  const { stdout, stderr, code } = await doctor(t, ['--rc-file', rc(), '--no-packet', '--json', 'x']);
  t.equal(code, 0, stderr);
  t.match(JSON.parse(stdout), { region: 'x', result: 'warn' });
  t.notMatch(stdout + stderr, HMAC_KEY);
  t.notMatch(stdout, 'PRIVATE KEY');
});
