import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Certification,
  certificationsOf,
  certifiersOf,
  type RawCertificate,
  readRawCertificates,
  validityOf,
  withSignatures,
} from 'spa-core';
import t, { type Test } from 'tap';

const hasGpg = spawnSync('gpg', ['--version']).status === 0;
if (!hasGpg && process.env.CI) throw new Error('in CI nothing is skipped: gpg is not installed');
const skip = hasGpg ? false : 'gpg is not installed';

/** 2026-01-01T00:00:00Z: the time of all keys and signatures unless a test says otherwise. */
const START = 1_767_225_600;
const DAY = 86_400;

interface Home {
  /** Makes a key pair; its fingerprint. */
  readonly key: (name: string, usage?: string, expiry?: string) => string;
  readonly gpg: (args: readonly string[], atSeconds?: number, input?: string) => string;
  readonly certificate: (name: string) => RawCertificate;
}

function home(t: Test): Home {
  const directory = mkdtempSync(join(tmpdir(), 'c'));
  t.teardown(() => {
    spawnSync('gpgconf', ['--homedir', directory, '--kill', 'all']);
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  });
  writeFileSync(join(directory, 'gpg.conf'), 'no-auto-check-trustdb\ntrust-model always\n');
  const run = (args: readonly string[], atSeconds: number, input: string): Buffer =>
    execFileSync(
      'gpg',
      [
        ...['--homedir', directory, '--batch', '--quiet', '--yes', '--no-tty', '--pinentry-mode', 'loopback'],
        ...['--passphrase', '', '--faked-system-time', `${atSeconds}!`, ...args],
      ],
      { input, stdio: ['pipe', 'pipe', 'pipe'] },
    );
  const gpg: Home['gpg'] = (args, atSeconds = START, input = '') => run(args, atSeconds, input).toString();
  return {
    gpg,
    key: (name, usage = 'cert,sign', expiry = 'never') => {
      gpg(['--quick-generate-key', `${name} <${name}@example.com>`, 'ed25519', usage, expiry]);
      const listed = gpg(['--with-colons', '--list-keys', `${name}@example.com`]);
      return /^fpr:+([0-9A-F]{40}):/m.exec(listed)?.[1] ?? '';
    },
    certificate: (name) => {
      const options = ['--export-options', 'export-local-sigs', '--export', `${name}@example.com`];
      const [certificate] = readRawCertificates(run(options, START, ''));
      if (certificate === undefined) throw new Error(`gpg exported nothing for ${name}`);
      return certificate;
    },
  };
}

function states(certifications: readonly Certification[]): readonly string[] {
  return certifications.map(({ state }) => state).sort();
}

t.test(
  'a certification counts, exportable or local, of the makers that were asked for',
  { skip },
  async (t) => {
    const { key, gpg, certificate } = home(t);
    const operator = key('operator');
    const bastion = key('bastion');
    const authority = key('authority', 'cert');
    gpg(['--local-user', bastion, '--quick-lsign-key', operator], START + DAY);
    gpg(
      ['--local-user', authority, '--default-cert-expire', '10d', '--quick-sign-key', operator],
      START + DAY,
    );

    const candidates = [certificate('bastion'), certificate('authority')];
    const found = await certifiersOf(certificate('operator'), candidates, START + 2 * DAY);
    t.same(
      found.map(({ certifier, ...rest }) => ({ ...rest, maker: certifier.fingerprint })),
      [
        {
          maker: bastion,
          userId: 'operator <operator@example.com>',
          state: 'valid',
          isExportable: false,
          madeAtSeconds: START + DAY,
          expiresAtSeconds: null,
        },
        {
          maker: authority,
          userId: 'operator <operator@example.com>',
          state: 'valid',
          isExportable: true,
          madeAtSeconds: START + DAY,
          expiresAtSeconds: START + 11 * DAY,
        },
      ],
    );
    const asked = await certifiersOf(certificate('operator'), candidates.slice(1), START + 2 * DAY);
    t.same(
      asked.map(({ certifier }) => certifier.fingerprint),
      [authority],
    );
    const own = await certifiersOf(certificate('operator'), [certificate('operator')], START + DAY);
    t.same(own, [], 'a self-signature is none');
    const before = await certificationsOf(certificate('operator'), candidates, START);
    t.same(before, [], 'none that is still to come');
    const later = await certificationsOf(certificate('operator'), candidates, START + 12 * DAY);
    t.same(states(later), ['expired', 'valid']);
  },
);

t.test('a certification that was taken back counts again only if it is made again', { skip }, async (t) => {
  const { key, gpg, certificate } = home(t);
  const operator = key('operator');
  const bastion = key('bastion');
  const now = START + 9 * DAY;
  const look = async (): Promise<readonly string[]> =>
    states(await certificationsOf(certificate('operator'), [certificate('bastion')], now));
  gpg(['--local-user', bastion, '--quick-sign-key', operator]);
  t.same(await look(), ['valid']);
  gpg(['--quick-revoke-sig', operator, bastion], START + DAY);
  t.same(await look(), ['revoked']);
  gpg(['--local-user', bastion, '--force-sign-key', '--quick-sign-key', operator], START + 2 * DAY);
  t.ok((await look()).includes('valid'));
});

t.test(
  'makers that are no more, that did not look, and revoked user IDs do not count',
  { skip },
  async (t) => {
    const { key, gpg, certificate } = home(t);
    const operator = key('operator');
    const expired = key('expired', 'cert,sign', '5d');
    const persona = key('persona');
    const now = START + 9 * DAY;
    const look = async (name: string): Promise<readonly string[]> => {
      const all = await certificationsOf(certificate('operator'), [certificate(name)], now);
      return states(all);
    };
    gpg(['--local-user', expired, '--quick-sign-key', operator]);
    gpg(['--local-user', persona, '--default-cert-level', '1', '--quick-sign-key', operator]);
    t.same(await look('expired'), ['certifier']);
    t.same(await look('persona'), ['unchecked']);
    t.same(
      await certifiersOf(certificate('operator'), [certificate('persona')], now),
      [],
      'and none is a certifier',
    );
    gpg(['--local-user', key('bastion'), '--quick-sign-key', operator]);
    t.same(await look('bastion'), ['valid']);
    gpg(['--quick-add-uid', operator, 'other <other@example.com>'], START + DAY);
    gpg(['--quick-revoke-uid', operator, 'operator <operator@example.com>'], START + 2 * DAY);
    const all = await certificationsOf(certificate('other'), [certificate('bastion')], now);
    t.same(states(all), ['user-id']);
  },
);

t.test("a signature that was moved from another certificate is nobody's", { skip }, async (t) => {
  const { key, gpg, certificate } = home(t);
  const [operator] = [key('operator'), key('mallory')];
  gpg(['--local-user', key('bastion'), '--quick-sign-key', operator]);
  const [good, evil] = [certificate('operator'), certificate('mallory')];
  const [, signature, ...more] = good.users[0]?.signatures ?? [];
  t.same(more, []);
  const userId = evil.users[0]?.userId ?? null;
  const forged = withSignatures(evil, [{ userId, signature: signature?.octets ?? Buffer.alloc(0) }]);
  t.equal(forged.users[0]?.signatures.length, 2);
  t.same(await certificationsOf(forged, [certificate('bastion')], START + DAY), []);
});

t.test('validity is that of the key that would be used', { skip }, async (t) => {
  const { key, gpg, certificate } = home(t);
  const bastion = key('bastion', 'cert,sign', '100d');
  gpg(['--quick-add-key', bastion, 'cv25519', 'encrypt', '10d']);
  const look = async (use: 'certify' | 'encrypt' | 'sign', days: number) =>
    validityOf(certificate('bastion'), use, START + days * DAY);
  t.same(await look('encrypt', 9), { state: 'valid', expiresAtSeconds: START + 10 * DAY });
  t.same(await look('encrypt', 11), { state: 'expired', expiresAtSeconds: START + 10 * DAY });
  t.same(await look('sign', 11), { state: 'valid', expiresAtSeconds: START + 100 * DAY });
  t.same(await look('certify', 101), { state: 'expired', expiresAtSeconds: START + 100 * DAY });
  t.same(await look('sign', -1), { state: 'not-yet-valid', createdAtSeconds: START });

  key('signer', 'sign');
  t.match(await validityOf(certificate('signer'), 'encrypt', START + DAY), { state: 'unusable' });
  t.same(await validityOf(certificate('signer'), 'sign', START + DAY), {
    state: 'valid',
    expiresAtSeconds: null,
  });

  const orders = 'y\n0\n\ny\n';
  const revocation = gpg(['--no-batch', '--command-fd', '0', '--gen-revoke', bastion], START + DAY, orders);
  gpg(['--import'], START + DAY, revocation);
  t.same(await look('encrypt', 9), { state: 'revoked' });
});

t.test('a certification with a weak digest does not count', async (t) => {
  const openpgp = await import('openpgp');
  const date = new Date(START * 1000);
  const generate = (name: string) =>
    openpgp.generateKey({ type: 'rsa', rsaBits: 2048, userIDs: [{ name }], date, format: 'object' });
  const [owner, maker] = await Promise.all([generate('owner'), generate('maker')]);
  const [user] = owner.publicKey.users;
  // The salt is for digests of today only.
  const config = { ...openpgp.config, nonDeterministicSignaturesViaNotation: false };
  for (const digest of ['sha1', 'ripemd', 'md5', 'sha256'] as const) {
    const signature = new openpgp.SignaturePacket();
    signature.signatureType = openpgp.enums.signature.certGeneric;
    signature.publicKeyAlgorithm = maker.privateKey.keyPacket.algorithm as never;
    signature.hashAlgorithm = openpgp.enums.hash[digest];
    const signed = { userID: user?.userID, key: owner.publicKey.keyPacket };
    const sign = signature.sign as (...args: readonly unknown[]) => Promise<void>;
    await sign.call(signature, maker.privateKey.keyPacket, signed, date, false, config);
    user?.otherCertifications.push(signature);
  }
  const [certificate] = readRawCertificates(owner.publicKey.write());
  const candidates = readRawCertificates(maker.publicKey.write());
  const all = await certificationsOf(certificate as RawCertificate, candidates, START + DAY);
  t.same(states(all), ['valid', 'weak', 'weak', 'weak']);
  t.equal((await certifiersOf(certificate as RawCertificate, candidates, START + DAY)).length, 1);
});
