import type { Party } from 'spa-core';
import { type Fleet, groupedBy, idOf } from './fleet.ts';
import { html, type Markup } from './markup.ts';
import { nameList } from './name-list.ts';
import { stateElement } from './state-element.ts';
import { badness, STATES, type State, UNWANTED } from './states.ts';
import { windowOf } from './window.ts';

/** What is not as it should be, the keys first, because certifications wait for them; null: nothing. */
export function faults(fleet: Fleet): Markup | null {
  const rows = [...keyFaults(fleet), ...certificationFaults(fleet), ...unwantedFaults(fleet)];
  if (rows.length === 0) return null;
  const table = html`<table class="list filtered">
<caption>What is not in order</caption>
<thead><tr><th scope="col">State</th><th scope="col">What</th><th scope="col">Why, or by whom</th></tr></thead>
<tbody>
${rows}</tbody>
</table>`;
  return windowOf('What is not in order', rows.length, table);
}

/** Of one row; the matrix has them all. */
const MOST_NAMES = 40;

function keyFaults({ plan }: Fleet): readonly Markup[] {
  return plan.keys
    .filter(({ state }) => state !== 'ok')
    .sort((one, other) => badness(other.state) - badness(one.state))
    .map(
      ({ party, key, state, reason }) => html`<tr><td>${stateElement(STATES[state])}</td>
<th scope="row">key of ${party.kind} <bdi>${party.name}</bdi></th><td>${reason === '' ? STATES[state].meaning : reason} <code>${key.fingerprint}</code></td></tr>
`,
    );
}

/** What many lack of one, and what one owes many, is one row. */
function certificationFaults({ plan }: Fleet): readonly Markup[] {
  const wrong = plan.certifications.filter(({ state }) => state !== 'ok');
  const bySubject = groupedBy(wrong, ({ subject, state }) => `${state} ${idOf(subject.party)}`);
  const byCertifier = groupedBy(wrong, ({ certifier, state }) => `${state} ${idOf(certifier.party)}`);
  if (byCertifier.size < bySubject.size) {
    return sorted(byCertifier).map(([{ certifier, state }, all]) =>
      certificationRow(
        state,
        nameList(
          'of',
          all.map(({ subject }) => subject.party),
          MOST_NAMES,
        ),
        html`by ${named(certifier.party)}`,
      ),
    );
  }
  return sorted(bySubject).map(([{ subject, state }, all]) =>
    certificationRow(
      state,
      html`of ${named(subject.party)}`,
      nameList(
        'by',
        all.map(({ certifier }) => certifier.party),
        MOST_NAMES,
      ),
    ),
  );
}

function sorted<T extends { readonly state: State }>(
  groups: ReadonlyMap<string, readonly T[]>,
): readonly (readonly [T, readonly T[]])[] {
  return [...groups.values()]
    .flatMap((all): readonly (readonly [T, readonly T[]])[] => (all[0] === undefined ? [] : [[all[0], all]]))
    .sort(([one], [other]) => badness(other.state) - badness(one.state));
}

function certificationRow(state: State, subject: Markup, certifier: Markup): Markup {
  return html`<tr><td>${stateElement(STATES[state])}</td><th scope="row">certification ${subject}</th><td class="names">${certifier}</td></tr>
`;
}

function unwantedFaults({ plan }: Fleet): readonly Markup[] {
  const groups = groupedBy(plan.unwanted, ({ subject }) => idOf(subject.party));
  return [...groups.values()].flatMap((all) => {
    const [first] = all;
    if (first === undefined) return [];
    return html`<tr><td>${stateElement(UNWANTED)}</td><th scope="row">certification of ${named(first.subject.party)}</th><td class="names">${nameList(
      'by',
      all.map(({ certifier }) => certifier),
    )}</td></tr>
`;
  });
}

function named({ kind, name }: Party): Markup {
  return html`${kind} <bdi>${name}</bdi>`;
}
