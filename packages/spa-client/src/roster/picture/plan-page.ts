import type { Plan, Roster } from 'spa-core';
import type { RosterSignatureState } from '../plan-json.ts';
import { accessGraph } from './access-graph.ts';
import { accessMatrix } from './access-matrix.ts';
import { certificationMatrix } from './certification-matrix.ts';
import { ends } from './ends.ts';
import { faults } from './faults.ts';
import { fleetOf } from './fleet.ts';
import { keysTable } from './keys-table.ts';
import { html } from './markup.ts';
import { pageOf } from './page.ts';

/** `spa-keys plan --graph`: one page of HTML about what is to be done, who can open what, and what ends. */
export function planPage(roster: Roster, plan: Plan, signature: RosterSignatureState): string {
  const fleet = fleetOf(roster, plan, signature);
  const wrong = faults(fleet);
  return pageOf('Plan', fleet, [
    ...(wrong === null ? [] : [{ id: 'faults', title: 'What is not in order', body: wrong }]),
    {
      id: 'access',
      title: 'Who can open which bastion',
      body: html`${accessGraph(fleet)}
${accessMatrix(fleet)}`,
    },
    { id: 'ends', title: 'What ends when', body: ends(fleet) },
    { id: 'certifications', title: 'Certifications', body: certificationMatrix(fleet) },
    { id: 'keys', title: 'Keys', body: keysTable(fleet) },
  ]);
}
