import { join } from 'node:path';
import {
  type AddedSignature,
  type CertificationStanding,
  certifiedUserId,
  certify,
  type Fingerprint,
  isMadeCertification,
  KeyError,
  type KeyHolder,
  type Party,
  type Plan,
  planRoster,
  type RawCertificate,
  rememberCertification,
  type VerifiedSignatures,
  type WantedCertification,
} from 'spa-core';
import { ConfigError } from 'spa-host';
import type { CertifyingKeys, FoundKey } from './certifying-keys.ts';
import { PendingSignatures } from './pending-signatures.ts';
import { editRoster } from './roster-edit.ts';
import { parseRoster, ROSTER_FILE } from './roster-file.ts';
import { type RosterFolder, readRosterText, rosterSignatureState } from './roster-folder.ts';
import { filesOfSignatures, makeSignatures } from './roster-signatures.ts';

/** How a roster is signed. */
export interface SigningOptions {
  readonly nowSeconds: number;
  /** Signatures that were verified before. */
  readonly verified: VerifiedSignatures;
  /** Said before each certification. */
  readonly onProgress: (progress: SigningProgress) => void;
  /** What was signed is kept at least that often, so that a slow signer that is interrupted need not begin again. */
  readonly keepEveryMs: number;
}

/** Where the work is. */
export interface SigningProgress {
  readonly done: number;
  readonly total: number;
  /** Who certifies now. */
  readonly certifier: Party;
  /** True: a pinentry may be on the terminal, until this certification is made. */
  readonly mayAsk: boolean;
}

/** What was done. */
export interface SigningResult {
  readonly certifications: number;
  readonly roster: RosterSigning['state'];
  readonly version: number;
  /** Whose keys are not here, and how many certifications wait for each. */
  readonly lacking: readonly LackingKey[];
  /** Certifications that cannot be made because a key is not fit: `plan` says why. */
  readonly unfit: readonly CertificationStanding[];
}

/** A secret key that is elsewhere. */
export interface LackingKey {
  readonly party: Party;
  readonly fingerprint: Fingerprint;
  readonly certifications: number;
}

/**
 * Makes the certifications that the roster asks for and that nobody made, or whose end is near, with the secret keys that are here,
 * and signs the roster if it is not signed as it is. What is right stays as it is: a second run changes nothing. The caller has the
 * folder's lock.
 * @throws ConfigError or KeyError if a key cannot be used; what was signed until then is kept
 */
export async function signRoster(
  folder: RosterFolder,
  keys: CertifyingKeys,
  options: SigningOptions,
): Promise<SigningResult> {
  const { roster } = folder;
  const plan = await planRoster(roster, folder.certificates, options);
  const work = standingsToMake(plan);
  const total = work.reduce((sum, { standings }) => sum + standings.length, 0);
  const pending = new PendingSignatures(folder);
  const lacking: LackingKey[] = [];
  let done = 0;
  try {
    for (const { party, fingerprint, standings } of work) {
      const found = await keys.find(fingerprint, purposeOf(roster.name, standings.length));
      if (found === null) {
        lacking.push({ party, fingerprint, certifications: standings.length });
        continue;
      }
      for (const batch of batchesOf(standings, found)) {
        options.onProgress({ done, total, certifier: party, mayAsk: found.mayAsk });
        await Promise.all(
          batch.map(async (standing) => {
            const made = await certificationFor(found, standing, folder, options);
            pending.add(standing.subject.key.fingerprint, made);
          }),
        );
        done += batch.length;
        if (pending.isDue(options.keepEveryMs)) await pending.keep();
      }
    }
  } finally {
    await pending.keep();
  }
  const signing = await signText(folder, keys, options);
  await pending.keep(signing.changes);
  const unfit = plan.certifications.filter(({ state }) => state === 'key');
  return { certifications: done, roster: signing.state, version: signing.version, lacking, unfit };
}

/** Certifications that one key is to make. */
export interface CertifierWork {
  readonly party: Party;
  readonly fingerprint: Fingerprint;
  readonly standings: readonly CertificationStanding[];
}

/** The certifications that a plan finds wanting and that can be made, by who makes them. */
export function standingsToMake(plan: Plan): readonly CertifierWork[] {
  const work = new Map<
    Fingerprint,
    { party: Party; fingerprint: Fingerprint; standings: CertificationStanding[] }
  >();
  for (const standing of plan.certifications) {
    if (standing.state === 'ok' || standing.state === 'key') continue;
    const { party, key } = standing.certifier;
    const known = work.get(key.fingerprint);
    if (known === undefined) {
      work.set(key.fingerprint, { party, fingerprint: key.fingerprint, standings: [standing] });
    } else known.standings.push(standing);
  }
  return [...work.values()];
}

/** A key of our own uses all processors; an agent does one after the other, and each may take a while. */
function* batchesOf<One>(all: readonly One[], { mayAsk }: FoundKey): Generator<readonly One[]> {
  const size = mayAsk ? 1 : 64;
  for (let start = 0; start < all.length; start += size) yield all.slice(start, start + size);
}

/** What a pinentry says that a passphrase is wanted for. */
export function purposeOf(rosterName: string, count: number): string {
  return `spa-keys: to certify ${count} ${count === 1 ? 'key' : 'keys'} of the roster "${rosterName}" with`;
}

/**
 * A certification as it is wanted.
 * @throws KeyError if the certificate has no user ID to certify, or what was made is not good
 */
export async function certificationFor(
  { key, mayAsk }: FoundKey,
  wanted: WantedCertification,
  { roster, certificates }: Pick<RosterFolder, 'roster' | 'certificates'>,
  { nowSeconds, verified }: Pick<SigningOptions, 'nowSeconds' | 'verified'>,
): Promise<AddedSignature & { readonly userId: string }> {
  const { party } = wanted.subject;
  const subject = certificateOf(certificates, wanted.subject);
  const certifier = certificateOf(certificates, wanted.certifier);
  const userId = certifiedUserId(party, subject, nowSeconds, verified);
  if (userId === null) {
    throw new KeyError(`${party.name}: ${subject.fingerprint} has no user ID that its owner signed`);
  }
  const { expiresAtSeconds } = wanted;
  const { isExportable } = roster.certifications;
  const terms = { madeAtSeconds: nowSeconds, expiresAtSeconds, isExportable };
  const made = { userId, signature: await certify(key, subject, userId, terms) };
  if (!mayAsk) rememberCertification(certifier, subject, made, verified);
  else if (!isMadeCertification(certifier, subject, made, verified)) {
    throw new KeyError(`gpg-agent made a signature with ${key.fingerprint} that is not good`);
  }
  return made;
}

/**
 * The roster's text as it is to be signed: if it was signed before and is no longer what was signed then, with a version one higher,
 * by which a bastion tells the newer one.
 */
export function textToSign({
  text,
  roster,
  signatures,
}: Pick<RosterFolder, 'text' | 'roster' | 'signatures'>): {
  readonly text: string;
  readonly version: number;
} {
  if (signatures.roster === null) return { text, version: roster.version };
  const version = roster.version + 1;
  return { text: editRoster(text, [{ path: ['version'], value: version }]), version };
}

/** `lacking`: what signs in the authority's name is not here. `none`: nobody signs this roster. */
export interface RosterSigning {
  readonly state: 'signed' | 'unchanged' | 'lacking' | 'none';
  readonly version: number;
  readonly changes: ReadonlyMap<string, string | null>;
}

/**
 * Signs the roster in its authority's name, and what bastions read of it, if that is not signed as it is.
 * @throws ConfigError if the roster was changed since it was read, or nobody would believe that key
 */
export async function signText(
  folder: RosterFolder,
  keys: CertifyingKeys,
  { nowSeconds }: Pick<SigningOptions, 'nowSeconds'>,
): Promise<RosterSigning> {
  const { authority, version, name } = folder.roster;
  const nothing = { version, changes: new Map<string, string>() };
  if (authority === null) return { state: 'none', ...nothing };
  if ((await rosterSignatureState(folder, nowSeconds)) === 'good') return { state: 'unchanged', ...nothing };
  const purpose = `spa-keys: to sign the roster "${name}" with`;
  const found = await keys.findSigner(authority.key.fingerprint, purpose, nowSeconds);
  if (found === null) return { state: 'lacking', ...nothing };
  if (readRosterText(folder.path) !== folder.text) {
    throw new ConfigError(
      { file: ROSTER_FILE },
      'was changed meanwhile, and is not signed; run spa-keys sign again',
    );
  }
  const { text, version: raised } = textToSign(folder);
  const roster = parseRoster(join(folder.path, ROSTER_FILE), text);
  const { certificates, signatures } = folder;
  const made = await makeSignatures(found.key, { text, roster, certificates }, nowSeconds);
  const changes = new Map([[ROSTER_FILE, text] as const, ...filesOfSignatures(made, signatures)]);
  return { state: 'signed', version: raised, changes };
}

function certificateOf(certificates: RosterFolder['certificates'], { key }: KeyHolder): RawCertificate {
  const raw = certificates.get(key.fingerprint);
  if (raw === undefined) throw new TypeError(`the plan counts on ${key.fingerprint}, which is not here`);
  return raw;
}
