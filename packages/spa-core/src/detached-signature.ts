import { armor, type RawCertificate, type RawSignature, unarmorBlocks } from './certificate-packets.ts';
import { type CertifyingKey, makeSignature } from './certify.ts';
import type { Fingerprint } from './openpgp-keys.ts';
import { splitPackets, TAG } from './openpgp-packets.ts';
import { TYPE } from './self-signatures.ts';
import { readSignatureFields } from './signature-packets.ts';
import { isWeakDigest, signedDocument, trueClaims } from './signature-verification.ts';
import { signingKeysOf } from './validity.ts';

/** Who signed, and when. */
export interface DocumentSignature {
  /** Of the certificate, whichever of its (sub)keys it was. */
  readonly signer: Fingerprint;
  readonly signedAtSeconds: number;
}

/** An armored signature over `octets`, as `gpg --armor --detach-sign` makes it: `gpg --verify` takes it. */
export async function signDetached(
  key: CertifyingKey,
  octets: Uint8Array,
  madeAtSeconds: number,
): Promise<string> {
  const signed = signedDocument(Buffer.from(octets));
  return armor('SIGNATURE', await makeSignature(key, TYPE.binary, signed, madeAtSeconds, []));
}

/**
 * Who of `certificates` signed `octets`: the first signature that counts, of `signature`, armored or binary; null if none does.
 *
 * One counts whose maker might sign when he did, is not revoked at `nowSeconds`, and did not sign in the future; not one that has
 * expired, or whose digest is weak. That its maker's key has expired since takes nothing back.
 * @throws KeyError if the armor is broken.
 */
export async function verifyDetached(
  octets: Uint8Array,
  signature: Uint8Array | string,
  certificates: readonly RawCertificate[],
  nowSeconds: number,
): Promise<DocumentSignature | null> {
  const data = typeof signature === 'string' ? Buffer.from(signature, 'latin1') : signature;
  for (const block of unarmorBlocks(data, ['SIGNATURE'])) {
    const made = await verifyDocument(Buffer.from(octets), readSignatures(block), certificates, nowSeconds);
    if (made !== null) return made;
  }
  return null;
}

/** The signature packets of `octets`, which hold nothing else; none if they do. */
export function readSignatures(octets: Buffer): readonly RawSignature[] {
  const packets = splitPackets(octets) ?? [];
  if (packets.some(({ tag }) => tag !== TAG.signature)) return [];
  return packets.map(({ body }) => ({ octets: body, fields: readSignatureFields(body, 0) }));
}

/** As {@link verifyDetached}, of packets. */
export async function verifyDocument(
  octets: Buffer,
  signatures: readonly RawSignature[],
  certificates: readonly RawCertificate[],
  nowSeconds: number,
): Promise<DocumentSignature | null> {
  const binary = signedDocument(octets);
  for (const signature of signatures.slice(0, SIGNATURES_MAX)) {
    const { fields } = signature;
    const at = fields?.createdAtSeconds ?? Number.POSITIVE_INFINITY;
    if (fields === null || at > nowSeconds || isWeakDigest(fields.hash)) continue;
    if (nowSeconds >= (fields.expiresAtSeconds ?? Number.POSITIVE_INFINITY)) continue;
    if (fields.type !== TYPE.binary && fields.type !== TYPE.text) continue;
    const signed = fields.type === TYPE.binary ? binary : signedDocument(canonicalText(octets));
    for (const certificate of certificates) {
      for (const { key, expiresAtSeconds } of signingKeysOf(certificate, nowSeconds)) {
        const isInTime = key.createdAtSeconds <= at && at < (expiresAtSeconds ?? Number.POSITIVE_INFINITY);
        if (key.keyId !== fields.issuerKeyId || !isInTime) continue;
        const [made] = await trueClaims([{ maker: key, signature, signed }], null);
        if (made !== undefined) {
          return { signer: certificate.fingerprint, signedAtSeconds: at };
        }
      }
    }
  }
  return null;
}

/** More than that in one place were made to keep us busy. */
const SIGNATURES_MAX = 16;

/** With the line ends that a signature of text is over (RFC 9580 section 5.2.1.2). */
function canonicalText(octets: Buffer): Buffer {
  return Buffer.from(octets.toString('latin1').replaceAll(/\r?\n/g, '\r\n'), 'latin1');
}
