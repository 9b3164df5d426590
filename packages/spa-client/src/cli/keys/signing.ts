import type { Party } from 'spa-core';
import { type CertifyingKeys, openCertifyingKeys } from '../../roster/certifying-keys.ts';
import type { LackingKey, SigningOptions, SigningResult } from '../../roster/sign-roster.ts';
import { openVerifiedMemory } from '../../roster/verified-memory.ts';
import { say } from '../program.ts';
import { startProgress } from '../progress.ts';
import { gnupgHomes, type PlaceValues, secretsPath } from './common-options.ts';
import { askPassphrase } from './passphrase.ts';

/** What every kind of signing needs, for as long as `work` takes. */
export async function withSigning<Result>(
  values: PlaceValues,
  rosterName: string,
  work: (keys: CertifyingKeys, options: SigningOptions) => Promise<Result>,
): Promise<Result> {
  const secretsFolder = secretsPath(values, rosterName);
  const progress = startProgress();
  const ask = (what: string): Promise<string> => {
    progress.update('');
    return askPassphrase(what);
  };
  const keys = openCertifyingKeys({ secretsFolder, homes: gnupgHomes(values), askPassphrase: ask });
  const verified = openVerifiedMemory(secretsFolder);
  try {
    return await work(keys, {
      nowSeconds: Math.floor(Date.now() / 1000),
      verified,
      keepEveryMs: KEEP_EVERY_MS,
      // A pinentry on the terminal and a line of ours would write over each other.
      onProgress: ({ done, total, certifier, mayAsk }) =>
        progress.update(mayAsk ? '' : `certifying: ${done} of ${total}, now by ${certifier.name}`),
    });
  } finally {
    progress.stop();
    keys.close();
    verified.save();
  }
}

/** What was signed, and what could not be, for people. */
export function reportSigning({ certifications, roster, version, lacking, unfit }: SigningResult): void {
  if (certifications > 0) say(`made ${counted(certifications, 'certification')}`);
  if (roster === 'signed') say(`signed the roster, version ${version}`);
  for (const one of lacking) sayLacking(one);
  if (roster === 'lacking' && !lacking.some(({ party }) => party.kind === 'authority')) {
    say(
      "the roster is not signed: the authority's key is not here; where it is: spa-keys sign, or by hand: spa-keys plan --export FILE",
    );
  }
  if (unfit.length > 0) {
    say(
      `${counted(unfit.length, 'certification')} cannot be made, because keys are missing or not fit; spa-keys plan says which`,
    );
  }
  const isQuiet = certifications === 0 && roster !== 'signed' && roster !== 'lacking';
  if (isQuiet && lacking.length === 0 && unfit.length === 0) say('there is nothing to do');
}

/** Whose key is elsewhere, and what to do there. */
function sayLacking({ party, fingerprint, certifications }: LackingKey): void {
  const owner = party.kind === 'authority' ? 'the authority' : party.name;
  say(
    `${owner}: ${counted(certifications, 'certification')} must be made with ${fingerprint}, which is not here; ` +
      (party.kind === 'bastion' ? 'if it was made on the bastion: spa-keys sign --on-bastions; ' : '') +
      `where it is: spa-keys sign (--gnupg-home default if gpg has it), or by hand: spa-keys plan --export FILE --for ${fingerprint}`,
  );
}

/** The same for programs. */
export function signingJson({
  certifications,
  roster,
  version,
  lacking,
  unfit,
}: SigningResult): Readonly<Record<string, unknown>> {
  return {
    certifications,
    roster,
    version,
    lacking: lacking.map(({ party, ...rest }) => ({ kind: party.kind, name: party.name, ...rest })),
    unfit: unfit.map(({ certifier, subject }) => ({
      certifier: certifier.key.fingerprint,
      subject: subject.key.fingerprint,
    })),
  };
}

/** How a party is called in a message. */
export function nameOf(party: Party | null): string {
  return party === null || party.kind === 'authority' ? 'the authority' : party.name;
}

/** `1 key`, `2 keys`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** A killed run loses no more than the work of these. */
const KEEP_EVERY_MS = 5_000;
