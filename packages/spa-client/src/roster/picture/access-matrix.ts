import type { Fleet, Lack } from './fleet.ts';
import { legend } from './legend.ts';
import { html, type Markup } from './markup.ts';
import { matrix } from './matrix.ts';
import { STATES } from './states.ts';
import { counted } from './times.ts';

/** Who may open which bastion, and whether that works today: a matrix with its legend. */
export function accessMatrix(fleet: Fleet): Markup {
  const [common, ...others] = fleet.openings;
  const hasLacks = fleet.doors.some(({ lacks }) => lacks.length > 0);
  const table = matrix(fleet, 'Who can open which bastion', (operator, bastion) => {
    const door = fleet.doorOf(operator, bastion);
    if (door === null) return null;
    const { opening, lacks } = door;
    if (lacks.length > 0)
      return { sign: '!', look: 'wrong', title: () => `${opening.text}; ${lacksText(lacks)}` };
    return opening === common
      ? { sign: opening.sign, look: 'ok', title: null }
      : { sign: opening.sign, look: 'other', title: () => opening.text };
  });
  return html`${legend([
    ...(common === undefined ? [] : [{ sign: common.sign, look: 'ok', text: `opens ${common.text}` }]),
    ...others.map(({ sign, text }) => ({ sign, look: 'other', text: `opens ${text}` })),
    ...(hasLacks
      ? [{ sign: '!', look: 'wrong', text: 'should open, and does not: a key or a certification is lacking' }]
      : []),
    { sign: '', look: 'none', text: 'may not' },
  ])}
${table}`;
}

/** A fleet at its start lacks everything; the first says enough. */
function lacksText([first, ...others]: readonly Lack[]): string {
  if (first === undefined) return '';
  const { certifier, subject, state } = first;
  const what =
    certifier === null ? `key of ${subject.name}` : `${certifier.name}'s certification of ${subject.name}`;
  const rest = others.length === 0 ? '' : `, and ${counted(others.length, 'more fault')}`;
  return `${what}: ${STATES[state].word}${rest}`;
}
