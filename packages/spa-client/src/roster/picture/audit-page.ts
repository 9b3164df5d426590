import type { MadeCertification, Plan, Roster } from 'spa-core';
import type { RosterSignatureState } from '../plan-json.ts';
import { accessMatrix } from './access-matrix.ts';
import { certificationMatrix } from './certification-matrix.ts';
import { certificationRecord } from './certification-record.ts';
import { ends } from './ends.ts';
import { faults } from './faults.ts';
import { fleetOf } from './fleet.ts';
import { keysTable } from './keys-table.ts';
import { pageOf } from './page.ts';

/** `spa-keys audit --html`: one page of HTML about who certified whom and when, and what came of it. */
export function auditPage(
  roster: Roster,
  plan: Plan,
  made: readonly MadeCertification[],
  signature: RosterSignatureState,
): string {
  const fleet = fleetOf(roster, plan, signature);
  const wrong = faults(fleet);
  return pageOf('Audit', fleet, [
    { id: 'record', title: 'Who certified whom, and when', body: certificationRecord(fleet, made) },
    { id: 'certifications', title: 'Certifications', body: certificationMatrix(fleet) },
    ...(wrong === null ? [] : [{ id: 'faults', title: 'What is not in order', body: wrong }]),
    { id: 'ends', title: 'What ends when', body: ends(fleet) },
    { id: 'keys', title: 'Keys', body: keysTable(fleet) },
    { id: 'access', title: 'Who can open which bastion', body: accessMatrix(fleet) },
  ]);
}
