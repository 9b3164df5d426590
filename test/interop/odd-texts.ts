import * as fc from 'fast-check';
import { DIGEST_NAMES, encodeMessage, type Message } from 'spa-core';
import { base64, digestText, withDigest } from './forge.ts';
import { message } from './messages.ts';

/** What is odd about a wire text, and the text. */
export type OddText = readonly [what: string, text: string];

/** What the parts of a wire text are replaced by; base64 is put around those of the second table. */
const PLAIN_ODDITIES: Readonly<
  Record<'random' | 'time' | 'version' | 'type' | 'timeout', readonly string[]>
> = {
  random: list`¦111111111111111¦11111111111111111¦111111111111111x¦ 111111111111111¦+111111111111111¦0000000000000000`,
  time: list`¦0¦01795300000¦+1795300000¦ 1795300000¦1795300000x¦1795300000 ¦-1¦abc¦2147483647¦2147483648¦4294967295¦4294967296¦\
6090267296¦99999999999¦999999999999¦9999999999999¦000000000000¦1e9¦0x6b000000¦9 ¦ `,
  version: list`¦1¦2.0.2¦12345678¦123456789¦a b¦~!@¦ `,
  type: list`¦0¦1¦2¦3¦4¦5¦6¦7¦9¦10¦01¦03¦ 1¦+1¦1x¦1 ¦-0¦-1¦x¦001¦4.¦  `,
  timeout: list`¦0¦1¦01¦0000077¦65535¦65536¦65537¦99999¦100000¦1000000¦-1¦+1¦ 1¦1 ¦1x¦x¦131072¦4294967297¦18446744073709551617`,
};

const TEXT_ODDITIES: Readonly<Record<'user' | 'message' | 'nat' | 'auth', readonly string[]>> = {
  user: [
    ...list`¦ ¦a b¦.¦-¦@¦a/b¦a"b¦a\\b¦a:b¦a;b¦a|b¦a=b¦a,b¦a+b¦a*b¦a?b¦[¦]¦<¦>¦a\0b¦\0¦a\0¦\x7f¦a\n¦\xe4¦\xff¦\t`,
    ...[48, 49, 63, 64, 200].map((length) => 'x'.repeat(length)),
  ],
  message: [
    ...list`¦,¦10.1.2.3¦10.1.2.3,¦,tcp/22¦0.0.0.0,tcp/22¦010.1.2.3,tcp/22¦08.1.2.3,tcp/22¦10.1.2.03,tcp/22¦00.0.0.0,tcp/22`,
    ...list`0000.0.0.0,tcp/22¦256.1.2.3,tcp/22¦10.1.2.256,tcp/22¦1.2.3,tcp/22¦1.2.3.4.5,tcp/22¦1..2.3,tcp/22¦1.2.3.,tcp/22`,
    ...list`.1.2.3,tcp/22¦10.1.2.3 ,tcp/22¦ 10.1.2.3,tcp/22¦10.1.2.3,tcp/22 ¦10.1.2.3, tcp/22¦0x0a.1.2.3,tcp/22¦167837955,tcp/22`,
    ...list`::1,tcp/22¦2001:db8::1,tcp/22¦localhost,tcp/22¦10.1.2.3/24,tcp/22¦255.255.255.255,tcp/1¦1.2.3.4,tcp/22,1.2.3.4,tcp/23`,
    ...[
      ...list`tcp/022¦tcp/00022¦tcp/000022¦tcp/0¦tcp/00000¦tcp/65535¦tcp/65536¦tcp/99999¦tcp/¦tcp¦/22¦TCP/22¦icmp/8¦none/0¦tcp/22,`,
      ...list`,tcp/22¦tcp/22,,udp/53¦tcp/22udp/53¦tcp/22/23¦tcp//22¦tcp/-1¦tcp/+1¦tcp/22-23¦tcp/0x16¦tcp/22x¦tcp/22\n¦tcp/22\0`,
      ...list`tcp/22\0,junk¦\0,tcp/22¦tcp/22\xff¦udp/1,udp/1¦/bin/true¦ /bin/true¦ ¦  x¦a\0b¦a\nb¦\xe4¦\x7f¦,¦a,b¦-`,
      ...[183, 184, 250].map((length) => 'x'.repeat(length)),
      'tcp/22,'.repeat(26).slice(0, -1),
    ].map((what) => `10.1.2.3,${what}`),
  ],
  nat: [
    ...list`¦,¦10.0.0.5¦10.0.0.5,¦10.0.0.5,0¦10.0.0.5,00¦10.0.0.5,1¦10.0.0.5,022¦10.0.0.5,00022¦10.0.0.5,000022¦10.0.0.5,65535`,
    ...list`10.0.0.5,65536¦10.0.0.5,99999¦10.0.0.5,100000¦10.0.0.5,-1¦10.0.0.5,+1¦10.0.0.5, 22¦10.0.0.5,22 ¦10.0.0.5,22x`,
    ...list`10.0.0.5,22,33¦10.0.0.5:22¦10.0.0.5,tcp/22¦host,22\0¦host,2\x002`,
    ...[
      ...list`¦10.0.0.5 ¦ 10.0.0.5¦010.0.0.5¦300.1.1.1¦10.0.0¦10.0.0.5.6¦1.2.3.4.example¦host.example¦host¦h_st.example¦-host¦host-`,
      ...list`.host¦host.¦ho st¦a/b¦a?b¦a"b¦a'b¦a\\b¦a;b¦a|b¦a$b¦a(b)¦a<b¦a:b¦a@b¦a%b¦a*¦::1¦2001:db8::5¦host\0¦h\xe4st¦h\nst¦12345`,
      ...list`0x0a000005¦h.0x1`,
      ...[70, 71, 120, 190].map((length) => 'h'.repeat(length)),
    ].map((host) => `${host},22`),
  ],
  auth: [...list`¦x¦a\0b¦\xff\xfe`, ...[63, 64, 150, 192, 193].map((length) => 'x'.repeat(length))],
};

/** Ways to write the base64 of a field. */
const SPELLINGS: readonly ((text: string) => string)[] = [
  (text) => `${base64(text)}=`,
  (text) => `${base64(text)}==`,
  (text) => `${base64(text)}=junk`,
  (text) => `=${base64(text)}`,
  (text) => withSpareBit(base64(text)),
  (text) => `${base64(text)}A`,
  (text) => `${base64(text)} `,
  (text) => `${base64(text)}*`,
  (text) => base64(text).replaceAll('+', '-').replaceAll('/', '_'),
  (text) => base64(text).slice(0, -1),
  () => '*',
  () => '',
  () => '=',
  (text) => text.replace(/[^\x20-\x39\x3b-\x7e]/g, ''),
];

/** Messages that are honest but for one field, or for how many they have, with a digest that fits. */
const oddMessage: fc.Arbitrary<OddText> = fc
  .tuple(message, fc.constantFrom(...DIGEST_NAMES))
  .chain(([original, digest]) => {
    const parts = partsOf(original);
    return fc
      .oneof(
        { weight: 5, arbitrary: fc.constantFrom(...parts.keys()).chain((at) => oddField(parts, at)) },
        { weight: 2, arbitrary: oddStructure(parts) },
        oddCharacter(parts.map(({ text }) => text).join(':')),
      )
      .map(([what, encoded]) => [what, withDigest(encoded, digest)]);
  });

/** One message whose digest is not what it should be. */
const oddDigest: fc.Arbitrary<OddText> = fc.tuple(message, fc.nat(9)).map(([original, index]) => {
  const text = encodeMessage(original);
  const at = text.lastIndexOf(':') + 1;
  const [encoded, digest] = [text.slice(0, at - 1), text.slice(at)];
  const digests = [
    '',
    digest.slice(0, -1),
    `${digest}=`,
    `${digest}A`,
    withSpareBit(digest),
    digest.toLowerCase(),
    digestText('sha256', `${encoded}:`),
    digestText('md5', 'else'),
    digestText('sha512', 'else'),
    `${digest}:`,
  ];
  return [`digest ${index}`, `${encoded}:${digests[index]}`];
});

/** Wire texts that no client writes. */
export const oddText: fc.Arbitrary<OddText> = fc.oneof({ weight: 8, arbitrary: oddMessage }, oddDigest);

/** A field of a wire text: `text` as it is there. */
interface Part {
  readonly name: keyof typeof PLAIN_ODDITIES | keyof typeof TEXT_ODDITIES;
  readonly text: string;
}

function partsOf(original: Message): readonly Part[] {
  const names: readonly Part['name'][] = [
    ...(['random', 'user', 'time', 'version', 'type', 'message'] as const),
    ...(original.request.kind.includes('nat') ? (['nat'] as const) : []),
    ...(original.clientTimeoutSeconds === null ? [] : (['timeout'] as const)),
  ];
  const texts = encodeMessage(original).split(':');
  return names.map((name, index) => ({ name, text: texts[index] ?? '' }));
}

function oddField(parts: readonly Part[], at: number): fc.Arbitrary<OddText> {
  const { name, text } = parts[at] ?? { name: 'random', text: '' };
  const replaced = (what: string, odd: string): OddText => [`${name} ${what}`, spliced(parts, at, 1, odd)];
  if (name in PLAIN_ODDITIES) {
    const odd = fc.constantFrom(...PLAIN_ODDITIES[name as keyof typeof PLAIN_ODDITIES]);
    return odd.map((plain) => replaced(JSON.stringify(plain), plain));
  }
  const decoded = Buffer.from(text, 'base64').toString('latin1');
  const odd = fc.constantFrom(...TEXT_ODDITIES[name as keyof typeof TEXT_ODDITIES]);
  const character = fc.constantFrom('\0', '\n', ' ', ',', '/', ':', '=', '0', '\x7f', '\xff', '"', 'x');
  return fc.oneof(
    { weight: 3, arbitrary: odd.map((plain) => replaced(JSON.stringify(plain), base64(plain))) },
    fc.nat(SPELLINGS.length - 1).map((index) => replaced(`spelled ${index}`, spell(index, decoded))),
    fc.tuple(fc.nat(decoded.length), character).map(([where, added]) => {
      const longer = decoded.slice(0, where) + added + decoded.slice(where);
      return replaced(`with ${JSON.stringify(added)} at ${where}`, base64(longer));
    }),
  );
}

/** Fields that are missing, that are too many, or that have changed places. */
function oddStructure(parts: readonly Part[]): fc.Arbitrary<OddText> {
  const place = fc.nat(parts.length - 1);
  const authAt = parts.some(({ name }) => name === 'nat') ? 7 : 6;
  const withAuth = (what: string, auth: string): OddText => [
    `server auth ${what}`,
    spliced(parts, authAt, 0, auth),
  ];
  const more = fc.array(fc.constantFrom('', 'YQ', '60', '0', base64('10.0.0.5,22')), {
    minLength: 1,
    maxLength: 3,
  });
  return fc.oneof(
    fc.constant<OddText>(['nothing', spliced(parts, 0, 0)]),
    place.map((at): OddText => [`without field ${at}`, spliced(parts, at, 1)]),
    fc.constantFrom(...TEXT_ODDITIES.auth).map((auth) => withAuth(`of ${auth.length}`, base64(auth))),
    fc.nat(SPELLINGS.length - 1).map((index) => withAuth(`spelled ${index}`, spell(index, 'secret+/'))),
    fc
      .tuple(place, more)
      .map(([at, added]): OddText => [`${added} at ${at}`, spliced(parts, at, 0, ...added)]),
    fc.tuple(place, place).map(([one, other]): OddText => {
      const texts = parts.map(({ text }) => text);
      const swapped = texts.with(one, texts[other] ?? '').with(other, texts[one] ?? '');
      return [`fields ${one} and ${other} swapped`, swapped.join(':')];
    }),
  );
}

/** A character that is another one, or one too many. */
function oddCharacter(text: string): fc.Arbitrary<OddText> {
  const code = fc.integer({ min: 0x1f, max: 0x80 });
  return fc.tuple(fc.nat(text.length - 1), fc.nat(1), code).map(([at, count, added]) => {
    const changed = text.slice(0, at) + String.fromCharCode(added) + text.slice(at + count);
    return [`character ${added} at ${at}`, changed];
  });
}

function spliced(parts: readonly Part[], at: number, count: number, ...added: readonly string[]): string {
  const texts = parts.map(({ text }) => text);
  return texts.toSpliced(at, count, ...added).join(':');
}

function spell(index: number, text: string): string {
  return SPELLINGS[index]?.(text) ?? '';
}

/** What is between the bars. */
function list([text = '']: TemplateStringsArray): readonly string[] {
  return text.split('¦');
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** The same bytes, if the last character has bits to spare. */
export function withSpareBit(text: string): string {
  return text.slice(0, -1) + ALPHABET.charAt(ALPHABET.indexOf(text.slice(-1)) ^ 1);
}
