import {
  armorCertificates,
  certifiedUserId,
  certifiersOf,
  type Fingerprint,
  KeyError,
  onlyCertifiedBy,
  type Party,
  type Plan,
  parseFingerprint,
  planRoster,
  type RawCertificate,
  type Roster,
  readRawCertificates,
  type WantedCertification,
  wantedCertifications,
  withSignatures,
} from 'spa-core';
import { ConfigError } from 'spa-host';
import type { CertifyingKeys } from './certifying-keys.ts';
import { PendingSignatures } from './pending-signatures.ts';
import { editRoster } from './roster-edit.ts';
import { parseRoster, ROSTER_FILE } from './roster-file.ts';
import { type RosterFolder, readRosterText } from './roster-folder.ts';
import {
  filesOfSignatures,
  type MadeSignatures,
  makeSignatures,
  type SignedBastionRoster,
  verifySignatures,
} from './roster-signatures.ts';
import {
  type CertifierWork,
  certificationFor,
  purposeOf,
  type SigningOptions,
  standingsToMake,
  textToSign,
} from './sign-roster.ts';

/** What is carried to the machine that has a secret key: nothing in it is secret. */
export interface SigningRequest {
  readonly roster: Roster;
  /** The roster's text, as it is to be signed. */
  readonly text: string;
  readonly isRosterToSign: boolean;
  /** Which certificates each key is asked to certify, by fingerprints. */
  readonly wanted: ReadonlyMap<Fingerprint, readonly Fingerprint[]>;
  readonly certificates: ReadonlyMap<Fingerprint, RawCertificate>;
}

/** What is carried back. */
export interface SigningAnswer {
  /** The text that was signed, with all that was signed with it; null: none was. */
  readonly roster: { readonly text: string; readonly signatures: MadeSignatures } | null;
  readonly certifications: readonly CarriedCertification[];
}

/** One certification on its way. */
export interface CarriedCertification {
  readonly certifier: Fingerprint;
  readonly subject: Fingerprint;
  readonly userId: string;
  /** The packet. */
  readonly signature: Buffer;
}

/** What an answer brought. */
export interface ImportedAnswer {
  readonly certifications: number;
  /** That the roster does not ask for (any more), or that are there already. */
  readonly skipped: number;
  /** `changed`: another text was signed than the roster has by now. */
  readonly roster: 'signed' | 'changed' | 'none';
}

/**
 * The text of a request: what a plan finds wanting, of all keys or of `onlyFor`, with what is needed to judge it elsewhere; null if
 * there is nothing to ask for.
 */
export function formatRequest(
  folder: RosterFolder,
  plan: Plan,
  isRosterSigned: boolean,
  onlyFor: Fingerprint | null,
): string | null {
  const { roster, certificates } = folder;
  const isMeant = (fingerprint: Fingerprint): boolean => onlyFor === null || fingerprint === onlyFor;
  const work = standingsToMake(plan).filter(({ fingerprint }) => isMeant(fingerprint));
  const signer = roster.authority?.key.fingerprint ?? null;
  const isRosterToSign = signer !== null && isMeant(signer) && !isRosterSigned;
  if (work.length === 0 && !isRosterToSign) return null;
  const needed = new Set([
    ...(isRosterToSign ? [signer] : []),
    ...work.flatMap(({ fingerprint, standings }) => [
      fingerprint,
      ...standings.map(({ subject }) => subject.key.fingerprint),
    ]),
  ]);
  const bare = [...needed].flatMap((fingerprint) => {
    const raw = certificates.get(fingerprint);
    return raw === undefined ? [] : [onlyCertifiedBy(raw, [])];
  });
  return formatDocument(REQUEST, {
    roster: isRosterToSign ? textToSign(folder).text : folder.text,
    'sign-roster': isRosterToSign,
    wanted: work.map(({ party, fingerprint, standings }) => ({
      certifier: fingerprint,
      name: party.name,
      subjects: standings.map(({ subject }) => subject.key.fingerprint),
    })),
    certificates: armorCertificates(bare),
  });
}

/** Which of both a text is; null: neither. */
export function kindOfDocument(text: string): 'request' | 'answer' | null {
  const head = text.slice(0, 200);
  if (head.includes(`"${REQUEST}"`)) return 'request';
  return head.includes(`"${ANSWER}"`) ? 'answer' : null;
}

/**
 * A request, which may come from anybody.
 * @throws ConfigError if it is none, or its roster is wrong; KeyError if its certificates cannot be read
 */
export function parseRequest(file: string, text: string): SigningRequest {
  const fields = parseDocument(file, text, REQUEST);
  const { roster: rosterText, certificates, wanted } = fields;
  const isRosterToSign = fields['sign-roster'];
  if (
    typeof rosterText !== 'string' ||
    typeof certificates !== 'string' ||
    typeof isRosterToSign !== 'boolean'
  ) {
    throw malformed(file);
  }
  const asked = new Map(
    listOf(file, wanted).map((row) => {
      const { certifier, subjects } = recordOf(file, row);
      return [
        fingerprintOf(file, certifier),
        listOf(file, subjects).map((one) => fingerprintOf(file, one)),
      ] as const;
    }),
  );
  const raws = readRawCertificates(Buffer.from(certificates));
  return {
    roster: parseRoster(`${file} (its roster)`, rosterText),
    text: rosterText,
    isRosterToSign,
    wanted: asked,
    certificates: new Map(raws.map((raw) => [raw.fingerprint, raw])),
  };
}

/** What of a request its own roster asks for, too: nothing else is signed. `unfit`: because a key is not fit to be used. */
export async function workOfRequest(
  request: SigningRequest,
  options: Pick<SigningOptions, 'nowSeconds' | 'verified'>,
): Promise<{ readonly work: readonly CertifierWork[]; readonly unfit: number }> {
  const plan = await planRoster(request.roster, request.certificates, options);
  const isAsked = ({ certifier, subject }: WantedCertification): boolean =>
    request.wanted.get(certifier.key.fingerprint)?.includes(subject.key.fingerprint) === true;
  const asked = { ...plan, certifications: plan.certifications.filter(isAsked) };
  const unfit = asked.certifications.filter(({ state }) => state === 'key').length;
  return { work: standingsToMake(asked), unfit };
}

/**
 * Makes what a request asks for, with the keys that are here; `lacking` are those that are not.
 * @throws ConfigError or KeyError if a key cannot be used
 */
export async function answerRequest(
  request: SigningRequest,
  work: readonly CertifierWork[],
  keys: CertifyingKeys,
  options: SigningOptions,
): Promise<{ readonly answer: SigningAnswer; readonly lacking: readonly Party[] }> {
  const { roster, text } = request;
  const certifications: CarriedCertification[] = [];
  const lacking: Party[] = [];
  const total = work.reduce((sum, { standings }) => sum + standings.length, 0);
  for (const { party, fingerprint, standings } of work) {
    const found = await keys.find(fingerprint, purposeOf(roster.name, standings.length));
    if (found === null) {
      lacking.push(party);
      continue;
    }
    for (const standing of standings) {
      options.onProgress({
        done: certifications.length,
        total,
        certifier: party,
        mayAsk: found.mayAsk,
      });
      const made = await certificationFor(found, standing, request, options);
      certifications.push({ certifier: fingerprint, subject: standing.subject.key.fingerprint, ...made });
    }
  }
  const { authority } = roster;
  if (!request.isRosterToSign || authority === null)
    return { answer: { roster: null, certifications }, lacking };
  const { nowSeconds } = options;
  const purpose = `spa-keys: to sign the roster "${roster.name}" with`;
  const found = await keys.findSigner(authority.key.fingerprint, purpose, nowSeconds);
  if (found === null) {
    const isSaid = lacking.some(({ kind }) => kind === 'authority');
    return { answer: { roster: null, certifications }, lacking: isSaid ? lacking : [...lacking, authority] };
  }
  const signatures = await makeSignatures(found.key, request, nowSeconds);
  return { answer: { roster: { text, signatures }, certifications }, lacking };
}

/** The text of an answer. */
export function formatAnswer({ roster, certifications }: SigningAnswer): string {
  return formatDocument(ANSWER, {
    roster:
      roster === null
        ? null
        : {
            text: roster.text,
            signature: roster.signatures.roster,
            bastions: Object.fromEntries(roster.signatures.bastions),
          },
    certifications: certifications.map((one) => ({ ...one, signature: one.signature.toString('base64') })),
  });
}

/** An answer, which may come from anybody. @throws ConfigError if it is none */
export function parseAnswer(file: string, text: string): SigningAnswer {
  const fields = parseDocument(file, text, ANSWER);
  return {
    roster: fields.roster === null ? null : signedTextOf(file, fields.roster),
    certifications: listOf(file, fields.certifications).map((row) => {
      const { certifier, subject, userId, signature } = recordOf(file, row);
      if (typeof userId !== 'string' || typeof signature !== 'string') throw malformed(file);
      return {
        certifier: fingerprintOf(file, certifier),
        subject: fingerprintOf(file, subject),
        userId,
        signature: Buffer.from(signature, 'base64'),
      };
    }),
  };
}

/**
 * Takes from an answer what the roster asks for, if the right keys made it as it was to be made. The caller has the folder's lock.
 * @throws ConfigError if something in it is false; then nothing is taken
 */
export async function importAnswer(
  file: string,
  folder: RosterFolder,
  answer: SigningAnswer,
  { nowSeconds, verified }: Pick<SigningOptions, 'nowSeconds' | 'verified'>,
): Promise<ImportedAnswer> {
  const wanted = new Map(
    wantedCertifications(folder.roster, nowSeconds).map((one) => [
      pairOf(one.certifier.key, one.subject.key),
      one,
    ]),
  );
  const pending = new PendingSignatures(folder);
  let taken = 0;
  for (const carried of answer.certifications) {
    const asked = wanted.get(pairOf({ fingerprint: carried.certifier }, { fingerprint: carried.subject }));
    const certifier = folder.certificates.get(carried.certifier);
    const subject = folder.certificates.get(carried.subject);
    if (asked === undefined || certifier === undefined || subject === undefined) continue;
    const userId = certifiedUserId(asked.subject.party, subject, nowSeconds, verified);
    const fault =
      userId === carried.userId
        ? await certificationFault(carried, certifier, subject, asked, folder.roster, nowSeconds)
        : `is for the user ID "${carried.userId}", which is not the one to be certified`;
    if (fault !== null) {
      const { party } = asked.subject;
      throw new ConfigError(
        { file },
        `the certification of ${party.name} (${carried.subject}) ${fault}; nothing was taken`,
      );
    }
    const before = withSignatures(subject, []);
    const after = withSignatures(subject, [carried]);
    if (after.octets.length === before.octets.length) continue;
    pending.add(carried.subject, { userId: carried.userId, signature: carried.signature });
    taken += 1;
  }
  const signed = await signedRoster(file, folder, answer, nowSeconds);
  await pending.keep(signed.changes);
  return { certifications: taken, skipped: answer.certifications.length - taken, roster: signed.state };
}

const REQUEST = 'signing request 1';
const ANSWER = 'signing answer 1';
const DOCUMENT_MAX_LENGTH = 32 << 20;
const LIST_MAX_LENGTH = 200_000;
/** Both machines' clocks, and the time that a file is under way. */
const END_LEEWAY_SECONDS = 86_400;

/** Why a certification that somebody sent is not what the roster asks for; null: it is. */
export async function certificationFault(
  carried: CarriedCertification,
  certifier: RawCertificate,
  subject: RawCertificate,
  { expiresAtSeconds }: WantedCertification,
  { certifications: { isExportable } }: Roster,
  nowSeconds: number,
): Promise<string | null> {
  const alone = tryWith(onlyCertifiedBy(subject, []), carried);
  const [made] = alone === null ? [] : await certifiersOf(alone, [certifier], nowSeconds);
  if (made === undefined)
    return `is not a good signature by ${carried.certifier}, made by now; are both clocks right?`;
  const end = made.expiresAtSeconds ?? Number.POSITIVE_INFINITY;
  if (end > (expiresAtSeconds ?? Number.POSITIVE_INFINITY) + END_LEEWAY_SECONDS)
    return 'lasts longer than it may';
  if (made.isExportable !== isExportable)
    return `is ${made.isExportable ? '' : 'not '}exportable, as it should ${isExportable ? '' : 'not '}be`;
  return null;
}

function tryWith(raw: RawCertificate, { userId, signature }: CarriedCertification): RawCertificate | null {
  try {
    return withSignatures(raw, [{ userId, signature }]);
  } catch (error) {
    if (error instanceof KeyError) return null;
    throw error;
  }
}

async function signedRoster(
  file: string,
  folder: RosterFolder,
  { roster: signed }: SigningAnswer,
  nowSeconds: number,
): Promise<{
  readonly state: ImportedAnswer['roster'];
  readonly changes: ReadonlyMap<string, string | null>;
}> {
  const { authority, version } = folder.roster;
  const nothing = new Map<string, string>();
  if (signed === null || authority === null) return { state: 'none', changes: nothing };
  const { text, signatures } = signed;
  const roster = parseRoster(`${file} (its roster)`, text);
  // Whose signature counts is what our own roster says, not one that was carried here.
  const ours = { ...roster, authority };
  const made = await verifySignatures(
    { text, signatures, roster: ours, certificates: folder.certificates },
    nowSeconds,
  );
  if (made === null) {
    throw new ConfigError(
      { file },
      `the roster's signature is none by ${authority.key.fingerprint}, made by now; are both clocks right? Nothing was taken`,
    );
  }
  if (made.lacking.length > 0) {
    throw new ConfigError(
      { file },
      `the signature of what ${made.lacking.join(', ')} reads of the roster is missing or does not fit; nothing was taken`,
    );
  }
  const now = readRosterText(folder.path);
  const { version: signedVersion } = roster;
  const isSame =
    signed.text === now ||
    (signedVersion > version &&
      editRoster(now, [{ path: ['version'], value: signedVersion }]) === signed.text);
  if (!isSame) return { state: 'changed', changes: nothing };
  return {
    state: 'signed',
    changes: new Map([
      [ROSTER_FILE, text] as const,
      // Those of bastions that the roster has no more, or that read none, are left out.
      ...filesOfSignatures({ ...signatures, bastions: signaturesOf(made.bastions) }, folder.signatures),
    ]),
  };
}

function signaturesOf(bastions: ReadonlyMap<string, SignedBastionRoster>): ReadonlyMap<string, string> {
  return new Map([...bastions].map(([name, { signature }]) => [name, signature]));
}

function pairOf(
  certifier: { readonly fingerprint: Fingerprint },
  subject: { readonly fingerprint: Fingerprint },
): string {
  return `${certifier.fingerprint} ${subject.fingerprint}`;
}

function formatDocument(kind: string, fields: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify({ 'spa-keys': kind, ...fields }, null, 1)}\n`;
}

function parseDocument(file: string, text: string, kind: string): Readonly<Record<string, unknown>> {
  if (text.length > DOCUMENT_MAX_LENGTH) throw malformed(file);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed(file);
  }
  const fields = recordOf(file, value);
  if (fields['spa-keys'] !== kind) throw malformed(file);
  return fields;
}

function signedTextOf(file: string, value: unknown): NonNullable<SigningAnswer['roster']> {
  const { text, signature, bastions } = recordOf(file, value);
  if (typeof text !== 'string' || typeof signature !== 'string') throw malformed(file);
  const own = Object.entries(recordOf(file, bastions)).map(([name, one]) => {
    if (typeof one !== 'string') throw malformed(file);
    return [name, one] as const;
  });
  return { text, signatures: { roster: signature, bastions: new Map(own) } };
}

function recordOf(file: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(file);
  return value as Readonly<Record<string, unknown>>;
}

function listOf(file: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value) || value.length > LIST_MAX_LENGTH) throw malformed(file);
  return value;
}

function fingerprintOf(file: string, value: unknown): Fingerprint {
  const fingerprint = typeof value === 'string' ? parseFingerprint(value) : null;
  if (fingerprint === null) throw malformed(file);
  return fingerprint;
}

function malformed(file: string): ConfigError {
  return new ConfigError(
    { file },
    'is neither a signing request (spa-keys plan --export) nor an answer to one, or it was damaged on its way',
  );
}
