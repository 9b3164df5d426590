import * as fc from 'fast-check';
import { certificationsOf, faultOf, type RawCertificate, readRawCertificates } from 'spa-core';
import t from 'tap';
import { createHome, DAY, type Home, START, skip } from './gnupg.ts';

const NOW = START + 5 * DAY;
const ALL = { uses: ['certify', 'sign', 'encrypt'] } as const;

function raw(home: Home): RawCertificate {
  return home.raw('key');
}

/** The certificate without the packets that `isDropped`. */
function without(raw: RawCertificate, dropped: readonly { readonly octets: Buffer }[]): RawCertificate {
  let octets = raw.octets;
  for (const one of dropped) {
    const at = octets.indexOf(one.octets);
    octets = Buffer.concat([octets.subarray(0, at), octets.subarray(at + one.octets.length)]);
  }
  const [rest] = readRawCertificates(octets);
  if (rest === undefined) throw new Error('nothing is left');
  return rest;
}

t.test('what gpg makes by default has no fault', { skip }, (t) => {
  for (const algorithm of ['default', 'ed25519', 'rsa2048', 'nistp256']) {
    const home = createHome(t);
    const fingerprint = home.key('key', { algorithm, usage: 'default', expiry: '20d' });
    t.equal(faultOf(raw(home), NOW), null);
    t.equal(faultOf(raw(home), NOW, { uses: ['certify', 'sign'] }), null);
    if (algorithm === 'default') {
      t.equal(faultOf(raw(home), NOW, ALL), null);
      continue;
    }
    const subkey = algorithm === 'rsa2048' ? 'rsa2048' : 'cv25519';
    if (raw(home).subkeys.length === 0) {
      t.same(faultOf(raw(home), NOW, ALL), { state: 'stripped', reason: 'it has no key to encrypt to' });
      home.gpg(['--quick-add-key', fingerprint, subkey, 'encr', '20d']);
    }
    t.equal(faultOf(raw(home), NOW, ALL), null);
    t.same(faultOf(raw(home), START + 30 * DAY), { state: 'expired', reason: 'it expired on 2026-01-21' });
    t.match(faultOf(raw(home), START - DAY), {
      state: 'unusable',
      reason: /made in the future, on 2026-01-01/,
    });
  }
  t.end();
});

t.test('what is weak is refused', { skip }, async (t) => {
  t.test('a short RSA key', (t) => {
    const home = createHome(t);
    home.key('key', { algorithm: 'rsa1024' });
    t.same(faultOf(raw(home), NOW), { state: 'weak', reason: 'its RSA key of 1024 bits is too short' });
    t.end();
  });
  t.test('DSA', (t) => {
    const home = createHome(t);
    home.key('key', { algorithm: 'dsa1024' });
    t.match(faultOf(raw(home), NOW), { state: 'weak', reason: /DSA/ });
    t.end();
  });
  for (const [digest, name] of [
    ['SHA1', 'SHA-1'],
    ['RIPEMD160', 'RIPEMD-160'],
  ] as const) {
    t.test(`a user ID signed with ${digest}, until it is signed anew`, (t) => {
      const home = createHome(t);
      const options = [
        '--allow-weak-key-signatures',
        '--allow-weak-digest-algos',
        '--cert-digest-algo',
        digest,
      ];
      home.gpg([
        ...options,
        '--quick-generate-key',
        'key <key@example.com>',
        'rsa2048',
        'cert,sign',
        'never',
      ]);
      t.match(faultOf(raw(home), NOW), { state: 'weak', reason: new RegExp(`user ID .*made with ${name}$`) });
      home.gpg(
        ['--cert-digest-algo', 'SHA512', '--quick-set-expire', raw(home).fingerprint, '90d'],
        START + DAY,
      );
      t.equal(faultOf(raw(home), NOW), null);
      t.end();
    });
  }
  t.test('a subkey signed with SHA-1', (t) => {
    const home = createHome(t);
    const fingerprint = home.key('key');
    home.gpg(['--cert-digest-algo', 'SHA1', '--quick-add-key', fingerprint, 'cv25519', 'encr', 'never']);
    const wanted = `its signature on the subkey ${raw(home).subkeys[0]?.key.keyId} is made with SHA-1`;
    t.same(faultOf(raw(home), NOW), { state: 'weak', reason: wanted });
    home.gpg(['--cert-digest-algo', 'SHA512', '--quick-set-expire', fingerprint, '90d', '*'], START + DAY);
    t.equal(faultOf(raw(home), NOW), null, 'until it is signed anew');
    t.end();
  });
  t.test('a short RSA subkey that nothing else stands in for', (t) => {
    const home = createHome(t);
    const fingerprint = home.key('key');
    home.gpg(['--quick-add-key', fingerprint, 'rsa1024', 'encr', 'never']);
    t.match(faultOf(raw(home), NOW, ALL), { state: 'weak', reason: /of 1024 bits is too short/ });
    home.gpg(['--quick-add-key', fingerprint, 'cv25519', 'encr', 'never']);
    t.equal(faultOf(raw(home), NOW, ALL), null);
    t.end();
  });
});

t.test('what was taken away is missed', { skip }, (t) => {
  const home = createHome(t);
  const fingerprint = home.key('key', { usage: 'cert' });
  home.gpg(['--quick-add-key', fingerprint, 'cv25519', 'encr', 'never']);
  home.gpg(['--quick-add-key', fingerprint, 'ed25519', 'sign', 'never']);
  const whole = raw(home);
  t.equal(faultOf(whole, NOW, ALL), null);
  const [encryption, signing] = whole.subkeys;
  const [user] = whole.users;
  if (!encryption || !signing || !user) throw new Error('a part is missing');

  t.same(faultOf(without(whole, user.signatures), NOW), {
    state: 'stripped',
    reason: 'no user ID of it is signed by its own key',
  });
  t.same(faultOf(without(whole, [user, ...user.signatures]), NOW), {
    state: 'stripped',
    reason: 'it has no user ID',
  });
  t.same(faultOf(without(whole, encryption.signatures), NOW, ALL), {
    state: 'stripped',
    reason: `its subkey ${encryption.key.keyId} is not signed by its primary key`,
  });
  home.gpg(['--no-batch', '--command-fd', '0', '--edit-key', fingerprint], START, 'key 1\ndelkey\ny\nsave\n');
  t.same(faultOf(raw(home), NOW, ALL), { state: 'stripped', reason: 'it has no key to encrypt to' });

  const back = signing.signatures[0]?.fields?.embedded;
  const at = whole.octets.lastIndexOf(back ?? '') + (back?.length ?? 0) - 1;
  const damaged = Buffer.from(whole.octets);
  damaged[at] = (damaged[at] ?? 0) ^ 1;
  const [forged] = readRawCertificates(damaged);
  t.same(faultOf(forged ?? whole, NOW, ALL), {
    state: 'stripped',
    reason: `its subkey ${signing.key.keyId} has not signed that it belongs to it`,
  });
  t.end();
});

t.test('what its owner revoked is refused', { skip }, (t) => {
  const home = createHome(t);
  const fingerprint = home.key('key');
  home.gpg(['--quick-add-key', fingerprint, 'cv25519', 'encr', 'never']);
  const { subkeys } = raw(home);
  home.gpg(
    ['--no-batch', '--command-fd', '0', '--edit-key', fingerprint],
    START,
    'key 1\nrevkey\ny\n0\n\ny\nsave\n',
  );
  t.match(faultOf(raw(home), NOW, ALL), { state: 'revoked', reason: `its subkey ${subkeys[0]?.key.keyId}` });
  t.equal(faultOf(raw(home), NOW), null);
  const orders = 'y\n1\nlost\\x1b it\n\ny\n';
  const revocation = home.gpg(
    ['--no-batch', '--command-fd', '0', '--gen-revoke', fingerprint],
    START + DAY,
    orders,
  );
  home.gpg(['--import'], START + DAY, revocation);
  t.match(faultOf(raw(home), NOW), {
    state: 'revoked',
    reason: /^its owner revoked it on 2026-01-02 \(compromised: lost/,
  });
  t.end();
});

t.test('a key that gpg cannot use is refused', async (t) => {
  const openpgp = await import('openpgp');
  const date = new Date(START * 1000);
  const options = { userIDs: { name: 'new' }, date, format: 'object' } as const;
  const { publicKey } = await openpgp.generateKey({
    ...options,
    type: 'curve25519',
    config: { v6Keys: true },
  });
  const [version6] = readRawCertificates(publicKey.write());
  t.same(version6 && faultOf(version6, NOW), {
    state: 'unusable',
    reason: 'it is of version 6, which gpg and fwknop cannot use',
  });
  const { publicKey: modern } = await openpgp.generateKey({ ...options, type: 'curve25519' });
  const [algorithm27] = readRawCertificates(modern.write());
  t.match(algorithm27 && faultOf(algorithm27, NOW), { state: 'unusable', reason: /number 27/ });
});

t.test('of any bytes that are a certificate there is something to say', { skip }, async (t) => {
  const home = createHome(t);
  const fingerprint = home.key('key');
  home.gpg(['--quick-add-key', fingerprint, 'ed25519', 'sign', '9d']);
  home.key('maker');
  home.gpg(['--local-user', home.raw('maker').fingerprint, '--quick-sign-key', fingerprint]);
  const [whole, maker] = [raw(home), home.raw('maker')];
  const change = fc.tuple(fc.nat(whole.octets.length - 1), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 4 }), async (changes) => {
      const copy = Buffer.from(whole.octets);
      for (const [at, octet] of changes) copy[at] = octet;
      let damaged: readonly RawCertificate[];
      try {
        damaged = readRawCertificates(copy);
      } catch {
        return;
      }
      for (const one of damaged) {
        const { reason = '' } = faultOf(one, NOW, ALL) ?? {};
        const certifications = await certificationsOf(one, [maker], NOW);
        if (/\p{Cc}/u.test(reason) || certifications.length > 1) throw new Error(`${reason}`);
      }
    }),
    { numRuns: 300 },
  );
  t.equal((await certificationsOf(whole, [maker], NOW)).length, 1);
});
