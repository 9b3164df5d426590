import { accessOf, isEnrolled } from './access.ts';
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
 */
export function wantedCertifications(roster: Roster, nowSeconds: number): readonly WantedCertification[] {
  const pairs = roster.topology === 'mutual' ? mutual(roster, nowSeconds) : byAuthority(roster, nowSeconds);
  const end =
    roster.certifications.days === null ? null : nowSeconds + roster.certifications.days * DAY_SECONDS;
  return pairs.flatMap(([certifier, subject]) =>
    keysOf(subject, nowSeconds).map((key) => ({
      certifier: { party: certifier, key: certifier.key },
      subject: { party: subject, key },
      expiresAtSeconds: earliest([end, endOf(certifier), endOf(subject), retiresAt(subject, key)]),
    })),
  );
}

/** The keys of a party that count at `nowSeconds`: its own, and one that retires. */
export function keysOf({ key, retiring }: Party, nowSeconds: number): readonly PartyKey[] {
  return retiring !== null && nowSeconds < retiring.untilSeconds ? [key, retiring] : [key];
}

const DAY_SECONDS = 86_400;

type Pair = readonly [certifier: Party, subject: Party];

function mutual(roster: Roster, nowSeconds: number): readonly Pair[] {
  return accessOf(roster, nowSeconds).flatMap(({ operator, bastion }): readonly Pair[] => [
    [bastion, operator],
    [operator, bastion],
  ]);
}

function byAuthority(roster: Roster, nowSeconds: number): readonly Pair[] {
  const { authority } = roster;
  if (authority === null) return [];
  const operators: readonly Operator[] = roster.operators.filter((operator) =>
    isEnrolled(operator, nowSeconds),
  );
  return [...operators, ...roster.bastions].map((party) => [authority, party]);
}

function retiresAt({ retiring }: Party, key: PartyKey): number | null {
  return retiring !== null && key === retiring ? retiring.untilSeconds : null;
}

function endOf(party: Party): number | null {
  return party.kind === 'operator' ? party.notAfterSeconds : null;
}

function earliest(ends: readonly (number | null)[]): number | null {
  const real = ends.filter((end) => end !== null);
  return real.length === 0 ? null : Math.min(...real);
}
