import { randomBytes } from 'node:crypto';
import { PACKET_MAX_LENGTH, PEER_OPENPGP_MIN_LENGTH, sealPacket } from 'spa-core';
import { compose } from '../compose.ts';
import type { PacketKeys } from '../packet-keys.ts';
import { type Check, type Examination, makeCheck, type Outcome } from './check.ts';
import { complaint, ok } from './finding.ts';

/** Whether a packet can be made, and is short enough for any fwknopd. */
export const sizeCheck: Check = makeCheck({ name: 'size', needs: ['keys'], run: checkSize });

async function checkSize(
  { bastion: { settings }, username, nowMs }: Examination,
  { keys }: { readonly keys: PacketKeys },
): Promise<Outcome> {
  const nowSeconds = Math.floor(nowMs() / 1000);
  // An address to be found out is as long as the longest.
  const allowIp = settings.allowIp === 'resolve' ? null : settings.allowIp;
  try {
    const { message } = compose({ ...settings, allowIp }, { nowSeconds, random: randomBytes, username });
    const packet = await sealPacket(message, keys, { nowSeconds, random: randomBytes });
    const limit = keys.encryption.kind === 'aes' ? PEER_OPENPGP_MIN_LENGTH - 1 : PACKET_MAX_LENGTH;
    const says = `a packet has ${packet.length} characters, ${limit} are allowed`;
    return { findings: [ok('size', says)], facts: { packetLength: packet.length } };
  } catch (error) {
    const finding = complaint('size', error, 'look at the lines above');
    if (finding === null) throw error;
    return { findings: [finding] };
  }
}
