import type { Certification, Party } from 'spa-core';
import { type Fleet, groupedBy, idOf } from './fleet.ts';
import { html, type Markup } from './markup.ts';
import { nameList } from './name-list.ts';
import { stateElement } from './state-element.ts';
import { badness, STATES, type StateLook, UNWANTED } from './states.ts';
import { dayElement, minuteOf } from './times.ts';

/** Every certification that is there: of whom, by whom, when it was made, until when. Those made alike are one row. */
export function certificationRecord({ plan }: Fleet): Markup {
  const entries: readonly Entry[] = [
    ...plan.certifications.flatMap(({ certifier, subject, state, found }): readonly Entry[] =>
      found === null
        ? []
        : [
            {
              certifier: certifier.party,
              subject: subject.party,
              look: STATES[state],
              order: badness(state),
              made: found,
            },
          ],
    ),
    ...plan.unwanted.map(
      ({ certifier, subject, certification }): Entry => ({
        certifier,
        subject: subject.party,
        look: UNWANTED,
        order: 0.5,
        made: certification,
      }),
    ),
  ];
  if (entries.length === 0) return html`<p class="note">Nobody has certified anybody yet.</p>`;
  const rows = [...groupedBy(entries, alike).values()]
    .flatMap((all) => (all[0] === undefined ? [] : [{ first: all[0], all }]))
    .sort(({ first: one }, { first: other }) => other.order - one.order);
  return html`<div class="window" role="region" aria-label="Who certified whom, and when" tabindex="0">
<table class="list filtered">
<caption>Who certified whom, and when</caption>
<thead><tr><th scope="col">Of</th><th scope="col">User ID</th><th scope="col">By</th><th scope="col">State</th><th scope="col">Made (UTC)</th><th scope="col">Ends</th><th scope="col">For</th></tr></thead>
<tbody>
${rows.map(
  ({
    first: { subject, look, made },
    all,
  }) => html`<tr><th scope="row"><bdi>${subject.name}</bdi></th><td><bdi>${made.userId}</bdi></td><td class="names">${nameList(
    '',
    all.map(({ certifier }) => certifier),
  )}</td><td>${stateElement(look)}</td><td>${minuteOf(made.madeAtSeconds)}</td><td>${dayElement(made.expiresAtSeconds)}</td><td>${made.isExportable ? 'everybody' : 'its maker'}</td></tr>
`,
)}</tbody>
</table>
</div>`;
}

interface Entry {
  readonly certifier: Party;
  readonly subject: Party;
  readonly look: StateLook;
  readonly order: number;
  readonly made: Certification;
}

function alike({ subject, look, made }: Entry): string {
  const { userId, madeAtSeconds, expiresAtSeconds, isExportable } = made;
  return [
    idOf(subject),
    look.sign,
    Math.floor(madeAtSeconds / 60),
    Math.floor((expiresAtSeconds ?? 0) / 86_400),
    isExportable,
    userId,
  ].join('\n');
}
