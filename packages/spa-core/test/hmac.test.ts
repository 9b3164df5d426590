import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import t from 'tap';
import { DIGEST_NAMES, hashOf } from '../src/digest.ts';
import { endsInMac, hmacOf } from '../src/hmac.ts';
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

t.test('a packet ends in the MAC of its own text and prefix, and of no other', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        key,
        text,
        fc.constantFrom('', 'hQ', 'U2FsdGVkX1'),
        fc.nat(),
        ({ hmac }, text, prefix, at) => {
          const packet = text + hmacOf(hmac, prefix + text);
          const place = at % packet.length;
          const other = packet.charAt(place) === 'A' ? 'B' : 'A';
          const changed = packet.slice(0, place) + other + packet.slice(place + 1);
          return (
            endsInMac(hmac, prefix, packet) &&
            !endsInMac(hmac, prefix, changed) &&
            !endsInMac(hmac, `${prefix}A`, packet) &&
            !endsInMac(hmac, prefix, packet.slice(0, -1)) &&
            !endsInMac(hmac, prefix, '')
          );
        },
      ),
    ),
  );
});
