import { randomBytes } from 'node:crypto';
import {
  HmacKey,
  type Message,
  parseIpAddress,
  randomDigits,
  type Sealing,
  SymmetricKey,
  sealPacket,
} from 'spa-core';

/** Shared secrets, as keys and as the lines of a stanza. */
export interface Secrets {
  readonly encryption: Sealing;
  readonly hmac: HmacKey;
  readonly access: { readonly key: string; readonly hmac: string };
}

/** Fresh secrets. */
export function createSecrets(): Secrets {
  const key = randomBytes(32);
  const hmac = randomBytes(64);
  return {
    encryption: { kind: 'aes', key: new SymmetricKey(key) },
    hmac: new HmacKey(hmac, 'sha256'),
    access: {
      key: `KEY_BASE64 ${key.toString('base64')}`,
      hmac: `HMAC_KEY_BASE64 ${hmac.toString('base64')}`,
    },
  };
}

/** What a test's packet says; what is left out is as an operator would have it. */
export interface Wanted {
  readonly address?: string;
  readonly port?: number;
  /** How far the message's time is from now, in seconds. */
  readonly offsetSeconds?: number;
  readonly username?: string;
  readonly clientTimeoutSeconds?: number;
}

/** A packet that was never sent before. `hmac` null: without one. */
export function seal(
  keys: { readonly encryption: Sealing; readonly hmac: HmacKey | null },
  wanted: Wanted = {},
): Promise<string> {
  const nowSeconds = Math.floor(Date.now() / 1000);
  const clientTimeoutSeconds = wanted.clientTimeoutSeconds ?? null;
  const message: Message = {
    randomValue: randomDigits(randomBytes),
    username: wanted.username ?? 'operator',
    timestampSeconds: nowSeconds + (wanted.offsetSeconds ?? 0),
    version: '3.0.0',
    request: {
      kind: 'access',
      source: wanted.address === undefined ? null : parseIpAddress(wanted.address),
      ports: [{ protocol: 'tcp', port: wanted.port ?? 22 }],
    },
    clientTimeoutSeconds,
    digest: 'sha256',
  };
  return sealPacket(message, keys, { nowSeconds, random: randomBytes });
}
