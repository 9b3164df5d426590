import * as fc from 'fast-check';
import { DIGEST_NAMES, encodeMessage } from 'spa-core';
import { authenticate, base64, digestText, forge, innerText, padding, withDigest } from './forge.ts';
import type { Secrets } from './libfko.ts';
import { message, secrets } from './messages.ts';

/** A packet that was tampered with, before or after it was sealed. `opening`: what the receiver tries to open it with. */
export interface Mutant {
  readonly what: string;
  readonly packet: string;
  readonly opening: Secrets;
}

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

const PLACES = ['random', 'user', 'time', 'version', 'type', 'message'] as const;

/** One message, honest but for one field. */
const oddText: fc.Arbitrary<readonly [string, string]> = fc
  .record({ original: message, digest: fc.constantFrom(...DIGEST_NAMES) })
  .chain(({ original, digest }) => {
    const parts = encodeMessage(original).split(':').slice(0, -1);
    const isNat = original.request.kind.includes('nat');
    const natAt = isNat ? 6 : -1;
    const timeoutAt = original.clientTimeoutSeconds === null ? -1 : parts.length - 1;
    const names: readonly string[] = parts.map((_, at) =>
      at === natAt ? 'nat' : at === timeoutAt ? 'timeout' : (PLACES[at] ?? ''),
    );
    const replaced = (at: number, part: string): string => parts.with(at, part).join(':');
    const spliced = (at: number, count: number, ...added: readonly string[]): string =>
      parts.toSpliced(at, count, ...added).join(':');
    const ofField = fc.nat(parts.length - 1).chain((at) => {
      const name = names[at] as string;
      const plain = PLAIN_ODDITIES[name as 'time'];
      if (plain !== undefined)
        return fc
          .constantFrom(...plain)
          .map((part) => [`${name} ${JSON.stringify(part)}`, replaced(at, part)] as const);
      const text = Buffer.from(parts[at] ?? '', 'base64').toString('latin1');
      return fc.oneof(
        {
          weight: 3,
          arbitrary: fc
            .constantFrom(...TEXT_ODDITIES[name as 'user'])
            .map((odd) => [`${name} ${JSON.stringify(odd)}`, replaced(at, base64(odd))] as const),
        },
        fc
          .nat(SPELLINGS.length - 1)
          .map(
            (index) => [`${name} spelled ${index}`, replaced(at, SPELLINGS[index]?.(text) ?? '')] as const,
          ),
        fc
          .nat(text.length)
          .chain((where) =>
            fc
              .constantFrom('\0', '\n', ' ', ',', '/', ':', '=', '0', '\x7f', '\xff', '"', 'x')
              .map(
                (character) =>
                  [
                    `${name} with ${JSON.stringify(character)} at ${where}`,
                    replaced(at, base64(text.slice(0, where) + character + text.slice(where))),
                  ] as const,
              ),
          ),
      );
    });
    const ofStructure = fc.oneof(
      fc.nat(parts.length - 1).map((at) => [`without field ${at}`, spliced(at, 1)] as const),
      fc
        .constantFrom(...TEXT_ODDITIES.auth)
        .map(
          (auth) => [`server auth of ${auth.length}`, spliced(natAt < 0 ? 6 : 7, 0, base64(auth))] as const,
        ),
      fc
        .nat(SPELLINGS.length - 1)
        .map(
          (index) =>
            [
              `server auth spelled ${index}`,
              spliced(natAt < 0 ? 6 : 7, 0, SPELLINGS[index]?.('geheim+/') ?? ''),
            ] as const,
        ),
      fc
        .tuple(
          fc.nat(parts.length),
          fc.array(fc.constantFrom('', 'YQ', '60', '0', 'MTAuMC4wLjUsMjI'), { minLength: 1, maxLength: 3 }),
        )
        .map(([at, added]) => [`fields ${added} at ${at}`, spliced(at, 0, ...added)] as const),
      fc.tuple(fc.nat(parts.length - 1), fc.nat(parts.length - 1)).map(
        ([one, other]) =>
          [
            `fields ${one} and ${other} swapped`,
            parts
              .with(one, parts[other] ?? '')
              .with(other, parts[one] ?? '')
              .join(':'),
          ] as const,
      ),
      fc.constantFrom(...DIGEST_NAMES).map((name) => [`digest ${name}`, parts.join(':')] as const),
    );
    const ofCharacter = fc
      .tuple(fc.nat(parts.join(':').length - 1), fc.constantFrom(0, 1), fc.integer({ min: 0x1f, max: 0x80 }))
      .map(([at, count, code]) => {
        const text = parts.join(':');
        return [
          `character ${code} at ${at}`,
          text.slice(0, at) + String.fromCharCode(code) + text.slice(at + count),
        ] as const;
      });
    return fc
      .oneof({ weight: 5, arbitrary: ofField }, { weight: 2, arbitrary: ofStructure }, ofCharacter)
      .map(([what, encoded]) => [what, withDigest(encoded, digest)] as const);
  });

/** One message whose digest is not what it should be. */
const oddDigest: fc.Arbitrary<readonly [string, string]> = fc
  .tuple(message, fc.nat(9))
  .map(([original, index]) => {
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

const salt = fc.uint8Array({ minLength: 8, maxLength: 8 });

const honest = fc.record({ text: message.map(encodeMessage), secrets, salt });

const sealed = fc
  .record({ odd: fc.oneof({ weight: 8, arbitrary: oddText }, oddDigest), secrets, salt })
  .map(({ odd: [what, text], secrets, salt }) => ({
    what,
    packet: forge(text, secrets, salt),
    opening: secrets,
  }));

/** Padding that is none of PKCS#7. */
const oddPadding = fc.tuple(honest, fc.nat(6), fc.nat(31)).map(([{ text, secrets, salt }, index, count]) => {
  const rest = padding(text).length;
  const pads = [
    Buffer.alloc(rest),
    Buffer.alloc(rest, count),
    Buffer.alloc(rest + 16, rest + 16),
    Buffer.alloc(rest, rest).fill(count, 0, 1),
    Buffer.concat([Buffer.alloc(rest, 'x'), padding('')]),
    Buffer.concat([Buffer.alloc(rest), padding('')]),
    Buffer.alloc(rest === 16 ? 0 : rest, rest),
  ];
  return {
    what: `padding ${index} ${count} ${rest}`,
    packet: forge(text, secrets, salt, pads[index]),
    opening: secrets,
  };
});

/** Blobs with a bit flipped or an end cut off, authenticated again. */
const oddBlob = fc
  .tuple(honest, fc.nat(), fc.nat(7), fc.nat(2))
  .map(([{ text, secrets, salt }, place, bit, how]) => {
    const blob = Buffer.from(innerText(forge(text, secrets, salt), secrets), 'base64');
    const at = place % blob.length;
    if (how < 2) blob[at] = (blob[at] ?? 0) ^ (1 << bit);
    const changed = how < 2 ? blob : blob.subarray(0, at + 1);
    return {
      what: how < 2 ? `bit ${bit} of byte ${at}` : `blob cut at ${at}`,
      packet: authenticate(base64(changed.toString('latin1')), secrets),
      opening: secrets,
    };
  });

/** Base64 texts spelled in another way, authenticated again. */
const oddSpelling = fc.tuple(honest, fc.nat(7), fc.nat()).map(([{ text, secrets, salt }, index, place]) => {
  const inner = innerText(forge(text, secrets, salt), secrets);
  const at = 11 + (place % (inner.length - 11));
  const spelled =
    [
      `${inner}=`,
      `${inner}==`,
      `${inner}=junk`,
      withSpareBit(inner),
      `${inner}A`,
      `${inner}\n`,
      `${inner.slice(0, at)}=${inner.slice(at)}`,
      `${inner.slice(0, at)}-${inner.slice(at + 1)}`,
    ][index] ?? '';
  return { what: `base64 ${index}`, packet: authenticate(spelled, secrets), opening: secrets };
});

/** Packets that somebody without keys has changed. */
const oddPacket = fc
  .tuple(honest, fc.nat(8), fc.nat(), fc.constantFrom(...'AZaz09+/=\n \0-_*'), fc.nat(40))
  .map(([{ text, secrets, salt }, index, place, character, count]) => {
    const packet = forge(text, secrets, salt);
    const at = place % packet.length;
    const changed =
      [
        packet.slice(0, at) + character + packet.slice(at + 1),
        packet.slice(0, at) + character + packet.slice(at),
        packet.slice(0, at) + packet.slice(at + 1),
        packet.slice(0, -count || undefined),
        packet + character.repeat(count),
        innerText(packet, secrets) +
          packet.slice(
            packet.length - (secrets.hmac === null ? 0 : digestText(secrets.hmac.digest, '').length),
          ),
        withSpareBit(packet),
        packet.slice(0, at),
        packet.toLowerCase(),
      ][index] ?? '';
    return {
      what: `packet ${index} ${at} ${JSON.stringify(character)} ${count}`,
      packet: changed,
      opening: secrets,
    };
  });

/** Honest packets that meet other keys. */
const oddKeys = fc.tuple(honest, secrets, fc.nat(4)).map(([{ text, secrets: own, salt }, other, index]) => {
  const openings: readonly Secrets[] = [
    { ...own, key: other.key },
    { ...own, mode: other.mode },
    { ...own, hmac: other.hmac },
    { ...own, hmac: own.hmac === null ? null : { ...own.hmac, digest: other.hmac?.digest ?? 'md5' } },
    { ...own, key: Buffer.from([...own.key, 0x30]).subarray(0, 32) },
  ];
  return { what: `keys ${index}`, packet: forge(text, own, salt), opening: openings[index] ?? own };
});

/** All of them. */
export const mutant: fc.Arbitrary<Mutant> = fc.oneof(
  { weight: 10, arbitrary: sealed },
  oddPadding,
  oddBlob,
  oddSpelling,
  { weight: 2, arbitrary: oddPacket },
  oddKeys,
);

/** What is between the bars. */
function list([text = '']: TemplateStringsArray): readonly string[] {
  return text.split('¦');
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** The same bytes, if the last character has bits to spare. */
function withSpareBit(text: string): string {
  return text.slice(0, -1) + ALPHABET.charAt(ALPHABET.indexOf(text.slice(-1)) ^ 1);
}
