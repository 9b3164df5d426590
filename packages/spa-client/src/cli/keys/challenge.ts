import { randomBytes } from 'node:crypto';
import { ExitCode, formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import { challengeFile, newChallenge } from '../../roster/challenge-file.ts';
import { changeFiles } from '../../roster/change-set.ts';
import { withRosterLock } from '../../roster/roster-lock.ts';
import { isRosterName } from '../../roster/roster-schema.ts';
import { print, say } from '../program.ts';
import { HELP_OPTION, ROSTER_OPTION, rosterPath } from './common-options.ts';

/**
 * `spa-keys challenge`: a text to be signed by whoever says that a key is his.
 * @throws ConfigError, UsageError, FolderBusyError
 */
export async function challengeVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(help());
  const [name, ...others] = positionals;
  if (name === undefined || others.length > 0) throw new UsageError('whose? spa-keys challenge NAME');
  if (!isRosterName(name)) {
    throw new UsageError(`"${name}" is no name; write the one that the roster is to have, as in alice`);
  }
  const path = rosterPath(values);
  const nowSeconds = Math.floor(Date.now() / 1000);
  const { text, expiresAtSeconds } = newChallenge(name, randomBytes(32), nowSeconds);
  await withRosterLock(path, () => changeFiles(path, new Map([[challengeFile(name), text]])));
  print(text);
  say(`Send this to ${name}, who answers with:  spa-keys prove FILE  or  gpg --clearsign FILE
Then: spa-keys add operator ${name} --import ${name}.asc --answer ANSWER   (until ${new Date(expiresAtSeconds * 1000).toISOString().slice(0, 16)}Z, and once)`);
  return ExitCode.ok;
}

const OPTIONS = [ROSTER_OPTION, HELP_OPTION] as const satisfies readonly Option[];

function help(): string {
  return `spa-keys challenge: a text to be signed by whoever says that a key is his

Usage: spa-keys challenge NAME [options]

  spa-keys challenge alice > for-alice.txt     here; send it to alice
  spa-keys prove for-alice.txt > answer.asc    alice, or: gpg --clearsign for-alice.txt
  spa-keys add operator alice --import alice.asc --answer answer.asc

The text is public. It is kept in requests/ until it is answered, which it can be once, within seven days; a new one for the
same name takes its place.

${formatOptions(OPTIONS)}

Exit status: 0, 64 the command line is wrong, 78 there is no roster.
`;
}
