import { randomBytes } from 'node:crypto';

/** Packets that nothing opens, as texts of the right length and alphabet. */
export interface Junk {
  readonly name: string;
  /** Each packet sent differs from all others in what comes after the first `keptLength` characters. */
  readonly texts: readonly string[];
  readonly keptLength: number;
}

/** As many different texts are sent in turn, each with a number of its own in it. */
const TEXTS = 512;
/** What of a packet of AES tells that it is one. */
const AES_HEAD = 1;
/** What of an OpenPGP packet names the bastion's key, its algorithm and the length of the number that it encrypted. */
const OPENPGP_HEAD = 22;

export const RANDOM_TEXT = 'random text';

/** Junk of somebody who knows no more of packets than how long they are. */
export function randomText(packet: string): Junk {
  return { name: RANDOM_TEXT, keptLength: 0, texts: textsLike(packet, 0) };
}

/** Junk that looks like a packet of AES, as far as can be seen without a key. */
export function aesLike(packet: string): Junk {
  return { name: 'AES-like', keptLength: AES_HEAD, texts: textsLike(packet, AES_HEAD) };
}

/** Junk that looks like an OpenPGP packet and is addressed to the same key as this one. */
export function gpgLike(packet: string): Junk {
  return { name: 'GPG-like', keptLength: OPENPGP_HEAD, texts: textsLike(packet, OPENPGP_HEAD) };
}

function textsLike(packet: string, keptLength: number): readonly string[] {
  return Array.from({ length: TEXTS }, () => {
    const random = randomBytes(packet.length)
      .toString('base64')
      .slice(0, packet.length - keptLength);
    return packet.slice(0, keptLength) + random;
  });
}
