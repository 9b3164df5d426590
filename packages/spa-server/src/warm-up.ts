import { randomBytes } from 'node:crypto';
import {
  KeyError,
  type OpeningKeys,
  randomDigits,
  type Sealing,
  SecretKey,
  SpaError,
  sealPacket,
} from 'spa-core';
import { decide } from './decision/decide.ts';
import type { Stanza } from './decision/stanza.ts';
import type { Datagram } from './decision/verdict.ts';

/** After so many packets V8 has compiled what is worth it: more do not make the next one faster. */
const PACKETS = 20;

/**
 * Decides on packets that the daemon makes for itself, so that the first operator does not wait until code is loaded
 * and compiled: an OpenPGP packet takes 20 ms at first and 4 ms from then on.
 *
 * One stanza of each kind of packet is enough. Nothing is claimed or granted, and nothing depends on it: a key that
 * cannot sign is left out.
 */
export async function warmUp(stanzas: readonly Stanza[], nowSeconds: number): Promise<void> {
  for (const kind of ['aes', 'openpgp'] as const) {
    const stanza = stanzas.find(({ keys }) => keys.some((one) => one.kind === kind));
    const keys = stanza?.keys.find((one) => one.kind === kind);
    if (stanza !== undefined && keys !== undefined) await warmUpStanza(stanza, keys, nowSeconds);
  }
}

async function warmUpStanza(stanza: Stanza, keys: OpeningKeys, nowSeconds: number): Promise<void> {
  const own = withOwnKeys(keys);
  if (own === null) return;
  const packet = await sealOwn(own.encryption, keys, nowSeconds);
  if (packet === null) return;
  const source = '127.0.0.1' as Datagram['source'];
  const openToAll: Stanza = { ...stanza, sources: 'any', keys: [own.keys] };
  const clock = { nowSeconds, maxAgeSeconds: 1 };
  for (let i = 0; i < PACKETS; i++)
    await decide({ packet, source, destination: null, forwardedFor: null }, [openToAll], clock);
}

/** The daemon has nobody's secret key but its own: it signs as itself, and for once takes that. */
function withOwnKeys(keys: OpeningKeys): { readonly encryption: Sealing; readonly keys: OpeningKeys } | null {
  if (keys.kind === 'aes') return { encryption: { kind: 'aes', key: keys.key }, keys };
  const [signer] = keys.secretKeys;
  if (!(signer instanceof SecretKey)) return null;
  const recipient = signer.certificate();
  return {
    encryption: { kind: 'openpgp', signer, recipient },
    keys: { ...keys, certificates: [recipient] },
  };
}

/** A packet that asks for nothing in particular; null if the keys cannot make one. */
async function sealOwn(
  encryption: Sealing,
  { hmac }: OpeningKeys,
  nowSeconds: number,
): Promise<Uint8Array | null> {
  try {
    const packet = await sealPacket(
      {
        randomValue: randomDigits(randomBytes),
        username: 'warm-up',
        timestampSeconds: nowSeconds,
        version: '3.0.0',
        request: { kind: 'access', source: null, ports: [{ protocol: 'tcp', port: 22 }] },
        clientTimeoutSeconds: null,
        digest: 'sha256',
      },
      { encryption, hmac },
      { nowSeconds, random: randomBytes },
    );
    return Buffer.from(packet);
  } catch (error) {
    if (error instanceof KeyError || error instanceof SpaError) return null;
    throw error;
  }
}
