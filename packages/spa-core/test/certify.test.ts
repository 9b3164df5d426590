import {
  armorCertificates,
  type Certification,
  certificationsOf,
  certify,
  certifyingKey,
  type RawCertificate,
  readSecretKeys,
  revokeCertificate,
  revokeCertification,
  signingKey,
  unlockSecretKey,
  validityOf,
  withSignatures,
} from 'spa-core';
import t from 'tap';
import { createHome, DAY, type Home, START, skip } from './gnupg.ts';

const USER_ID = 'subject <subject@example.com>';
const NOW = START + 5 * DAY;
const FOREVER = { madeAtSeconds: START + DAY, expiresAtSeconds: null, isExportable: true } as const;

/** What gpg says of the signatures of others on the subject: `!` is good. */
function checked(home: Home, certifier: string, atSeconds = NOW): readonly string[] {
  const listed = home.gpg(['--with-colons', '--check-sigs', 'subject@example.com'], atSeconds);
  return Array.from(listed.matchAll(/^(sig|rev):(.):.*$/gm)).flatMap(([line, kind, verdict]) => {
    const [, , , , keyId, , expires, , , , type] = line.split(':');
    return keyId === certifier.slice(-16) ? [`${kind}${verdict} ${type?.slice(0, 3)} ${expires}`.trim()] : [];
  });
}

function states(certifications: readonly Certification[]): readonly string[] {
  return certifications.map(({ state }) => state);
}

for (const algorithm of ['ed25519', 'rsa2048', 'rsa3072', 'nistp256', 'nistp384', 'nistp521']) {
  t.test(
    `gpg finds good what a key of ${algorithm} certifies, and we what gpg makes with it`,
    { skip },
    async (t) => {
      const maker = createHome(t);
      const fingerprint = maker.key('maker', { algorithm });
      maker.key('subject');
      const subject = maker.raw('subject');
      const key = certifyingKey(await maker.secret('maker'));
      t.equal(key.fingerprint, fingerprint);
      const terms = [
        FOREVER,
        { ...FOREVER, madeAtSeconds: START + 2 * DAY, isExportable: false },
        { ...FOREVER, madeAtSeconds: START + 3 * DAY, expiresAtSeconds: START + 9 * DAY },
      ];
      const certified = withSignatures(
        subject,
        await Promise.all(
          terms.map(async (one) => ({
            userId: USER_ID,
            signature: await certify(key, subject, USER_ID, one),
          })),
        ),
      );
      const ours = await certificationsOf(certified, [maker.raw('maker')], NOW);
      t.same(
        ours.map(({ state, madeAtSeconds, expiresAtSeconds, isExportable }) => [
          state,
          { madeAtSeconds, expiresAtSeconds, isExportable },
        ]),
        terms.map((one) => ['valid', one]),
      );
      const other = createHome(t);
      const both = armorCertificates([maker.raw('maker'), certified]);
      other.gpg(['--import-options', 'import-local-sigs', '--import'], NOW, both);
      const wanted = terms.map(({ expiresAtSeconds, isExportable }) =>
        `sig! 10${isExportable ? 'x' : 'l'} ${expiresAtSeconds ?? ''}`.trim(),
      );
      t.same(checked(other, fingerprint).toSorted(), wanted.toSorted());

      maker.gpg(['--local-user', fingerprint, '--quick-sign-key', subject.fingerprint], START + DAY);
      const theirs = await certificationsOf(maker.raw('subject'), [maker.raw('maker')], NOW);
      t.same(states(theirs), ['valid']);
    },
  );
}

t.test(
  'gpg finds our revocation of a certification, exportable or local, and counts it no more',
  { skip },
  async (t) => {
    for (const isExportable of [true, false]) {
      const home = createHome(t);
      const fingerprint = home.key('maker');
      home.key('subject');
      const subject = home.raw('subject');
      const maker = home.raw('maker');
      const key = certifyingKey(await home.secret('maker'));
      const made = await certify(key, subject, USER_ID, { ...FOREVER, isExportable });
      const terms = {
        madeAtSeconds: START + 2 * DAY,
        reason: 'none',
        text: 'left – gone',
        isExportable,
      } as const;
      const revocation = await revokeCertification(key, subject, USER_ID, terms);
      const revoked = withSignatures(
        subject,
        [made, revocation].map((signature) => ({ userId: USER_ID, signature })),
      );
      t.same(states(await certificationsOf(revoked, [maker], NOW)), ['revoked']);
      t.same(states(await certificationsOf(revoked, [maker], START + DAY)), ['valid'], 'not before');
      home.gpg(['--import-options', 'import-local-sigs', '--import'], NOW, armorCertificates([revoked]));
      const kind = isExportable ? 'x' : 'l';
      t.same(checked(home, fingerprint).toSorted(), [`rev! 30${kind}`, `sig! 10${kind}`]);

      home.gpg(
        ['--local-user', fingerprint, '--force-sign-key', '--quick-sign-key', subject.fingerprint],
        START + 3 * DAY,
      );
      const again = await certificationsOf(home.raw('subject'), [maker], NOW);
      t.ok(states(again).includes('valid'), "gpg's new one counts again");
    }
  },
);

t.test('gpg takes our revocation of a key', { skip }, async (t) => {
  const home = createHome(t);
  home.key('subject');
  const subject = home.raw('subject');
  const key = certifyingKey(await home.secret('subject'));
  const terms = { madeAtSeconds: START + DAY, reason: 'retired', text: 'a new one is there' } as const;
  const revoked = withSignatures(subject, [
    { userId: null, signature: await revokeCertificate(key, subject, terms) },
  ]);
  t.match(validityOf(revoked, 'sign', START), { state: 'valid' });
  t.same(validityOf(revoked, 'sign', NOW), { state: 'revoked' });
  home.gpg(['--import'], NOW, armorCertificates([revoked]));
  t.match(home.gpg(['--with-colons', '--list-keys'], NOW), /^pub:r:/m);
  home.key('other');
  await t.rejects(revokeCertificate(key, home.raw('other'), terms), { name: 'KeyError' });
});

t.test('a certification that cannot be is not made', { skip }, async (t) => {
  const home = createHome(t);
  home.key('subject');
  home.key('maker', { algorithm: 'rsa2048' });
  const subject: RawCertificate = home.raw('subject');
  const key = certifyingKey(await home.secret('maker'));
  t.throws(() => certify(key, subject, 'subject', FOREVER), {
    name: 'KeyError',
    message: /no user ID subject$/,
  });
  t.throws(() => certify(key, subject, USER_ID, { ...FOREVER, expiresAtSeconds: START }), {
    name: 'RangeError',
  });
});

t.test('a locked key certifies when it is unlocked', { skip }, async (t) => {
  const home = createHome(t);
  home.gpg([
    '--passphrase',
    'sesame',
    '--quick-generate-key',
    'maker <maker@example.com>',
    'ed25519',
    'cert,sign',
  ]);
  home.key('subject');
  const options = ['--passphrase', 'sesame', '--export-secret-keys', 'maker@example.com'];
  const [locked] = await readSecretKeys(home.gpgBytes(options));
  if (locked === undefined) throw new Error('gpg exported nothing');
  t.throws(() => certifyingKey(locked), { name: 'KeyError', message: /locked/ });
  const key = certifyingKey(await unlockSecretKey(locked, 'sesame'));
  const subject = home.raw('subject');
  const signature = await certify(key, subject, USER_ID, FOREVER);
  const certified = withSignatures(subject, [{ userId: USER_ID, signature }]);
  t.same(states(await certificationsOf(certified, [home.raw('maker')], NOW)), ['valid']);
});

t.test('what was verified once is not verified again, and only that', { skip }, async (t) => {
  const home = createHome(t);
  home.key('subject');
  home.key('maker');
  home.key('other');
  const [subject, maker, other] = [home.raw('subject'), home.raw('maker'), home.raw('other')];
  const key = certifyingKey(await home.secret('maker'));
  const signature = await certify(key, subject, USER_ID, FOREVER);
  const certified = withSignatures(subject, [{ userId: USER_ID, signature }]);
  const known = new Set<string>();
  let added = 0;
  const verified = {
    has: (digest: string) => known.has(digest),
    add: (digest: string) => {
      known.add(digest);
      added += 1;
    },
  };
  t.same(states(await certificationsOf(certified, [maker], NOW, verified)), ['valid']);
  const before = added;
  t.same(states(await certificationsOf(certified, [maker], NOW, verified)), ['valid']);
  t.equal(added, before, 'nothing was verified anew');
  const both = withSignatures(certified, [
    { userId: USER_ID, signature: await certify(key, subject, USER_ID, { ...FOREVER, isExportable: false }) },
  ]);
  t.same(states(await certificationsOf(both, [maker], NOW, verified)), ['valid', 'valid']);
  const beforeBoth = added;
  t.same(states(await certificationsOf(both, [maker], NOW, verified)), ['valid', 'valid']);
  t.equal(added, beforeBoth, 'nor are several');
  const otherId = 'other <other@example.com>';
  const moved = withSignatures(other, [{ userId: otherId, signature }]);
  t.same(await certificationsOf(moved, [maker], NOW, verified), [], 'on another user ID it is unknown');
  const damaged = Buffer.from(signature);
  damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
  const forged = withSignatures(subject, [{ userId: USER_ID, signature: damaged }]);
  t.same(await certificationsOf(forged, [maker], NOW, verified), [], 'so is one that was changed');
  const oneForged = withSignatures(both, [{ userId: USER_ID, signature: damaged }]);
  for (let look = 0; look < 2; look += 1) {
    const found = await certificationsOf(oneForged, [maker], NOW, verified);
    t.same(states(found), ['valid', 'valid'], 'also among others');
  }
});

t.test('where only subkeys are, nothing certifies', { skip }, async (t) => {
  const home = createHome(t);
  const fingerprint = home.key('maker', { usage: 'cert' });
  home.gpg(['--quick-add-key', fingerprint, 'ed25519', 'sign', 'never']);
  const [secret] = await readSecretKeys(home.gpgBytes(['--export-secret-subkeys', fingerprint]));
  if (secret === undefined) throw new Error('gpg exported nothing');
  t.throws(() => certifyingKey(secret), { name: 'KeyError', message: /only subkeys are here/ });
  t.match(signingKey(secret, NOW), { algorithm: 22 });
});
