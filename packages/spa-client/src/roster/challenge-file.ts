import { type Challenge, formatChallenge, type RawCertificate, verifyProof } from 'spa-core';
import { ConfigError } from 'spa-host';
import { readFolderFile } from './folder-file.ts';

/** Where the open challenge of that name is, relative to the roster's folder. */
export function challengeFile(name: string): string {
  return `requests/${name}.txt`;
}

/** A new challenge, which is valid for seven days. */
export function newChallenge(
  name: string,
  nonce: Buffer,
  nowSeconds: number,
): Challenge & { readonly text: string } {
  const challenge = {
    name,
    nonce: nonce.toString('base64url'),
    expiresAtSeconds: nowSeconds + VALID_SECONDS,
  };
  return { ...challenge, text: formatChallenge(challenge) };
}

/**
 * The one of `candidates` whose owner signed the open challenge of that name, and the challenge's file, which is used up with it.
 * @throws ConfigError if there is no challenge, or none of them has signed it in time
 */
export async function provenCertificate(
  folder: string,
  name: string,
  answer: Buffer,
  candidates: readonly RawCertificate[],
  nowSeconds: number,
): Promise<{ readonly certificate: RawCertificate; readonly request: string }> {
  const request = challengeFile(name);
  const challenge = readChallenge(folder, name);
  let reason = 'nobody has signed it';
  for (const certificate of candidates) {
    const verdict = await verifyProof(challenge, answer, certificate, nowSeconds);
    if (verdict.isProven) return { certificate, request };
    reason = verdict.reason;
  }
  throw new ConfigError({ file: request }, `the answer proves nothing: ${reason}`);
}

const VALID_SECONDS = 7 * 86_400;
const MAX_BYTES = 4096;

function readChallenge(folder: string, name: string): string {
  const file = challengeFile(name);
  const octets = readFolderFile(folder, file, MAX_BYTES);
  if (octets !== null) return octets.toString('utf8');
  throw new ConfigError(
    { file },
    `there is no open challenge; run spa-keys challenge ${name}, and let the owner of the key sign that`,
  );
}
