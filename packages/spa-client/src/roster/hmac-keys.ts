import { hkdfSync } from 'node:crypto';
import type { Bastion, Fingerprint } from 'spa-core';

/**
 * The HMAC key of an operator's key at a bastion, base64.
 *
 * `spa-server` looks at all its stanzas with one HMAC: there all operators share the master secret. Stock fwknopd tries one stanza
 * after the other and runs gpg for each whose HMAC fits: there each has a key of his own, HKDF-SHA256 (RFC 5869) of the master
 * secret, so that a packet costs one run of gpg, and who was revoked cannot make it run at all.
 */
export function hmacKeyOf(bastion: Bastion, master: Uint8Array, operator: Fingerprint): string {
  if (bastion.capabilities.includes('spa-server')) return Buffer.from(master).toString('base64');
  const derived = hkdfSync('sha256', master, Buffer.alloc(0), `spa-keys hmac${operator}`, HMAC_KEY_BYTES);
  return Buffer.from(derived).toString('base64');
}

/** Of a master secret, and of what is derived from it. */
export const HMAC_KEY_BYTES = 32;
