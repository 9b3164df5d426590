import * as fc from 'fast-check';
import { certifyingKey, formatChallenge, parseChallenge, signDetached, verifyProof } from 'spa-core';
import t from 'tap';
import { createHome, DAY, START, skip } from './gnupg.ts';

const NOW = START + DAY;
const ASKED = { name: 'alice', nonce: 'AAECAwQFBgcICQoLDA0ODw', expiresAtSeconds: START + 2 * DAY } as const;
const CHALLENGE = formatChallenge(ASKED);

t.test('a challenge is text that says what it asks', (t) => {
  t.equal(
    CHALLENGE,
    'spa-keys challenge\nname: alice\nnonce: AAECAwQFBgcICQoLDA0ODw\nexpires: 2026-01-03T00:00:00Z\n',
  );
  t.same(parseChallenge(CHALLENGE), ASKED);
  t.same(parseChallenge(CHALLENGE.replaceAll('\n', '\r\n')), ASKED);
  t.equal(parseChallenge(`${CHALLENGE}name: bob\n`), null);
  t.equal(parseChallenge(CHALLENGE.replace('2026-01', '2026-99')), null);
  t.throws(() => formatChallenge({ ...ASKED, name: 'alice\nname: bob' }), RangeError);
  t.throws(() => formatChallenge({ ...ASKED, nonce: 'short' }), RangeError);
  t.end();
});

t.test('whoever signs the challenge, in whatever form gpg signs, has proven his key', { skip }, async (t) => {
  for (const algorithm of ['ed25519', 'rsa2048']) {
    const home = createHome(t);
    home.key('alice', { algorithm });
    const alice = home.raw('alice');
    const wanted = { isProven: true, signedAtSeconds: NOW };
    for (const way of ['--detach-sign', '--clearsign', '--sign']) {
      for (const form of [[], ['--armor'], ['--textmode'], ['--compress-algo', 'none']]) {
        const answer = home.gpgBytes([...form, way], NOW, CHALLENGE);
        t.same(await verifyProof(CHALLENGE, answer, alice, NOW), wanted, `gpg ${[...form, way].join(' ')}`);
      }
    }
    const ours = await signDetached(certifyingKey(await home.secret('alice')), Buffer.from(CHALLENGE), NOW);
    t.same(await verifyProof(CHALLENGE, Buffer.from(ours), alice, NOW), wanted);
  }
});

t.test('what is no proof is refused with the reason', { skip }, async (t) => {
  const home = createHome(t);
  home.key('alice');
  home.key('mallory');
  const alice = home.raw('alice');
  const sign = (name: string, text: string, way: string) =>
    home.gpgBytes(['--local-user', name, '--armor', way], NOW, text);
  const look = async (answer: Uint8Array | string, challenge = CHALLENGE, now = NOW): Promise<string> => {
    const verdict = await verifyProof(challenge, Buffer.from(answer), alice, now);
    return verdict.isProven ? 'proven' : verdict.reason;
  };
  const other = formatChallenge({ ...ASKED, nonce: 'BBECAwQFBgcICQoLDA0ODw' });
  for (const way of ['--clearsign', '--sign']) {
    t.equal(await look(sign('alice', other, way)), 'what was signed is not the challenge');
    t.equal(await look(sign('mallory', CHALLENGE, way)), `the answer is not signed by ${alice.fingerprint}`);
  }
  t.equal(
    await look(sign('alice', other, '--detach-sign')),
    `the answer is not signed by ${alice.fingerprint}`,
  );
  const good = sign('alice', CHALLENGE, '--clearsign');
  t.equal(await look(good), 'proven');
  const damaged = good.toString().replace('name: alice', 'name: eve');
  t.equal(await look(damaged), `the answer is not signed by ${alice.fingerprint}`);
  t.match(await look(good, CHALLENGE, START + 2 * DAY), /^the challenge expired at 2026-01-03T00:00:00Z/);
  t.equal(await look(good, 'hello'), 'this is no challenge');
  t.equal(await look(''), 'the answer holds no signature');
  t.equal(await look(CHALLENGE), 'the answer holds no signature');

  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 3 }),
      async (changes) => {
        const copy = Buffer.from(good);
        for (const [at, octet] of changes) copy[at] = octet;
        await look(copy);
      },
    ),
  );
});
