import { unarmorBlocks } from './certificate-packets.ts';
import { parseHeader, TAG } from './openpgp-packets.ts';
import { TYPE } from './self-signatures.ts';
import { readSignatureFields } from './signature-packets.ts';

/**
 * The signature packet of a revocation certificate, as `gpg --gen-revoke` and gpg's folder openpgp-revocs.d have it, armored or binary;
 * null if it is none. Whose key it revokes, and whether he made it, is not looked at.
 * @throws KeyError if the armor is broken
 */
export function readRevocation(data: Uint8Array): Buffer | null {
  const [octets, ...more] = unarmorBlocks(data, ['PUBLIC KEY BLOCK', 'SIGNATURE']);
  if (octets === undefined || more.length > 0) return null;
  const header = parseHeader(octets);
  if (header?.tag !== TAG.signature || header.headerLength + header.bodyLength !== octets.length) return null;
  const fields = readSignatureFields(octets, header.headerLength);
  return fields?.type === TYPE.keyRevocation ? octets : null;
}
