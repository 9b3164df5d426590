import { randomBytes } from 'node:crypto';
import { type Bastion, decodeBase64 } from 'spa-core';
import { ConfigError } from 'spa-host';
import { HMAC_KEY_BYTES } from './hmac-keys.ts';
import { changeSecrets, readReferredSecret } from './secrets-folder.ts';

/**
 * The HMAC master secrets of `bastions`, from the folder of the secrets or the environment. One that has no file yet is made,
 * 32 random octets.
 * @throws ConfigError if one is not there and cannot be made, or is no base64 of 16 to 64 octets
 */
export async function hmacMasters(
  secretsFolder: string,
  bastions: readonly Bastion[],
): Promise<(bastion: Bastion) => Uint8Array> {
  const found = new Map(
    bastions.map((bastion) => [bastion.name, readReferredSecret(secretsFolder, bastion.hmac)]),
  );
  const made = new Map<string, string>();
  for (const { name, hmac } of bastions) {
    if (found.get(name) !== null) continue;
    if (hmac.kind === 'env') {
      throw new ConfigError(
        { file: 'roster.yaml' },
        `bastions.${name}.hmac: ${hmac.variable} is not in the environment`,
      );
    }
    // Two bastions may refer to one file.
    const secret = made.get(hmac.file) ?? newHmacMaster();
    made.set(hmac.file, secret);
    found.set(name, secret.trim());
  }
  await changeSecrets(secretsFolder, made);
  return (bastion) => masterOf(bastion, found.get(bastion.name) ?? '');
}

/** The content of a file with a new HMAC master secret. */
export function newHmacMaster(): string {
  return `${randomBytes(HMAC_KEY_BYTES).toString('base64')}\n`;
}

function masterOf({ name, hmac }: Bastion, text: string): Buffer {
  // Ours are padded, and fwknop writes them so.
  const octets = decodeBase64(text.replace(/={1,2}$/, '')) ?? Buffer.alloc(0);
  if (octets.length >= MIN_BYTES && octets.length <= MAX_BYTES) return octets;
  const place = hmac.kind === 'env' ? hmac.variable : hmac.file;
  throw new ConfigError(
    { file: place },
    `the HMAC master secret of ${name} is no base64 of 16 to 64 octets; openssl rand -base64 32 makes one`,
  );
}

const MIN_BYTES = 16;
const MAX_BYTES = 64;
