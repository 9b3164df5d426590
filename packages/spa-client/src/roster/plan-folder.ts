import { type Plan, planRoster } from 'spa-core';
import type { RosterFolder } from './roster-folder.ts';
import { openVerifiedMemory } from './verified-memory.ts';

/**
 * How it stands with a roster's folder.
 * @param secretsFolder where signatures are remembered that were verified; it need not be there
 */
export async function planFolder(
  { roster, certificates, faults }: RosterFolder,
  secretsFolder: string,
  nowSeconds: number,
): Promise<Plan> {
  const verified = openVerifiedMemory(secretsFolder);
  const plan = await planRoster(roster, certificates, { nowSeconds, verified, faults });
  verified.save();
  return plan;
}
