import { type Plan, planRoster } from 'spa-core';
import type { RosterFolder } from './roster-folder.ts';
import { openVerifiedMemory } from './verified-memory.ts';

/**
 * How it stands with a roster's folder.
 * @param secretsFolder where signatures are remembered that were verified; it need not be there
 * @param onVerified is told each time how many signatures were verified that are not remembered
 */
export async function planFolder(
  { roster, certificates, faults }: RosterFolder,
  secretsFolder: string,
  nowSeconds: number,
  onVerified: (count: number) => void = () => {},
): Promise<Plan> {
  const memory = openVerifiedMemory(secretsFolder);
  let count = 0;
  const add = (digest: string): void => {
    memory.add(digest);
    count += 1;
    onVerified(count);
  };
  const verified = { has: memory.has, add };
  const plan = await planRoster(roster, certificates, { nowSeconds, verified, faults });
  memory.save();
  return plan;
}
