import { isCleanPlan, type Plan, parseFingerprint } from 'spa-core';
import {
  ExitCode,
  formatOptions,
  type Option,
  parseCommandLine,
  UsageError,
  writePrivateFile,
} from 'spa-host';
import { planPage } from '../../roster/picture/plan-page.ts';
import { formatPlanJson, isSigned, type RosterSignatureState } from '../../roster/plan-json.ts';
import { formatPlanTable } from '../../roster/plan-table.ts';
import type { RosterFolder } from '../../roster/roster-folder.ts';
import { formatRequest } from '../../roster/signing-request.ts';
import { paintFor } from '../colour.ts';
import { print, say } from '../program.ts';
import { writeCarried } from './carried-file.ts';
import { HELP_OPTION, JSON_OPTION, ROSTER_OPTION, SECRETS_OPTION } from './common-options.ts';
import { readStanding } from './planning.ts';

/**
 * `spa-keys plan`: what is missing, expired, revoked or weak.
 * @throws ConfigError, UsageError
 */
export async function planVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(help());
  if (positionals.length > 0)
    throw new UsageError(`what is "${positionals[0]}"? spa-keys plan takes options only`);
  const { folder, plan, signature } = await readStanding(values);
  const { roster } = folder;
  if (values.graph !== undefined) writePrivateFile(values.graph, planPage(roster, plan, signature));
  if (values.export !== undefined) return exportRequest(values, folder, plan, signature);
  if (values.for !== undefined) throw new UsageError('--for goes with --export FILE');
  if (values.json) print(formatPlanJson(roster, plan, signature));
  else print(formatPlanTable(roster, plan, signature, paintFor(1)));
  return isCleanPlan(plan) && isSigned(signature) ? ExitCode.ok : ExitCode.failure;
}

const GRAPH_OPTION = {
  long: 'graph',
  argument: 'FILE',
  help: 'write a page of HTML, too: who can open what, what ends when, who certified whom',
} as const;
// biome-ignore format: a table, one option a row
const OPTIONS = [
  ROSTER_OPTION,
  SECRETS_OPTION,
  GRAPH_OPTION,
  JSON_OPTION,
  { long: 'export', argument: 'FILE', help: 'write what is to be signed into a file, to be carried to where the key is' },
  { long: 'for', argument: 'FINGERPRINT', help: 'with --export: ask that key only' },
  HELP_OPTION,
] as const satisfies readonly Option[];

function exportRequest(
  values: { readonly export?: string; readonly for?: string },
  folder: RosterFolder,
  plan: Plan,
  signature: RosterSignatureState,
): number {
  const { export: file = '', for: wanted } = values;
  const onlyFor = wanted === undefined ? null : parseFingerprint(wanted);
  if (wanted !== undefined && onlyFor === null) {
    throw new UsageError(`--for: "${wanted}" is no full fingerprint; write the 40 hexadecimal digits`);
  }
  const request = formatRequest(folder, plan, signature === 'good', onlyFor);
  if (request === null) {
    say('there is nothing to ask for');
    return ExitCode.ok;
  }
  writeCarried(file, request);
  say(`wrote ${file}; where the key is: spa-keys sign --import ${file} --export answer.json`);
  return ExitCode.ok;
}

function help(): string {
  return `spa-keys plan: what is missing, expired, about to expire, revoked or weak

Usage: spa-keys plan [options]

  spa-keys plan
  spa-keys plan --graph plan.html
  spa-keys plan --json | jq -r '.keys[] | select(.state != "ok") | "\\(.name): \\(.reason)"'
  spa-keys plan --export request.json      for spa-keys sign --import on a machine that has no network

${formatOptions(OPTIONS)}

Of each party that may open a door it looks at the key, and at the certifications that the roster's topology asks for. It
changes nothing but its memory of signatures that were verified, in the folder of the secrets: the next run is faster by it.

Exit status: 0 there is nothing to do, 1 there is, 64 the command line is wrong, 78 the roster is wrong.
`;
}
