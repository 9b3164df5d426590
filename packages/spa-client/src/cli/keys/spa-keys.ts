import { ExitCode, probablyMeant, UsageError } from 'spa-host';
import { packageVersion, print, runProgram } from '../program.ts';
import { spaKeysHelp } from './help.ts';
import { KEYS_VERBS } from './verbs.ts';

/** spa-keys: a fleet's keys and certifications, from one file. */
export function runSpaKeys(): Promise<void> {
  return runProgram('spa-keys', main, { connection: ExitCode.unavailable });
}

async function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  const verb = KEYS_VERBS.find(({ name }) => name === first);
  if (verb !== undefined) return verb.run(rest);
  if (first === '--help' || first === '-h') return print(spaKeysHelp());
  if (first === '--version' || first === '-V') return print(`spa-keys ${packageVersion()}\n`);
  if (first === undefined)
    throw new UsageError('what is to be done? spa-keys plan, for example; --help lists the verbs');
  const names = KEYS_VERBS.map(({ name }) => name);
  const meant = probablyMeant(first, names);
  throw new UsageError(
    `there is no verb "${first}"; ${meant === null ? `write one of ${names.join(', ')}` : `did you mean ${meant}?`}`,
  );
}
