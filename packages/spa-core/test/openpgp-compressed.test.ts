import { deflateRawSync, deflateSync } from 'node:zlib';
import t from 'tap';
import { INFLATED_MAX_BYTES, inflate, isCheapToRead } from '../src/openpgp-compressed.ts';

const literal = Buffer.of(0xcb, 7, 0x62, 0, 0, 0, 0, 0, 65);
const zip = Buffer.concat([Buffer.of(1), deflateRawSync(literal)]);
const zlib = Buffer.concat([Buffer.of(2), deflateSync(literal)]);

/** As GnuPG writes it: until the end. */
function untilEnd(body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0xa3), body]);
}

function withLength(body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0xc8, body.length), body]);
}

t.test('ZIP and ZLIB inflate, with and without a length', async (t) => {
  for (const message of [untilEnd(zip), untilEnd(zlib), withLength(zip), withLength(zlib)]) {
    t.same(inflate(message), literal);
    t.ok(isCheapToRead(message));
  }
});

t.test('what is not one whole compressed packet does not inflate', async (t) => {
  const wrong: Readonly<Record<string, Buffer>> = {
    nothing: Buffer.alloc(0),
    'no compressed packet': literal,
    'BZip2, which is not read here': untilEnd(Buffer.from('\x03BZh91AY&SY')),
    'no compression': untilEnd(Buffer.concat([Buffer.of(0), literal])),
    'no algorithm': Buffer.of(0xa3),
    'cut off': untilEnd(zip.subarray(0, -3)),
    'octets after its end': untilEnd(Buffer.concat([zip, Buffer.of(0)])),
    'octets after the end of ZLIB': untilEnd(Buffer.concat([zlib, Buffer.of(0)])),
    'a packet after it': Buffer.concat([withLength(zip), literal]),
    'damaged ZLIB': untilEnd(Buffer.concat([zlib.subarray(0, -1), Buffer.of(0)])),
  };
  for (const [name, message] of Object.entries(wrong)) t.equal(inflate(message), null, name);
});

t.test('what inflates to more than any packet needs is given up at the limit', async (t) => {
  const atLimit = Buffer.alloc(INFLATED_MAX_BYTES);
  const bomb = Buffer.alloc(100 * INFLATED_MAX_BYTES);
  const compressed = (data: Buffer) => untilEnd(Buffer.concat([Buffer.of(1), deflateRawSync(data)]));
  t.same(inflate(compressed(atLimit)), atLimit);
  t.equal(inflate(compressed(bomb)), null);
  t.notOk(isCheapToRead(compressed(bomb)));
});

t.test('BZip2, compression in compression, and what cannot be looked through are not cheap', async (t) => {
  const nested = (inner: Buffer) => untilEnd(Buffer.concat([Buffer.of(1), deflateRawSync(inner)]));
  const bzip2 = Buffer.from('\x03BZh91AY&SY');
  t.ok(isCheapToRead(literal));
  const dear: Readonly<Record<string, Buffer>> = {
    bzip2: untilEnd(bzip2),
    'BZip2 in ZIP': nested(untilEnd(bzip2)),
    'ZIP in ZIP': nested(withLength(zip)),
    'ZIP in ZIP until the end': nested(untilEnd(zip)),
    'after another packet': Buffer.concat([literal, withLength(bzip2)]),
    'after another packet, until the end': Buffer.concat([literal, untilEnd(bzip2)]),
    'a header that is none': Buffer.of(0x12),
  };
  for (const [name, message] of Object.entries(dear)) t.notOk(isCheapToRead(message), name);
});
