import * as fc from 'fast-check';
import { encodeMessage } from 'spa-core';
import { authenticate, base64, digestText, forge, innerText, padding } from './forge.ts';
import type { Secrets } from './libfko.ts';
import { message, secrets } from './messages.ts';
import { oddText, withSpareBit } from './odd-texts.ts';

/** A packet that was tampered with, before or after it was sealed. `opening`: what the receiver tries to open it with. */
export interface Mutant {
  readonly what: string;
  readonly packet: string;
  readonly opening: Secrets;
}

const salt = fc.uint8Array({ minLength: 8, maxLength: 8 });

const honest = fc.record({ text: message.map(encodeMessage), secrets, salt });

const sealed = fc.record({ odd: oddText, secrets, salt }).map(({ odd: [what, text], secrets, salt }) => ({
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
