import {
  type BastionAnswer,
  type BastionWork,
  bastionWork,
  CLOCK_LEEWAY_SECONDS,
  certifyOnBastion,
} from '../../roster/bastion-signing.ts';
import { planFolder } from '../../roster/plan-folder.ts';
import { inParallel } from '../../roster/push.ts';
import { readRosterFolder } from '../../roster/roster-folder.ts';
import { withRosterLock } from '../../roster/roster-lock.ts';
import type { SigningResult } from '../../roster/sign-roster.ts';
import { importAnswer } from '../../roster/signing-request.ts';
import { openVerifiedMemory } from '../../roster/verified-memory.ts';
import { printable, say } from '../program.ts';
import { startProgress } from '../progress.ts';
import { type PlaceValues, rosterPath, secretsPath } from './common-options.ts';
import { type FarValues, farPlacesOf, readLimit, transportOf } from './far-options.ts';
import { counted } from './signing.ts';

/** What became of it: what was signed in all, and how each bastion answered. */
export interface BastionsSigned {
  readonly result: SigningResult;
  readonly answers: ReadonlyMap<string, BastionAnswer>;
}

/**
 * Lets the bastions whose keys are not here certify where they are, and keeps what they made in one change. Nobody waits for the
 * network with the folder's lock: what the roster asks for no more by then is left out.
 * @throws ConfigError, UsageError, FolderBusyError
 */
export async function signOnBastions(
  values: PlaceValues & FarValues & { readonly json?: true },
  before: SigningResult,
): Promise<BastionsSigned> {
  const path = rosterPath(values);
  const transport = transportOf(values);
  const places = farPlacesOf(values);
  const limit = readLimit(values.parallel);
  const folder = await readRosterFolder(path);
  const secretsFolder = secretsPath(values, folder.roster.name);
  const plan = await planFolder(folder, secretsFolder, now());
  const isElsewhere = new Set(before.lacking.map(({ fingerprint }) => fingerprint));
  const work = bastionWork(plan).filter(({ fingerprint }) => isElsewhere.has(fingerprint));
  const answers = new Map<string, BastionAnswer>();
  if (work.length === 0) return { result: before, answers };
  const verified = openVerifiedMemory(secretsFolder);
  const progress = startProgress();
  const tell = (): void => progress.update(`certifying on bastions: ${answers.size} of ${work.length}`);
  tell();
  try {
    await inParallel(work, limit, async (one) => {
      const answer = await certifyOnBastion(one, folder, { transport, places, verified });
      answers.set(one.party.name, answer);
      progress.update('');
      if (!values.json) for (const line of linesOf(one, answer)) say(line);
      tell();
    });
  } finally {
    progress.stop();
  }
  const certifications = [...answers.values()].flatMap((answer) =>
    answer.state === 'answered' ? answer.certifications : [],
  );
  const taken = await withRosterLock(path, async () =>
    importAnswer(
      'what the bastions sent',
      await readRosterFolder(path),
      { roster: null, certifications },
      { nowSeconds: now() + CLOCK_LEEWAY_SECONDS, verified },
    ),
  );
  verified.save();
  const missing = new Map(work.map((one) => [one.fingerprint, missingOf(one, answers)]));
  const lacking = before.lacking.flatMap((one) => {
    const count = missing.get(one.fingerprint) ?? one.certifications;
    return count === 0 ? [] : [{ ...one, certifications: count }];
  });
  const result = { ...before, certifications: before.certifications + taken.certifications, lacking };
  return { result, answers };
}

/** The answers for programs, a bastion each. */
export function answersJson(
  answers: BastionsSigned['answers'],
): readonly Readonly<Record<string, unknown>>[] {
  return [...answers].map(([name, answer]) =>
    answer.state === 'answered'
      ? {
          ...{ name, state: answer.state, certifications: answer.certifications.length },
          refused: answer.refused.map(({ subject, reason }) => ({ name: subject.name, reason })),
        }
      : { name, ...answer },
  );
}

function missingOf({ party, standings }: BastionWork, answers: BastionsSigned['answers']): number {
  const answer = answers.get(party.name);
  return answer?.state === 'answered' ? answer.refused.length : standings.length;
}

function linesOf({ party: { name } }: BastionWork, answer: BastionAnswer): readonly string[] {
  if (answer.state !== 'answered') {
    const what = answer.state === 'failed' ? 'failed' : 'cannot be reached';
    return [`${name}: ${what}: ${printable(answer.reason.split('\n').join('; '))}`];
  }
  return [
    `${name}: made ${counted(answer.certifications.length, 'certification')}`,
    ...answer.refused.map(({ subject, reason }) => `  not of ${subject.name}: ${printable(reason)}`),
  ];
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
