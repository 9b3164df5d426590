import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { candidateTexts, frameOpenPgp, packetBeginnings, packetKind } from '../src/framing.ts';
import { type OpenPgpVectors, readVectors } from './vectors.ts';

/** The header of some packet that follows. */
const NEXT = 0xd2;

t.test('an OpenPGP message is framed with the header 85 hi lo, whatever its header was', async (t) => {
  const body = sessionKey(94);
  const headers: Readonly<Record<string, readonly number[]>> = {
    'old format, one octet': [0x84, 94],
    'old format, two octets': [0x85, 0, 94],
    'old format, four octets': [0x86, 0, 0, 0, 94],
    'new format, one octet': [0xc1, 94],
    'new format, five octets': [0xc1, 255, 0, 0, 0, 94],
  };
  const expected = base64Of([0x85, 0, 94, ...body, NEXT, 1, 1]);
  t.equal(expected.slice(0, 4), 'hQBe');
  for (const [name, header] of Object.entries(headers)) {
    t.equal(frameOpenPgp(Buffer.from([...header, ...body, NEXT, 1, 1])), expected, name);
  }
  const long = sessionKey(268);
  t.equal(
    frameOpenPgp(Buffer.from([0xc1, 192, 76, ...long, NEXT])),
    base64Of([0x85, 1, 12, ...long, NEXT]),
    'new format, two octets',
  );
});

t.test('what does not begin with a session key is no OpenPGP message for SPA', async (t) => {
  const wrong: Readonly<Record<string, readonly number[]>> = {
    nothing: [],
    'text that is no packet': [0x48, 0x65, 0x6c],
    'another packet': [0xd2, 3, 1, 2, 3],
    'a length beyond the end': [0x84, 94, 3],
    'a partial length': [0xc1, 0xe1, 3, 0],
    'an indeterminate length': [0x87, 3, 0],
    'a session key of 4096 octets': [0x85, 0x10, 0, ...sessionKey(4096)],
  };
  for (const [name, bytes] of Object.entries(wrong)) {
    t.throws(() => frameOpenPgp(Buffer.from(bytes)), RangeError, name);
  }
});

t.test('the stock prefix is tried first, then the ones that stock clients cut off by mistake', async (t) => {
  const body = sessionKey(94);
  const normalised = base64Of([0x85, 0, 94, ...body, NEXT, 1, 1]);
  t.same(candidateTexts('openpgp', normalised.slice(2)), [normalised]);
  for (const [length, lost] of [
    [94, 'hF'],
    [126, 'hH'],
    [140, 'hI'],
  ] as const) {
    const text = base64Of([0x84, length, ...sessionKey(length), NEXT, 1, 1]);
    t.equal(text.slice(0, 2), lost);
    t.same(candidateTexts('openpgp', text.slice(2)), [text], `${length} octets`);
  }
});

t.test('every lost prefix is found again, and never more than one text begins a whole packet', async (t) => {
  for (let length = 60; length < 256; length++) {
    const text = base64Of([0x84, length, ...sessionKey(length), NEXT, ...new Array<number>(20).fill(1)]);
    t.same(candidateTexts('openpgp', text.slice(2)), [text], `${length} octets`);
  }
});

t.test('junk is no candidate, so that it costs no decryption', async (t) => {
  const body = sessionKey(94);
  const junk: Readonly<Record<string, string>> = {
    'all the same letter': 'A'.repeat(600),
    'another version': base64Of([0x85, 0, 94, 5, ...body.slice(1), NEXT, 1, 1]).slice(2),
    'a session key alone': base64Of([0x85, 0, 94, ...body]).slice(2),
    'no packet after it': base64Of([0x85, 0, 94, ...body, 0x12, 1, 1]).slice(2),
    'a length beyond the end': base64Of([0x85, 0, 255, ...body, NEXT]).slice(2),
    nothing: '',
  };
  for (const [name, text] of Object.entries(junk)) t.same(candidateTexts('openpgp', text), [], name);
  t.same(candidateTexts('aes', 'junk'), ['U2FsdGVkX1junk'], 'AES has one prefix, and the HMAC tells');
});

t.test('the first character tells AES from OpenPGP in every packet of the stock client', async (t) => {
  t.same(['8', '9', '+', '/'].map(packetKind), ['aes', 'aes', 'aes', 'aes']);
  t.same(['4', 'B', 'Q'].map(packetKind), ['openpgp', 'openpgp', 'openpgp']);
  for (const { name, packet } of readVectors<OpenPgpVectors>('06-gpg').vectors) {
    if (packet !== undefined) t.equal(packetKind(packet), 'openpgp', name);
  }
});

t.test('whatever may be a packet begins like one', async (t) => {
  const beginnings = packetBeginnings();
  const isSeen = (text: string): boolean =>
    beginnings.some(({ at, texts }) => texts.some((one) => text.startsWith(one, at)));
  for (const { at, texts } of beginnings)
    t.equal(new Set(texts.map((text) => text.length)).size, 1, `at ${at}`);
  for (const first of ['8', '9', '+', '/']) t.ok(isSeen(`${first}QQQ`), first);
  const missed: string[] = [];
  for (const version of [3, 6]) {
    for (let length = 60; length < 4096; length++) {
      const body = [version, ...sessionKey(length).slice(1)];
      const text = base64Of([0x85, length >> 8, length & 0xff, ...body, NEXT, 1, 1]).slice(2);
      if (candidateTexts('openpgp', text).length === 0 || !isSeen(text)) missed.push(`${version} ${length}`);
    }
  }
  for (let length = 60; length < 256; length++) {
    const text = base64Of([0x84, length, ...sessionKey(length), NEXT, 1, 1]).slice(2);
    if (!isSeen(text)) missed.push(`stock ${length}`);
  }
  t.same(missed, []);
  for (const { name, packet } of readVectors<OpenPgpVectors>('06-gpg').vectors) {
    if (packet !== undefined) t.ok(isSeen(packet), name);
  }
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.base64String({ minLength: 140 }), (text) => {
        const isCandidate = candidateTexts('openpgp', text).length > 0;
        return isSeen(text) || (!isCandidate && packetKind(text) === 'openpgp');
      }),
      { numRuns: 2_000 },
    ),
  );
  const random = Array.from({ length: 4_000 }, () => randomBytes(200).toString('base64')).filter(isSeen);
  t.ok(random.length < 600, `of 4,000 random texts ${random.length} begin so`);
});

/** The body of a session key packet of version 3 with so many octets. */
function sessionKey(octets: number): number[] {
  return [3, ...new Array<number>(octets - 1).fill(0x5a)];
}

function base64Of(bytes: readonly number[]): string {
  return Buffer.from(bytes).toString('base64').replaceAll('=', '');
}
