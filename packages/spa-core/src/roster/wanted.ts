import { type Access, accessOf, isEnrolled } from './access.ts';
import type { Operator, Party, PartyKey, Roster } from './roster.ts';

/** A party with one of its keys. */
export interface KeyHolder {
  readonly party: Party;
  readonly key: PartyKey;
}

/** A certification that the roster asks for. */
export interface WantedCertification {
  readonly certifier: KeyHolder;
  readonly subject: KeyHolder;
  /** Not longer than this, in seconds since 1970; null: no end of its own. */
  readonly expiresAtSeconds: number | null;
}

/**
 * The certifications that `roster` asks for at `nowSeconds`: only who may open a door needs any. A key that retires is still
 * certified, and still certifies nothing new.
 * @param access `accessOf` the same, for who has it already
 */
export function wantedCertifications(
  roster: Roster,
  nowSeconds: number,
  access: readonly Access[] = accessOf(roster, nowSeconds),
): readonly WantedCertification[] {
  const pairs = roster.topology === 'mutual' ? mutual(access) : byAuthority(roster, nowSeconds);
  const { days } = roster.certifications;
  const end = days === null ? Number.POSITIVE_INFINITY : nowSeconds + days * DAY_SECONDS;
  const holders = new Map<Party, readonly KeyHolder[]>();
  const holdersOf = (party: Party): readonly KeyHolder[] => {
    const known = holders.get(party);
    if (known !== undefined) return known;
    const made = keysOf(party, nowSeconds).map((key) => ({ party, key }));
    holders.set(party, made);
    return made;
  };
  const wanted: WantedCertification[] = [];
  for (const [certifierParty, subjectParty] of pairs) {
    const [certifier] = holdersOf(certifierParty);
    if (certifier === undefined) continue;
    for (const subject of holdersOf(subjectParty)) {
      const seconds = Math.min(end, endOf(certifierParty), endOf(subjectParty), retiresAt(subject));
      wanted.push({ certifier, subject, expiresAtSeconds: Number.isFinite(seconds) ? seconds : null });
    }
  }
  return wanted;
}

/** The keys of a party that count at `nowSeconds`: its own, and one that retires. */
export function keysOf({ key, retiring }: Party, nowSeconds: number): readonly PartyKey[] {
  return retiring !== null && nowSeconds < retiring.untilSeconds ? [key, retiring] : [key];
}

const DAY_SECONDS = 86_400;

type Pair = readonly [certifier: Party, subject: Party];

function mutual(access: readonly Access[]): readonly Pair[] {
  const pairs: Pair[] = [];
  for (const { operator, bastion } of access) pairs.push([bastion, operator], [operator, bastion]);
  return pairs;
}

function byAuthority(roster: Roster, nowSeconds: number): readonly Pair[] {
  const { authority } = roster;
  if (authority === null) return [];
  const operators: readonly Operator[] = roster.operators.filter((operator) =>
    isEnrolled(operator, nowSeconds),
  );
  return [...operators, ...roster.bastions].map((party) => [authority, party]);
}

/** Infinite: it does not. */
function retiresAt({ party: { retiring }, key }: KeyHolder): number {
  return retiring !== null && key === retiring ? retiring.untilSeconds : Number.POSITIVE_INFINITY;
}

function endOf(party: Party): number {
  return (party.kind === 'operator' ? party.notAfterSeconds : null) ?? Number.POSITIVE_INFINITY;
}
