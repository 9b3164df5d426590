import * as fc from 'fast-check';
import t from 'tap';
import { canEndAt, decodeBase64, encodeBase64, isBase64Alphabet } from '../src/base64.ts';

t.test('bytes have one spelling, without padding, and it decodes to them', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = encodeBase64(bytes);
        const padded = Buffer.from(bytes).toString('base64');
        return (
          text === padded.replace(/=+$/, '') &&
          (decodeBase64(text)?.equals(bytes) ?? false) &&
          (text === padded || decodeBase64(padded) === null)
        );
      }),
    ),
  );
});

t.test('whatever text decodes is the spelling of what it decodes to', async (t) => {
  const text = fc.string({ unit: fc.constantFrom(...'AZaz09+/-_= \n\u00e9'), maxLength: 12 });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(text, (text) => {
        const bytes = decodeBase64(text);
        return bytes === null || (/^[A-Za-z0-9+/]*$/.test(text) && encodeBase64(bytes) === text);
      }),
      { numRuns: 2000 },
    ),
  );
  for (const spare of ['QQ==', 'QR', 'Q', 'QQ\n', 'QUI-', 'QUI_', 'QU I'])
    t.equal(decodeBase64(spare), null, spare);
});

t.test('text of the alphabet is canonical if and only if it can end where it does', async (t) => {
  const text = fc.string({ unit: fc.constantFrom(...'AQIEgwZ09+/'), minLength: 1, maxLength: 12 });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(text, (text) => {
        return canEndAt(text, text.length - 1, text.length) === (decodeBase64(text) !== null);
      }),
      { numRuns: 1000 },
    ),
  );
});

t.test('the alphabet is that of RFC 4648 section 4, and nothing else is in it', async (t) => {
  for (let code = 0; code < 256; code++) {
    const expected = /[A-Za-z0-9+/]/.test(String.fromCharCode(code));
    t.equal(isBase64Alphabet(Buffer.of(65, code, 65)), expected, `code ${code}`);
  }
  t.ok(isBase64Alphabet(Buffer.alloc(0)));
});
