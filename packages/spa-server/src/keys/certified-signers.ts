import {
  type Certificate,
  type Certification,
  type CertificationState,
  certificationsOf,
  type RawCertificate,
  readRawCertificates,
  type VerifiedSignatures,
  validityOf,
} from 'spa-core';
import { ConfigError, type ConfigPlace } from 'spa-host';
import { type SignerTerms, UNBOUND } from '../decision/signers.ts';
import { timeText } from '../roster/describe.ts';
import type { LoadingContext } from './load-keys.ts';

/** How far ahead of ours the clock may be of whoever certifies, in seconds: what was made just now counts at once. */
const CLOCK_DIFFERENCE_SECONDS = 300;

/** What was found out of certificates: many stanzas have the same ones, and the same certifier. */
export interface CertificateMemory {
  rawOf(certificate: Certificate): RawCertificate;
  readonly verified: VerifiedSignatures;
}

/** A memory for one load. */
export function createCertificateMemory(): CertificateMemory {
  const raws = new WeakMap<Certificate, RawCertificate>();
  const rawOf = (certificate: Certificate): RawCertificate => {
    const known = raws.get(certificate);
    if (known !== undefined) return known;
    const [raw] = readRawCertificates(certificate.openpgpKey().write());
    if (raw === undefined) throw new TypeError('a certificate has its packets');
    raws.set(certificate, raw);
    return raw;
  };
  return { rawOf, verified: new Set<string>() };
}

/** Who may sign, who has to have certified them, and where that is said. */
export interface CertifiedSigners {
  readonly place: ConfigPlace;
  readonly certificates: readonly Certificate[];
  /** One of them has to. */
  readonly certifiers: readonly Certificate[];
}

/**
 * The terms of each signer by his fingerprint: certified until the last certification ends, his key's end and the certifier's
 * included. Whoever has none that counts gets a line to `warn`.
 *
 * What time or a revocation has taken from somebody is not the configuration's fault, and keeps no other operator out.
 * @throws ConfigError if nobody was ever certified: then it is.
 */
export async function certifiedTerms(
  { place, certificates, certifiers }: CertifiedSigners,
  memory: CertificateMemory,
  { nowSeconds, warn }: LoadingContext,
): Promise<ReadonlyMap<string, SignerTerms>> {
  const makers = new Map(
    certifiers.map((certifier) => {
      const raw = memory.rawOf(certifier);
      return [raw, endOfKey(raw, memory, nowSeconds) ?? Number.NEGATIVE_INFINITY];
    }),
  );
  const standings = await Promise.all(
    certificates.map((certificate) => standingOf(certificate, makers, memory, nowSeconds)),
  );
  const line = (standing: Standing): string =>
    `${nameOf(standing.certificate)} is not let in: ${reasonOf(standing, certifiers, nowSeconds)}`;
  const [first] = standings;
  if (first !== undefined && standings.every(({ isMistake }) => isMistake)) {
    const others =
      standings.length === 1 ? '' : `, and so are all ${standings.length} signers of this stanza`;
    throw new ConfigError(
      place,
      `${line(first)}${others}; certify the key (gpg --quick-sign-key, spa-keys sign), or remove the line`,
    );
  }
  for (const standing of standings) {
    if (standing.isCertified && standing.untilSeconds > nowSeconds) continue;
    warn(`${place.file}:${place.line}: ${place.keyword}: ${line(standing)}`);
  }
  return new Map(
    standings.map(({ certificate, isCertified, untilSeconds }) => [
      certificate.fingerprint,
      { ...UNBOUND, isCertified, certifiedUntilSeconds: untilSeconds },
    ]),
  );
}

/** How it stands with one signer. */
interface Standing {
  readonly certificate: Certificate;
  readonly isCertified: boolean;
  /** It was never otherwise: whoever wrote the stanza, or the certificate into the file, has overlooked it. */
  readonly isMistake: boolean;
  readonly isRevoked: boolean;
  readonly untilSeconds: number;
  /** What is there and does not count. */
  readonly found: CertificationState | null;
}

async function standingOf(
  certificate: Certificate,
  makers: ReadonlyMap<RawCertificate, number>,
  memory: CertificateMemory,
  nowSeconds: number,
): Promise<Standing> {
  const { verified } = memory;
  const raw = memory.rawOf(certificate);
  const keyEnd = endOfKey(raw, memory, nowSeconds);
  const candidates = [...makers.keys()];
  const [now, soon] = await Promise.all([
    certificationsOf(raw, candidates, nowSeconds, verified),
    certificationsOf(raw, candidates, nowSeconds + CLOCK_DIFFERENCE_SECONDS, verified),
  ]);
  const takenBack = new Set(soon.filter(({ state }) => state === 'revoked').map(identityOf));
  const valid = [...now, ...soon].filter((one) => one.state === 'valid' && !takenBack.has(identityOf(one)));
  // What has expired counts no more, and that is the reason to give.
  const counting = valid.length > 0 ? valid : now.filter(({ state }) => state === 'expired');
  const certifiedUntil = Math.max(
    Number.NEGATIVE_INFINITY,
    ...counting.map((one) => Math.min(endOf(one), makers.get(one.certifier) ?? Number.NEGATIVE_INFINITY)),
  );
  const isRevoked = keyEnd === null;
  return {
    certificate,
    isCertified: !isRevoked && counting.length > 0,
    isMistake: !isRevoked && [...now, ...soon].every(({ state }) => NEVER.has(state)),
    isRevoked,
    untilSeconds: Math.min(keyEnd ?? Number.NEGATIVE_INFINITY, certifiedUntil),
    found: now[0]?.state ?? null,
  };
}

/** The same for one certification, whenever it is looked at. */
function identityOf({ certifier, userId, madeAtSeconds }: Certification): string {
  return `${certifier.fingerprint} ${madeAtSeconds} ${userId}`;
}

/** They did not count when they were made either. */
const NEVER: ReadonlySet<CertificationState> = new Set(['weak', 'unchecked']);

/** The end of a key in seconds, Infinity if it has none; null if its owner revoked it. */
function endOfKey(raw: RawCertificate, { verified }: CertificateMemory, nowSeconds: number): number | null {
  const validity = validityOf(raw, 'certify', nowSeconds, verified);
  const soon = validityOf(raw, 'certify', nowSeconds + CLOCK_DIFFERENCE_SECONDS, verified);
  if (validity.state === 'revoked' || soon.state === 'revoked') return null;
  // Whether the part of the key that signs a packet may do so, is looked at with each packet.
  if (validity.state !== 'valid' && validity.state !== 'expired') return Number.POSITIVE_INFINITY;
  return validity.expiresAtSeconds ?? Number.POSITIVE_INFINITY;
}

function reasonOf(
  { isCertified, isRevoked, found, untilSeconds }: Standing,
  certifiers: readonly Certificate[],
  nowSeconds: number,
): string {
  if (isRevoked) return 'this key is revoked';
  const by = certifiers.map(({ fingerprint }) => fingerprint).join(' or ');
  if (isCertified && untilSeconds <= nowSeconds) {
    return `its certification by ${by}, or one of the keys, ended ${Number.isFinite(untilSeconds) ? timeText(untilSeconds) : 'long ago'}`;
  }
  return found === null ? `${by} has not certified this key` : `the certification by ${by} ${FAULTS[found]}`;
}

const FAULTS: Readonly<Record<CertificationState, string>> = {
  valid: 'counts',
  expired: 'has expired',
  revoked: 'was taken back',
  weak: 'has a digest that can be forged (SHA-1, MD5)',
  unchecked: 'says that nobody has looked (type 0x11)',
  certifier: 'does not count, for the certifying key has expired or is revoked',
  'user-id': 'is of a user ID that its owner has revoked, or never signed',
};

function endOf({ expiresAtSeconds }: Certification): number {
  return expiresAtSeconds ?? Number.POSITIVE_INFINITY;
}

function nameOf({ fingerprint, userIds }: Certificate): string {
  return userIds[0] === undefined ? fingerprint : `${fingerprint} (${userIds[0]})`;
}
