import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import t from 'tap';
import { DIGEST_NAMES, hashOf } from '../src/digest.ts';
import { hmacOf, splitHmac, verifyHmac } from '../src/hmac.ts';
import { HmacKey } from '../src/keys.ts';

const text = fc.base64String({ maxLength: 3000 });
const key = fc
  .tuple(fc.uint8Array({ minLength: 1, maxLength: 128 }), fc.constantFrom(...DIGEST_NAMES))
  .map(([bytes, digest]) => ({ bytes, hmac: new HmacKey(bytes, digest) }));

t.test('an HMAC is what Node makes of the same key and text, with every digest and length', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(key, text, ({ bytes, hmac }, text) => {
        const expected = createHmac(hashOf(hmac.digest), bytes).update(text, 'latin1').digest('base64');
        return hmacOf(hmac, text) === expected.replace(/=+$/, '');
      }),
      { numRuns: 500 },
    ),
  );
});

t.test('a MAC verifies at the end of its own text, and of no other', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(key, text, fc.nat(), ({ hmac }, text, at) => {
        const packet = text + hmacOf(hmac, text);
        const split = splitHmac(hmac, packet);
        const other = packet.charAt(at % packet.length) === 'A' ? 'B' : 'A';
        const changed = splitHmac(
          hmac,
          packet.slice(0, at % packet.length) + other + packet.slice((at % packet.length) + 1),
        );
        return (
          split.text === text &&
          verifyHmac(hmac, split.text, split.mac) &&
          !verifyHmac(hmac, changed.text, changed.mac) &&
          !verifyHmac(hmac, text, '')
        );
      }),
    ),
  );
});
