/** Bytes of a key or passphrase. They cannot be printed: only {@link Secret.bytes} gives them away. */
export class Secret {
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
  }

  /** The secret itself. */
  bytes(): Buffer {
    return this.#bytes;
  }

  toJSON(): string {
    return '[secret]';
  }
}

/**
 * The secret that base64 spells, with or without padding, as `--key-gen` and `base64` write it.
 * Null if `text` is no canonical base64 or is empty.
 */
export function secretFromBase64(text: string): Secret | null {
  const bytes = Buffer.from(text, 'base64');
  const canonical = bytes.toString('base64');
  const isCanonical = text === canonical || text === canonical.replace(/=+$/, '');
  return isCanonical && bytes.length > 0 ? new Secret(bytes) : null;
}
