import { isIP } from 'node:net';
import { NOBODY } from '../packet-keys.ts';
import type { Region } from '../region.ts';
import type { Check, Examination, Facts } from './check.ts';
import { clockCheck } from './clock.ts';
import type { Finding } from './finding.ts';
import { hmacCheck, keysCheck } from './keys.ts';
import { recipientCheck, signerCheck } from './openpgp.ts';
import { sizeCheck } from './packet-size.ts';
import { routeCheck } from './route.ts';

/** How a connection failed: the address that was tried (null: none), and how its door ended. */
export interface FailedDoor {
  readonly address: string | null;
  readonly state: 'refused' | 'silent' | 'unsent';
}

/**
 * What is wrong at this end with the region's first bastion, as far as that can be told within about a second: at most
 * four lines, the worst first, and a last one that says how to learn more. Nobody is asked for anything, nothing is sent
 * but a question for the time to the bastion itself. Never throws: it is said after an error.
 */
export async function shortDiagnosis(region: Region, result: FailedDoor): Promise<readonly string[]> {
  const [bastion] = region.bastions;
  const examination: Examination = {
    bastion,
    family: null,
    ssh: 'ssh',
    secrets: NOBODY,
    username: 'doctor',
    nowMs: Date.now,
    clock: { servers: [], port: 123, limitMs: CLOCK_LIMIT_MS },
    waitMs: null,
  };
  const found = await Promise.all([
    inTime(network(examination, result)),
    ...LOCAL_CHECKS.map((check) => inTime(findingsOf(check, examination, {}))),
    // A packet that was sent had a size that will do.
    inTime(result.state === 'unsent' ? size(examination) : Promise.resolve([])),
  ]);
  const lines = found
    .flat()
    .filter(({ state }) => state === 'bad' || state === 'warn')
    .sort((a, b) => Number(b.state === 'bad') - Number(a.state === 'bad'))
    .slice(0, MAX_LINES)
    .map(({ check, says, todo }) => `${check}: ${says}; ${todo}`);
  return [...lines, `sshbh doctor ${region.name} says more`];
}

const LIMIT_MS = 1_000;
const CLOCK_LIMIT_MS = 400;
const MAX_LINES = 4;
const LOCAL_CHECKS: readonly Check[] = [hmacCheck, signerCheck, recipientCheck];

async function network(examination: Examination, { address }: FailedDoor): Promise<readonly Finding[]> {
  if (address === null) return [];
  const server = { address, family: isIP(address) === 6 ? 6 : 4 } as const;
  const { findings, facts = {} } = await routeCheck.run(examination, { servers: [server] });
  return [...findings, ...(await findingsOf(clockCheck, examination, facts))];
}

async function size(examination: Examination): Promise<readonly Finding[]> {
  const { facts = {} } = await keysCheck.run(examination, {});
  const { keys } = facts;
  // gpg itself would ask for a passphrase once more.
  if (keys === undefined || keys.encryption.kind === 'external') return [];
  return findingsOf(sizeCheck, examination, facts);
}

async function findingsOf(check: Check, examination: Examination, facts: Facts): Promise<readonly Finding[]> {
  if (!check.appliesTo(examination.bastion.settings)) return [];
  return (await check.run(examination, facts)).findings;
}

/** What is not known in time, or fails, is not said. */
async function inTime(work: Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly Finding[]>((resolve) => {
    timer = setTimeout(resolve, LIMIT_MS, []);
  });
  try {
    return await Promise.race([work, late]);
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
  }
}
