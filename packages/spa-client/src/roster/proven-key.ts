import { readFileSync } from 'node:fs';
import {
  type Fingerprint,
  faultOf,
  KeyError,
  type KeyUse,
  parseFingerprint,
  type RawCertificate,
  readRawCertificates,
} from 'spa-core';
import { ConfigError, UsageError } from 'spa-host';

/**
 * A full fingerprint that somebody gave.
 * @param option names it in the error
 * @throws UsageError for an e-mail address, a key ID, or anything else: with them one can be had by another's key
 */
export function fullFingerprint(option: string, text: string): Fingerprint {
  const fingerprint = parseFingerprint(text);
  if (fingerprint !== null && fingerprint.length === FINGERPRINT_DIGITS) return fingerprint;
  throw new UsageError(
    `${option} "${text}" ${whyNot(text)}; write the 40 hexadecimal digits that gpg --fingerprint shows its owner`,
  );
}

/** The certificate with that fingerprint, of a file. @throws ConfigError if it is not in there */
export function certificateIn(file: string, fingerprint: Fingerprint): RawCertificate {
  const all = certificatesIn(file);
  const own = all.find((one) => one.fingerprint === fingerprint);
  if (own !== undefined) return own;
  const others = all.map((one) => one.fingerprint).join(', ');
  throw new ConfigError({ file }, `holds ${others}, and not ${fingerprint}: ask its owner which is right`);
}

/** The certificates of a file. @throws ConfigError if there is none */
export function certificatesIn(file: string): readonly RawCertificate[] {
  try {
    return readRawCertificates(readFileSync(file));
  } catch (error) {
    if (error instanceof KeyError) throw new ConfigError({ file }, error.message);
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new ConfigError({ file }, code === 'ENOENT' ? 'there is no such file' : `cannot be read: ${code}`);
  }
}

/** @throws ConfigError if the key cannot be entered: it is weak, expired, revoked, or lacks something */
export function mustBeFit(
  where: string,
  raw: RawCertificate,
  uses: readonly KeyUse[],
  nowSeconds: number,
): void {
  const fault = faultOf(raw, nowSeconds, { uses });
  if (fault === null) return;
  throw new ConfigError(
    { file: where },
    `the key ${raw.fingerprint} is refused (${fault.state}): ${fault.reason}`,
  );
}

const FINGERPRINT_DIGITS = 40;

function whyNot(text: string): string {
  const hex = text.replaceAll(/\s+/g, '').replace(/^0x/i, '');
  if (text.includes('@')) return 'is an e-mail address, and anybody can make a key with it';
  if (/^[0-9a-f]{64}$/i.test(hex)) return 'is of a key of version 6, which gpg and fwknop cannot use';
  if (/^[0-9a-f]{8,39}$/i.test(hex))
    return 'is a part of a fingerprint, and others can make a key with the same';
  return 'is no fingerprint';
}
