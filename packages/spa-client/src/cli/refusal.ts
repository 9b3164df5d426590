import type { ClosedDoor } from '../door.ts';
import type { Region } from '../region.ts';
import type { BastionDoorway } from '../region-door.ts';

/** Why a door did not open, in lines for the person: what was seen, and what at this end could be the reason. */
export async function explainRefusal(
  region: Region,
  closed: ClosedDoor<BastionDoorway>,
  waitMs: number,
): Promise<readonly string[]> {
  return [...complaint(region, closed, waitMs), ...(await diagnosis(region, closed))];
}

function complaint(
  region: Region,
  { state, doorway, errors }: ClosedDoor<BastionDoorway>,
  waitMs: number,
): readonly string[] {
  const failed = errors.map((error) => `${region.name}: ${error.message}`);
  if (state === 'unsent' || doorway === null) return failed;
  const { server, port } = doorway;
  const answer = state === 'refused' ? 'answers that it is closed' : 'does not answer';
  const seconds = waitMs / 1000;
  return [
    ...failed,
    `${region.name}: ${server.address} port ${port} ${answer}, ${seconds} s after the first packet`,
  ];
}

async function diagnosis(
  region: Region,
  { state, doorway }: ClosedDoor<BastionDoorway>,
): Promise<readonly string[]> {
  const { shortDiagnosis } = await import('../doctor/short.ts');
  return shortDiagnosis(region, { state, address: doorway?.server.address ?? null });
}
