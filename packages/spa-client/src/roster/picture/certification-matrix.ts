import type { Bastion, CertificationStanding, Operator, Party } from 'spa-core';
import { type Fleet, idOf } from './fleet.ts';
import { legend } from './legend.ts';
import { html, type Markup } from './markup.ts';
import { type Cell, matrix } from './matrix.ts';
import { stateElement } from './state-element.ts';
import { badness, STATES, type State, UNWANTED, worst } from './states.ts';
import { dayElement, dayOf, distanceTo, minuteElement, minuteOf } from './times.ts';
import { windowOf } from './window.ts';

/** Who certified whom: a matrix where operators and bastions do it, a list where an authority does. */
export function certificationMatrix(fleet: Fleet): Markup {
  return fleet.roster.topology === 'mutual' ? mutualMatrix(fleet) : authorityList(fleet);
}

function mutualMatrix(fleet: Fleet): Markup {
  // In a fleet of thousands the dates of what is fine are in the audit's record; here they would be megabytes.
  const isTold = fleet.plan.certifications.length <= 10_000;
  const present = new Set<State>(fleet.plan.certifications.map(({ state }) => state));
  const states = (Object.keys(STATES) as State[]).filter((state) => present.has(state));
  return html`${legend([
    ...states.map((state) => {
      const { sign, word, meaning, weight } = STATES[state];
      return { sign, look: weight, text: `${word}: ${meaning}` };
    }),
    ...(fleet.plan.unwanted.length === 0
      ? []
      : [{ sign: UNWANTED.sign, look: UNWANTED.weight, text: UNWANTED.meaning }]),
    { sign: '', look: 'none', text: 'none, and none is needed' },
  ])}
<p class="note">One sign stands for both directions. Two signs: first the bastion's certification of the operator, then the
operator's of the bastion.</p>
${matrix(fleet, 'Who certified whom', (operator, bastion) => pairCell(fleet, operator, bastion, isTold))}`;
}

function pairCell(fleet: Fleet, operator: Operator, bastion: Bastion, isTold: boolean): Cell | null {
  if (!isTold && isFine(fleet.wanted(bastion, operator)) && isFine(fleet.wanted(operator, bastion)))
    return FINE;
  const ways = [wayOf(fleet, bastion, operator), wayOf(fleet, operator, bastion)] as const;
  const [one, other] = ways;
  if (one.sign === '' && other.sign === '') return null;
  const worse = one.badness >= other.badness ? one : other;
  return {
    sign: one.sign === other.sign ? one.sign : `${one.sign || '·'}${other.sign || '·'}`,
    look: worse.look,
    title: () =>
      ways
        .map(({ text }) => text())
        .filter((text) => text !== '')
        .join('; '),
  };
}

const FINE: Cell = { sign: STATES.ok.sign, look: STATES.ok.weight, title: null };

function isFine(standings: readonly CertificationStanding[]): boolean {
  return standings.length === 1 && standings[0]?.state === 'ok';
}

interface Way {
  readonly sign: string;
  readonly look: string;
  readonly badness: number;
  readonly text: () => string;
}

const NO_WAY: Way = { sign: '', look: 'none', badness: -1, text: () => '' };

function wayOf(fleet: Fleet, certifier: Party, subject: Party): Way {
  const wanted = fleet.wanted(certifier, subject);
  const who = (): string => `${certifier.name} → ${subject.name}`;
  const state = worst(wanted.map((standing) => standing.state));
  if (state !== null) {
    const { sign, weight } = STATES[state];
    const text = (): string => `${who()}: ${wanted.map(standingText).join(', ')}`;
    return { sign, look: weight, badness: badness(state), text };
  }
  const [unwanted] = fleet.unwanted(certifier, subject);
  if (unwanted === undefined) return NO_WAY;
  return {
    sign: UNWANTED.sign,
    look: UNWANTED.weight,
    badness: 0.5,
    text: () => `${who()}: ${UNWANTED.word}, made ${minuteOf(unwanted.certification.madeAtSeconds)}`,
  };
}

function standingText({ state, found }: CertificationStanding): string {
  const { word } = STATES[state];
  if (found === null) return word;
  return `${word}, made ${minuteOf(found.madeAtSeconds)}, until ${dayOf(found.expiresAtSeconds)}`;
}

function authorityList(fleet: Fleet): Markup {
  const { plan, roster } = fleet;
  const { authority } = roster;
  if (authority === null) return html`<p class="note">There is no authority.</p>`;
  const order = new Map([...roster.operators, ...fleet.bastions].map((party, at) => [idOf(party), at]));
  const at = ({ subject }: CertificationStanding): number => order.get(idOf(subject.party)) ?? 0;
  const rows = [...plan.certifications].sort(
    (one, other) => badness(other.state) - badness(one.state) || at(one) - at(other),
  );
  return windowOf(
    'Whom the authority certified',
    rows.length,
    html`<table class="list filtered">
<caption>Whom <bdi>${authority.name}</bdi> certified</caption>
<thead><tr><th scope="col">Of</th><th scope="col">Kind</th><th scope="col">State</th><th scope="col">Made (UTC)</th><th scope="col">Ends</th><th scope="col">Left</th></tr></thead>
<tbody>
${rows.map(({ subject: { party }, state, found }) => {
  const end = found?.expiresAtSeconds ?? null;
  return html`<tr><th scope="row"><bdi>${party.name}</bdi></th><td>${party.kind}</td><td>${stateElement(STATES[state])}</td>
<td>${found === null ? '–' : minuteElement(found.madeAtSeconds)}</td><td>${found === null ? '–' : dayElement(end)}</td><td>${end === null ? '–' : distanceTo(end, plan.nowSeconds)}</td></tr>
`;
})}</tbody>
</table>`,
  );
}
