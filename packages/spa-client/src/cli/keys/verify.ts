import { isSoundPlan } from 'spa-core';
import { ExitCode, formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import { formatPlanJson, isSigned } from '../../roster/plan-json.ts';
import { formatPlanTable } from '../../roster/plan-table.ts';
import { paintFor } from '../colour.ts';
import { print } from '../program.ts';
import { HELP_OPTION, JSON_OPTION, ROSTER_OPTION, SECRETS_OPTION } from './common-options.ts';
import { readStanding } from './planning.ts';

/**
 * `spa-keys verify`: for CI, whether everything that is needed is there and valid.
 * @throws ConfigError, UsageError
 */
export async function verifyVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(help());
  if (positionals.length > 0)
    throw new UsageError(`what is "${positionals[0]}"? spa-keys verify takes options only`);
  const { folder, plan, signature } = await readStanding(values);
  const { roster } = folder;
  const isSound = isSoundPlan(plan) && isSigned(signature);
  if (values.json) print(formatPlanJson(roster, plan, signature));
  else if (!isSound) print(formatPlanTable(roster, plan, signature, paintFor(1)));
  else print(`${roster.name}, version ${roster.version}: everything that is needed is there and valid\n`);
  return isSound ? ExitCode.ok : ExitCode.failure;
}

const OPTIONS = [
  ROSTER_OPTION,
  SECRETS_OPTION,
  JSON_OPTION,
  HELP_OPTION,
] as const satisfies readonly Option[];

function help(): string {
  return `spa-keys verify: whether everything that is needed is there and valid, for CI

Usage: spa-keys verify [options]

  spa-keys verify --roster fleet

${formatOptions(OPTIONS)}

As spa-keys plan, and strict about today only: what is about to expire is still valid. It needs no secret key and no network.
The roster's signature by its authority must be right, and so must those of what bastions read of it.

Exit status: 0 all is well, 1 it is not, 64 the command line is wrong, 78 the roster is wrong.
`;
}
