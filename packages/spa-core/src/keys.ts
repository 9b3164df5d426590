import type { CipherMode } from './cipher-mode.ts';
import type { DigestName } from './digest.ts';
import { HMAC_KEY_MAX_BYTES, SYMMETRIC_KEY_MAX_BYTES } from './limits.ts';

/** A shared secret of fwknop's AES, 1..32 bytes, and how it is used. It cannot be printed. */
export class SymmetricKey {
  readonly mode: CipherMode;
  readonly #bytes: Buffer;

  /** @throws RangeError unless there are 1..32 bytes. */
  constructor(bytes: Uint8Array, mode: CipherMode = 'cbc') {
    this.#bytes = snapshot(bytes, SYMMETRIC_KEY_MAX_BYTES, 'a symmetric key');
    this.mode = mode;
  }

  /** The secret itself. */
  bytes(): Buffer {
    return this.#bytes;
  }

  toJSON(): string {
    return '[symmetric key]';
  }
}

/** A shared secret that authenticates packets, 1..128 bytes. It cannot be printed. */
export class HmacKey {
  readonly digest: DigestName;
  readonly #bytes: Buffer;

  /** @throws RangeError unless there are 1..128 bytes. */
  constructor(bytes: Uint8Array, digest: DigestName) {
    this.#bytes = snapshot(bytes, HMAC_KEY_MAX_BYTES, 'an HMAC key');
    this.digest = digest;
  }

  /** The secret itself. */
  bytes(): Buffer {
    return this.#bytes;
  }

  toJSON(): string {
    return '[HMAC key]';
  }
}

function snapshot(bytes: Uint8Array, max: number, what: string): Buffer {
  if (bytes.length < 1 || bytes.length > max) throw new RangeError(`${what} has 1..${max} bytes`);
  return Buffer.from(bytes);
}
