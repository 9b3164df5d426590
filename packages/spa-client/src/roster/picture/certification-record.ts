import type { CertificationState, MadeCertification } from 'spa-core';
import { type Fleet, groupedBy, idOf } from './fleet.ts';
import { html, type Markup } from './markup.ts';
import { nameList } from './name-list.ts';
import { stateElement } from './state-element.ts';
import { STATES, type StateLook, UNWANTED } from './states.ts';
import { dayElement, minuteElement } from './times.ts';
import { windowOf } from './window.ts';

/**
 * Every certification that was made: of whom, by whom, when, until when, also those that do not count (any more). Those made
 * alike are one row.
 */
export function certificationRecord(fleet: Fleet, made: readonly MadeCertification[]): Markup {
  if (made.length === 0) return html`<p class="note">Nobody has certified anybody yet.</p>`;
  const rows = [...groupedBy(made, (one) => alike(fleet, one)).values()]
    .flatMap((all) => (all[0] === undefined ? [] : [{ first: all[0], look: lookOf(fleet, all[0]), all }]))
    .sort((one, other) => WEIGHTS[other.look.weight] - WEIGHTS[one.look.weight]);
  return windowOf(
    'Who certified whom, and when',
    rows.length,
    html`<table class="list filtered">
<caption>Who certified whom, and when</caption>
<thead><tr><th scope="col">Of</th><th scope="col">User ID</th><th scope="col">By</th><th scope="col">State</th><th scope="col">Made (UTC)</th><th scope="col">Ends</th><th scope="col">For</th></tr></thead>
<tbody>
${rows.map(
  ({
    first: { subject, certification },
    look,
    all,
  }) => html`<tr><th scope="row"><bdi>${subject.party.name}</bdi></th><td><bdi>${certification.userId}</bdi></td><td class="names">${nameList(
    '',
    all.map(({ certifier }) => certifier),
  )}</td><td>${stateElement(look)}</td><td>${minuteElement(certification.madeAtSeconds)}</td><td>${dayElement(certification.expiresAtSeconds)}</td><td>${certification.isExportable ? 'everybody' : 'its maker'}</td></tr>
`,
)}</tbody>
</table>`,
  );
}

const LOOKS: Readonly<Record<CertificationState, StateLook>> = {
  valid: STATES.ok,
  expired: STATES.expired,
  revoked: STATES.revoked,
  weak: STATES.weak,
  certifier: {
    sign: 'K',
    word: "maker's key",
    meaning: "its maker's key is expired, revoked or not for certifying",
    weight: 'wrong',
  },
  unchecked: {
    sign: 'C',
    word: 'unchecked',
    meaning: 'its maker says that he did not look: gpg does not count it',
    weight: 'wrong',
  },
  'user-id': {
    sign: 'U',
    word: 'name taken back',
    meaning: 'the owner revoked that user ID, or never signed it',
    weight: 'wrong',
  },
};

const WEIGHTS: Readonly<Record<StateLook['weight'], number>> = { ok: 0, soon: 1, wrong: 2 };

function lookOf({ wanted }: Fleet, { certifier, subject, certification }: MadeCertification): StateLook {
  const isWanted = wanted(certifier, subject.party).some(
    ({ subject: { key } }) => key.fingerprint === subject.key.fingerprint,
  );
  return certification.state === 'valid' && !isWanted ? UNWANTED : LOOKS[certification.state];
}

function alike(fleet: Fleet, one: MadeCertification): string {
  const { userId, madeAtSeconds, expiresAtSeconds, isExportable } = one.certification;
  return [
    idOf(one.subject.party),
    one.subject.key.fingerprint,
    lookOf(fleet, one).sign,
    Math.floor(madeAtSeconds / 60),
    Math.floor((expiresAtSeconds ?? 0) / 86_400),
    isExportable,
    userId,
  ].join('\n');
}
