/** SHA-256 digests, which come and go as one piece of octets. */
export interface DigestSet {
  readonly size: number;
  /** By its number in base64url. */
  readonly has: (digest: string) => boolean;
  readonly add: (digest: string) => void;
  /** One behind the other, in the order in which they were added. */
  readonly octets: () => Buffer;
}

/** Octets of one digest. */
export const DIGEST_BYTES = 32;

/** A set of the digests that `octets` are: a hundred thousand of them are read in a moment, and none becomes a text. */
export function digestSet(octets: Buffer = Buffer.alloc(0)): DigestSet {
  let size = Math.floor(octets.length / DIGEST_BYTES);
  let all = octets;
  let places = placesFor(all, size);
  const wanted = Buffer.alloc(DIGEST_BYTES);
  /** Where the wanted digest is among the places, or would be. */
  const placeOf = (digest: string): number => {
    if (wanted.write(digest, 'base64url') !== DIGEST_BYTES) throw new RangeError(`${digest} is no digest`);
    const mask = places.length - 1;
    let place = firstPlace(wanted, 0, mask);
    for (let number = places[place] ?? 0; number !== 0; number = places[place] ?? 0) {
      const at = (number - 1) * DIGEST_BYTES;
      if (all.compare(wanted, 0, DIGEST_BYTES, at, at + DIGEST_BYTES) === 0) break;
      place = (place + 1) & mask;
    }
    return place;
  };
  return {
    get size() {
      return size;
    },
    has: (digest) => places[placeOf(digest)] !== 0,
    add: (digest) => {
      const place = placeOf(digest);
      if (places[place] !== 0) return;
      if (all.length < (size + 1) * DIGEST_BYTES) all = Buffer.concat([all], 2 * all.length + FIRST_BYTES);
      wanted.copy(all, size * DIGEST_BYTES);
      size += 1;
      places[place] = size;
      if (2 * size > places.length) places = placesFor(all, size);
    },
    octets: () => all.subarray(0, size * DIGEST_BYTES),
  };
}

const FIRST_BYTES = 64 * DIGEST_BYTES;
const FEWEST_PLACES = 64;

/** At each place the number of a digest, from 1, or 0; at most half of them are taken until there are twice as many digests. */
function placesFor(all: Buffer, size: number): Uint32Array {
  let length = FEWEST_PLACES;
  while (length < 4 * size) length *= 2;
  const places = new Uint32Array(length);
  for (let number = 1; number <= size; number += 1) {
    let place = firstPlace(all, (number - 1) * DIGEST_BYTES, length - 1);
    while (places[place] !== 0) place = (place + 1) & (length - 1);
    places[place] = number;
  }
  return places;
}

/** Digests are as good as random: any four octets will do. */
function firstPlace(octets: Buffer, at: number, mask: number): number {
  return octets.readUInt32LE(at) & mask;
}
