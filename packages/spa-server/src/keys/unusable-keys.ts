import { type Certificate, type KeyUse, validityOf } from 'spa-core';
import type { ConfigPlace } from 'spa-host';
import type { OpenPgpText } from '../config/access-config.ts';
import { timeText } from '../roster/describe.ts';
import type { CertificateMemory } from './certified-signers.ts';
import type { LoadingContext } from './load-keys.ts';

/** The keys of one stanza. */
export interface StanzaKeys {
  readonly openpgp: OpenPgpText;
  readonly certificates: readonly Certificate[];
  readonly bastion: Certificate;
}

/**
 * Tells of keys that cannot be used now, in one line each: packets that were signed with them are refused, or nobody makes any for
 * the bastion. What time or a revocation has taken from somebody keeps no other operator out, so it is no error.
 */
export function warnOfKeys(
  { openpgp, certificates, bastion }: StanzaKeys,
  memory: CertificateMemory,
  { nowSeconds, warn }: LoadingContext,
): void {
  const { decryptId, decryptKeyFile, fingerprints, remoteIds, signerCertFile, certifiedBy } = openpgp;
  const tell = (place: ConfigPlace | undefined, certificate: Certificate, use: KeyUse, end: string): void => {
    const reason = reasonAgainst(certificate, use, memory, nowSeconds);
    if (reason === null || place === undefined) return;
    const name = [certificate.fingerprint, ...certificate.userIds.slice(0, 1).map((id) => `(${id})`)].join(
      ' ',
    );
    warn(`${place.file}:${place.line}: ${place.keyword}: ${name} ${reason}: ${end}`);
  };
  tell((decryptId ?? decryptKeyFile)?.place, bastion, 'encrypt', 'clients refuse to encrypt to it');
  // Who has to be certified was looked at whole.
  if (certifiedBy !== null) return;
  const place = (fingerprints ?? remoteIds ?? signerCertFile)?.place;
  for (const certificate of certificates) tell(place, certificate, 'sign', 'what it signs is refused');
}

function reasonAgainst(
  certificate: Certificate,
  use: KeyUse,
  { rawOf, verified }: CertificateMemory,
  nowSeconds: number,
): string | null {
  const { unsupportedCurve } = certificate;
  if (unsupportedCurve !== null) return `has a key of the curve ${unsupportedCurve}, which is not supported`;
  const validity = validityOf(rawOf(certificate), use, nowSeconds, verified);
  switch (validity.state) {
    case 'valid':
      return null;
    case 'revoked':
      return 'is revoked';
    case 'expired':
      return `has expired ${timeText(validity.expiresAtSeconds)}`;
    case 'not-yet-valid':
      return `begins ${timeText(validity.createdAtSeconds)}`;
    case 'unusable':
      return `cannot be used (${validity.reason})`;
  }
}
