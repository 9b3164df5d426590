import type { RosterSignatureState } from '../plan-json.ts';
import { type Fleet, isIn } from './fleet.ts';
import { html, type Markup } from './markup.ts';
import { STATES, type State, type Weight } from './states.ts';
import { counted, numeral } from './times.ts';

/** What matters most in one line, and the fleet in numbers. */
export function verdict(fleet: Fleet): Markup {
  const { roster, plan, doors, regions } = fleet;
  const { weight, mark, line } = lineOf(fleet);
  const enrolled = roster.operators.filter((operator) => isIn(fleet, operator)).length;
  const opening = doors.filter(({ lacks }) => lacks.length === 0).length;
  const fine = plan.certifications.filter(({ state }) => STATES[state].weight !== 'wrong').length;
  return html`<p class="verdict ${weight}" role="status"><span class="sign ${weight}" aria-hidden="true">${mark}</span> ${line}</p>
<dl class="figures">
<div><dt>Operators</dt><dd>${numeral(enrolled)}${outOf(roster.operators.length - enrolled)}</dd></div>
<div><dt>Bastions</dt><dd>${numeral(roster.bastions.length)} <small>in ${counted(regions.length, 'region')}</small></dd></div>
<div><dt>Ways in that work</dt><dd>${numeral(opening)} <small>of ${numeral(doors.length)}</small></dd></div>
<div><dt>Certifications</dt><dd>${numeral(fine)} <small>of ${numeral(plan.certifications.length)}</small></dd></div>
</dl>`;
}

interface VerdictLine {
  readonly weight: Weight;
  readonly mark: string;
  readonly line: string;
}

function lineOf({ plan, doors, signature }: Fleet): VerdictLine {
  const count = (weight: Weight, items: readonly { readonly state: State }[]): number =>
    items.filter(({ state }) => STATES[state].weight === weight).length;
  const wrong = listed(count('wrong', plan.keys), count('wrong', plan.certifications));
  const soon = listed(count('soon', plan.keys), count('soon', plan.certifications));
  const closed = doors.filter(({ lacks }) => lacks.length > 0).length;
  const unsigned = SIGNATURES[signature];
  if (wrong !== '') {
    const effect =
      closed === 0 ? '' : ` ${counted(closed, 'way')} in ${closed === 1 ? 'does' : 'do'} not work.`;
    return { weight: 'wrong', mark: '!', line: `Not clean: ${wrong} not in order.${effect}${unsigned}` };
  }
  if (unsigned !== '') return { weight: 'wrong', mark: '!', line: `Not clean.${unsigned}` };
  if (soon !== '')
    return { weight: 'soon', mark: 'S', line: `Not clean: ${soon} to be renewed now. All works.` };
  const extra =
    plan.unwanted.length === 0
      ? ''
      : ` ${counted(plan.unwanted.length, 'certification')} more that nobody asks for.`;
  return {
    weight: 'ok',
    mark: '✓',
    line: `Clean: everything that the roster asks for is there and valid.${extra}`,
  };
}

const SIGNATURES: Readonly<Record<RosterSignatureState, string>> = {
  none: '',
  good: '',
  missing: ' Nobody has signed the roster.',
  wrong: ' The signature is not that of this roster.',
  partial: ' What bastions read of the roster is not signed as it is now.',
};

function listed(keys: number, certifications: number): string {
  const parts = [
    ...(keys === 0 ? [] : [counted(keys, 'key')]),
    ...(certifications === 0 ? [] : [counted(certifications, 'certification')]),
  ];
  return parts.join(' and ');
}

function outOf(count: number): Markup | null {
  return count === 0 ? null : html` <small>and ${numeral(count)} out</small>`;
}
