import { randomBytes } from 'node:crypto';
import { dateOf } from './openpgp.ts';
import { type KeptKey, KeyError } from './openpgp-keys.ts';
import { firstPacket } from './openpgp-packets.ts';

/**
 * True if the keeper of a key decrypts what is encrypted to it now.
 * @throws KeyError if nobody can encrypt to it: expired, revoked, of the wrong kind.
 */
export async function provesItsKeeper(key: KeptKey, nowSeconds: number): Promise<boolean> {
  const data = randomBytes(32);
  const packet = firstPacket(await encryptTo(key, data, nowSeconds))?.packet;
  const sessionKey = packet === undefined ? null : await key.sessionKey(packet.body);
  return sessionKey !== null && data.equals(sessionKey.data);
}

async function encryptTo(key: KeptKey, data: Buffer, nowSeconds: number): Promise<Buffer> {
  const openpgp = await import('openpgp');
  const encryptionKeys = key.certificate().openpgpKey();
  try {
    const packets = await openpgp.encryptSessionKey({
      ...{ data, algorithm: 'aes256', encryptionKeys },
      date: dateOf(nowSeconds),
      format: 'binary',
    });
    return Buffer.from(packets as Uint8Array);
  } catch (error) {
    throw new KeyError((error as Error).message.replaceAll(/\s+/g, ' '));
  }
}
