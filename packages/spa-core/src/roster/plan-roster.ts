import { faultOf } from '../certificate-faults.ts';
import type { RawCertificate } from '../certificate-packets.ts';
import {
  byKeyId,
  type Certification,
  type CertificationState,
  certificationsAmong,
} from '../certification.ts';
import type { Fingerprint } from '../openpgp-keys.ts';
import type { VerifiedSignatures } from '../signature-verification.ts';
import { type KeyUse, validityOf } from '../validity.ts';
import { accessOf, isEnrolled } from './access.ts';
import type { CertificationStanding, KeyFault, KeyState, MadeCertification, Plan } from './plan.ts';
import type { Party, PartyKey, Roster } from './roster.ts';
import { type KeyHolder, keysOf, type WantedCertification, wantedCertifications } from './wanted.ts';

/** What {@link planRoster} goes by. */
export interface PlanOptions {
  readonly nowSeconds: number;
  /** Signatures that were verified before; null: all are verified. */
  readonly verified: VerifiedSignatures | null;
  /** Why there is no certificate of a key, where more is known than that. */
  readonly faults?: ReadonlyMap<Fingerprint, KeyFault>;
}

/**
 * How it stands with `roster`, whose certificates are in `certificates`: each key that counts, each certification that is wanted,
 * and those that nobody wants (any more).
 */
export async function planRoster(
  roster: Roster,
  certificates: ReadonlyMap<Fingerprint, RawCertificate>,
  options: PlanOptions,
): Promise<Plan> {
  const { nowSeconds } = options;
  const parties = partiesOf(roster);
  const keys = parties
    .filter((party) => party.kind !== 'operator' || isEnrolled(party, nowSeconds))
    .flatMap((party) => keysOf(party, nowSeconds).map((key) => ({ party, key })))
    .map((holder) => keyState(holder, certificates.get(holder.key.fingerprint), roster, options));
  const unfit = new Set(
    keys
      .filter((one) => !FIT.has(one.state) && !doesCertify(one, certificates, options))
      .map(({ key }) => key.fingerprint),
  );
  const found = await findAll(parties, certificates, options);
  const access = accessOf(roster, nowSeconds);
  const wanted = wantedCertifications(roster, nowSeconds, access);
  const terms = termsOf(roster, found, unfit, nowSeconds);
  return {
    nowSeconds,
    access,
    keys,
    certifications: wanted.map((one) => standing(one, terms)),
    unwanted: unwantedOf(wanted, found, nowSeconds),
  };
}

/** True if there is nothing to do: no key and no certification is missing, at fault, or about to end. */
export function isCleanPlan({ keys, certifications }: Plan): boolean {
  return keys.every(({ state }) => state === 'ok') && certifications.every(({ state }) => state === 'ok');
}

/** True if everything works today: what is about to end still does. */
export function isSoundPlan({ keys, certifications }: Plan): boolean {
  const isSound = ({ state }: { readonly state: string }): boolean => state === 'ok' || state === 'expiring';
  return keys.every(isSound) && certifications.every(isSound);
}

/** All certifications among the roster's keys, also those that do not count (any more), by subject. */
export async function auditRoster(
  roster: Roster,
  certificates: ReadonlyMap<Fingerprint, RawCertificate>,
  options: PlanOptions,
): Promise<readonly MadeCertification[]> {
  const found = await findAll(partiesOf(roster), certificates, options);
  return [...found.values()].flatMap(({ holder, by }) =>
    [...by.values()].flatMap(({ certifier, certifierKey, certifications }) =>
      certifications.map((certification) => ({ certifier, certifierKey, subject: holder, certification })),
    ),
  );
}

const DAY_SECONDS = 86_400;
const FIT: ReadonlySet<KeyState['state']> = new Set(['ok', 'expiring'] as const);

function partiesOf({ authority, operators, bastions }: Roster): readonly Party[] {
  return [...(authority === null ? [] : [authority]), ...operators, ...bastions];
}

/** What a party's key must be good for, by its primary key or a subkey: an authority certifies, and signs the roster. */
export const KEY_USES: Readonly<Record<Party['kind'], readonly KeyUse[]>> = {
  authority: ['certify', 'sign'],
  operator: ['certify', 'sign'],
  bastion: ['certify', 'encrypt'],
};

/** With a key that retires an authority signs no roster any more. */
function usesOf({ party, key }: KeyHolder): readonly KeyUse[] {
  return party.kind === 'authority' && key !== party.key ? ['certify'] : KEY_USES[party.kind];
}

/** True if it is an authority that only cannot sign the roster: its certifications count all the same. */
function doesCertify(
  { party, key: { fingerprint } }: KeyHolder,
  certificates: ReadonlyMap<Fingerprint, RawCertificate>,
  { nowSeconds, verified }: PlanOptions,
): boolean {
  const raw = certificates.get(fingerprint);
  if (party.kind !== 'authority' || raw === undefined) return false;
  return faultOf(raw, nowSeconds, { uses: ['certify'], verified }) === null;
}

function keyState(
  holder: KeyHolder,
  raw: RawCertificate | undefined,
  { certifications: { renewDays } }: Roster,
  { nowSeconds, verified, faults }: PlanOptions,
): KeyState {
  if (raw === undefined) {
    const fault = faults?.get(holder.key.fingerprint) ?? {
      state: 'missing',
      reason: 'its certificate is not here',
    };
    return { ...holder, ...fault, expiresAtSeconds: null };
  }
  const uses = usesOf(holder);
  const ends = uses.flatMap((use) => {
    const validity = validityOf(raw, use, nowSeconds, verified);
    return 'expiresAtSeconds' in validity && validity.expiresAtSeconds !== null
      ? [validity.expiresAtSeconds]
      : [];
  });
  const expiresAtSeconds = ends.length === 0 ? null : Math.min(...ends);
  const fault = faultOf(raw, nowSeconds, { uses, verified });
  if (fault !== null) return { ...holder, ...fault, expiresAtSeconds };
  // A key that retires anyway need not be prolonged.
  const isDue =
    isWithin(expiresAtSeconds, nowSeconds + renewDays * DAY_SECONDS) && holder.key === holder.party.key;
  if (!isDue) return { ...holder, state: 'ok', reason: '', expiresAtSeconds };
  return {
    ...holder,
    state: 'expiring',
    reason: `it ends in ${Math.floor(((expiresAtSeconds ?? 0) - nowSeconds) / DAY_SECONDS)} days`,
    expiresAtSeconds,
  };
}

function isWithin(endSeconds: number | null, limitSeconds: number): boolean {
  return endSeconds !== null && endSeconds <= limitSeconds;
}

/** Certifications of a key, by their maker's fingerprint. */
type Found = ReadonlyMap<
  Fingerprint,
  { readonly holder: KeyHolder; readonly by: ReadonlyMap<Fingerprint, MadeBy> }
>;

interface MadeBy {
  readonly certifier: Party;
  readonly certifierKey: PartyKey;
  readonly certifications: readonly Certification[];
}

/** Of all keys of all parties, also of those that count no longer. */
async function findAll(
  parties: readonly Party[],
  certificates: ReadonlyMap<Fingerprint, RawCertificate>,
  { nowSeconds, verified }: PlanOptions,
): Promise<Found> {
  const holders = parties.flatMap((party) => {
    const keys: readonly PartyKey[] = party.retiring === null ? [party.key] : [party.key, party.retiring];
    return keys.map((key) => ({ party, key }));
  });
  const owners = new Map(holders.map((holder) => [holder.key.fingerprint, holder]));
  const candidates = holders.flatMap(({ key }) => certificates.get(key.fingerprint) ?? []);
  const makers = byKeyId(new Set(candidates));
  const found = new Map<Fingerprint, { holder: KeyHolder; by: Map<Fingerprint, MadeBy> }>();
  for (const holder of holders) {
    const raw = certificates.get(holder.key.fingerprint);
    if (raw === undefined) continue;
    const by = new Map<Fingerprint, MadeBy & { readonly certifications: Certification[] }>();
    for (const one of await certificationsAmong(raw, makers, nowSeconds, verified)) {
      const { fingerprint } = one.certifier;
      const owner = owners.get(fingerprint);
      if (owner === undefined) continue;
      const known = by.get(fingerprint);
      if (known === undefined)
        by.set(fingerprint, { certifier: owner.party, certifierKey: owner.key, certifications: [one] });
      else known.certifications.push(one);
    }
    found.set(holder.key.fingerprint, { holder, by });
  }
  return found;
}

/** What the state of the best certification means for one that is wanted. */
const STANDINGS: Readonly<Record<CertificationState, CertificationStanding['state']>> = {
  valid: 'ok',
  certifier: 'key',
  expired: 'expired',
  revoked: 'revoked',
  unchecked: 'missing',
  'user-id': 'key',
  weak: 'weak',
};

interface Terms {
  readonly found: Found;
  /** Keys that nothing can be done with. */
  readonly unfit: ReadonlySet<Fingerprint>;
  readonly isExportable: boolean;
  /** What ends until then is due. */
  readonly dueSeconds: number;
}

function termsOf(
  { certifications: { isExportable, days, renewDays } }: Roster,
  found: Found,
  unfit: ReadonlySet<Fingerprint>,
  nowSeconds: number,
): Terms {
  // Otherwise one that is made for fewer days than that would always be due.
  const noticeDays = Math.min(renewDays, (days ?? Number.POSITIVE_INFINITY) / 2);
  return { found, unfit, isExportable, dueSeconds: nowSeconds + noticeDays * DAY_SECONDS };
}

/** There may be a hundred thousand of them: no object is made that nobody keeps. */
function standing(
  { certifier, subject, expiresAtSeconds }: WantedCertification,
  terms: Terms,
): CertificationStanding {
  const made =
    terms.found.get(subject.key.fingerprint)?.by.get(certifier.key.fingerprint)?.certifications ?? NONE;
  const { state, found } = judge(certifier, subject, expiresAtSeconds, made, terms);
  return { certifier, subject, expiresAtSeconds, state, found };
}

const NONE: readonly Certification[] = [];

function judge(
  certifier: KeyHolder,
  subject: KeyHolder,
  expiresAtSeconds: number | null,
  made: readonly Certification[],
  { unfit, isExportable, dueSeconds }: Terms,
): Pick<CertificationStanding, 'state' | 'found'> {
  // One that its maker keeps for himself does not travel, and is as good as none where others need it.
  const best = bestOf(
    isExportable && made.some((one) => !one.isExportable) ? made.filter((one) => one.isExportable) : made,
  );
  if (unfit.has(certifier.key.fingerprint) || unfit.has(subject.key.fingerprint))
    return { state: 'key', found: best };
  if (best === null) return { state: 'missing', found: bestOf(made) };
  if (best.state !== 'valid') return { state: STANDINGS[best.state], found: best };
  const end = best.expiresAtSeconds;
  const couldLastLonger = end !== null && end < (expiresAtSeconds ?? Number.POSITIVE_INFINITY);
  return { state: couldLastLonger && end <= dueSeconds ? 'expiring' : 'ok', found: best };
}

/** A valid one, the longest-lasting; otherwise the newest; null of none. */
function bestOf(made: readonly Certification[]): Certification | null {
  let best: Certification | null = null;
  for (const one of made) if (best === null || isBetter(one, best)) best = one;
  return best;
}

function isBetter(one: Certification, other: Certification): boolean {
  const isValid = one.state === 'valid';
  if (isValid !== (other.state === 'valid')) return isValid;
  if (!isValid) return one.madeAtSeconds > other.madeAtSeconds;
  return (
    (one.expiresAtSeconds ?? Number.POSITIVE_INFINITY) > (other.expiresAtSeconds ?? Number.POSITIVE_INFINITY)
  );
}

function unwantedOf(
  wanted: readonly WantedCertification[],
  found: Found,
  nowSeconds: number,
): readonly MadeCertification[] {
  const pairs = new Map<Fingerprint, Set<Party>>();
  for (const { certifier, subject } of wanted) {
    const { fingerprint } = subject.key;
    const makers = pairs.get(fingerprint);
    if (makers === undefined) pairs.set(fingerprint, new Set([certifier.party]));
    else makers.add(certifier.party);
  }
  const unwanted: MadeCertification[] = [];
  for (const { holder, by } of found.values()) {
    for (const [fingerprint, { certifier, certifierKey, certifications }] of by) {
      if (certifier === holder.party) continue;
      const isWanted =
        pairs.get(holder.key.fingerprint)?.has(certifier) &&
        keysOf(certifier, nowSeconds).some((key) => key.fingerprint === fingerprint);
      const best = isWanted ? null : bestOf(certifications);
      if (best?.state === 'valid')
        unwanted.push({ certifier, certifierKey, subject: holder, certification: best });
    }
  }
  return unwanted;
}
