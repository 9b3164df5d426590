import { readFileSync } from 'node:fs';

/** A packet that the stock client made, with what is inside. */
export interface SymmetricVector {
  readonly name: string;
  readonly mode: string;
  readonly key_base64: string;
  readonly hmac_key_base64: string | null;
  readonly hmac_type: string | null;
  readonly packet: string;
  readonly expected: {
    readonly plaintext: string;
    readonly username: string;
    readonly timestamp: number;
    readonly messageType: number;
    readonly message: string;
    readonly clientTimeout: number;
  };
}

/** An OpenPGP packet of the stock client; `packet` is absent where the client refused to make one. */
export interface OpenPgpVector {
  readonly name: string;
  readonly signer: string | null;
  readonly recipient: string;
  readonly hmac_key_base64: string | null;
  readonly hmac_type: string | null;
  readonly packet?: string;
  readonly expected: { readonly plaintext: string };
  readonly fwknopd_2_6_10?: 'accept' | 'reject';
}

export interface OpenPgpVectors {
  readonly server_secret_keys: Readonly<Record<string, string>>;
  readonly client_secret_keys: Readonly<Record<string, string>>;
  readonly vectors: readonly OpenPgpVector[];
}

/** A file of test/vectors. */
export function readVectors<T>(name: string): T {
  return JSON.parse(
    readFileSync(new URL(`../../../../test/vectors/${name}.json`, import.meta.url), 'utf8'),
  ) as T;
}
