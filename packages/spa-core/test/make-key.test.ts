import {
  certificationsOf,
  certify,
  certifyingKey,
  faultOf,
  makeKey,
  readSecretKeys,
  unlockSecretKey,
  withSignatures,
} from 'spa-core';
import t from 'tap';
import { createHome, DAY, START, skip } from './gnupg.ts';

const PLAN = {
  userId: 'Älice Liddell <alice@example.com>',
  expiresAtSeconds: START + 30 * DAY,
  nowSeconds: START,
  passphrase: null,
  algorithm: 'ecc',
} as const;
const ALL = { uses: ['certify', 'sign', 'encrypt'] } as const;

for (const algorithm of ['ecc', 'rsa3072'] as const) {
  t.test(`gpg uses a key of ${algorithm} that was made here as one of its own`, { skip }, async (t) => {
    const { certificate, secretKey } = await makeKey({ ...PLAN, algorithm });
    t.equal(faultOf(certificate, START + DAY, ALL), null);
    t.match(faultOf(certificate, START + 31 * DAY), { state: 'expired' });
    const home = createHome(t);
    home.gpg(['--import'], START + DAY, secretKey);
    const listed = home.gpg(['--with-colons', '--list-secret-keys'], START + DAY);
    t.match(listed, `fpr:::::::::${certificate.fingerprint}:`);
    t.match(listed, PLAN.userId);
    const [size, number, capabilities] = algorithm === 'ecc' ? [255, 22, 'scESC'] : [3072, 1, 'scESC'];
    t.match(
      listed,
      new RegExp(
        `^sec:u?-?[^:]*:${size}:${number}:[^:]*:${START}:${START + 30 * DAY}:.*:${capabilities}:`,
        'm',
      ),
    );
    const recipient = ['--recipient', certificate.fingerprint];
    const sealed = home.gpgBytes(['--sign', '--encrypt', ...recipient], START + DAY, 'hello');
    t.equal(home.gpg(['--decrypt'], START + DAY, sealed), 'hello');
    home.key('maker');
    home.gpg(
      ['--local-user', certificate.fingerprint, '--quick-sign-key', home.raw('maker').fingerprint],
      START + DAY,
    );
    const [found] = await certificationsOf(home.raw('maker'), [certificate], START + DAY);
    t.equal(found?.state, 'valid', 'gpg certifies with it');
  });
}

t.test('a key with a passphrase certifies when it is unlocked, by gpg too', { skip }, async (t) => {
  const { certificate, secretKey } = await makeKey({ ...PLAN, passphrase: 'sesame', expiresAtSeconds: null });
  const [locked] = await readSecretKeys(Buffer.from(secretKey));
  if (locked === undefined) throw new Error('nothing was made');
  t.equal(locked.isLocked, true);
  const key = certifyingKey(await unlockSecretKey(locked, 'sesame'));
  const { certificate: subject } = await makeKey({ ...PLAN, userId: 'us-east-1a' });
  const terms = { madeAtSeconds: START, expiresAtSeconds: null, isExportable: true };
  const signature = await certify(key, subject, 'us-east-1a', terms);
  const certified = withSignatures(subject, [{ userId: 'us-east-1a', signature }]);
  t.match(await certificationsOf(certified, [certificate], START + DAY), [{ state: 'valid' }]);
  const home = createHome(t);
  home.gpg(['--passphrase', 'sesame', '--import'], START, secretKey);
  t.match(home.gpg(['--passphrase', 'sesame', '--clearsign'], START, 'hello'), /BEGIN PGP SIGNATURE/);
});

t.test('what is no user ID is refused', async (t) => {
  for (const userId of ['', ' ', 'alice <alice>', 'alice\nbob', 'alice <a@b> <c@d>', ' alice']) {
    await t.rejects(makeKey({ ...PLAN, userId }), { name: 'KeyError', message: /NAME <ADDRESS@HOST>/ });
  }
  await t.rejects(makeKey({ ...PLAN, expiresAtSeconds: START }), RangeError);
});
