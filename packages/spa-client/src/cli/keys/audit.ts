import { isatty } from 'node:tty';
import { auditRoster, planRoster } from 'spa-core';
import {
  ExitCode,
  formatOptions,
  type Option,
  parseCommandLine,
  UsageError,
  writePrivateFile,
} from 'spa-host';
import { auditPage } from '../../roster/picture/audit-page.ts';
import { formatAuditJson } from '../../roster/plan-json.ts';
import { formatAuditTable } from '../../roster/plan-table.ts';
import { readRosterFolder, rosterSignatureState } from '../../roster/roster-folder.ts';
import { openVerifiedMemory } from '../../roster/verified-memory.ts';
import { print } from '../program.ts';
import {
  HELP_OPTION,
  JSON_OPTION,
  ROSTER_OPTION,
  rosterPath,
  SECRETS_OPTION,
  secretsPath,
} from './common-options.ts';

/**
 * `spa-keys audit`: who certified whom, when, and until when.
 * @throws ConfigError, UsageError
 */
export async function auditVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(help());
  if (positionals.length > 0)
    throw new UsageError(`what is "${positionals[0]}"? spa-keys audit takes options only`);
  const nowSeconds = Math.floor(Date.now() / 1000);
  const folder = await readRosterFolder(rosterPath(values));
  const { roster, certificates, faults } = folder;
  const verified = openVerifiedMemory(secretsPath(values, roster.name));
  const made = await auditRoster(roster, certificates, { nowSeconds, verified });
  if (values.html !== undefined) {
    const plan = await planRoster(roster, certificates, { nowSeconds, verified, faults });
    const signature = await rosterSignatureState(folder, nowSeconds);
    writePrivateFile(values.html, auditPage(roster, plan, made, signature));
  }
  verified.save();
  print(values.json ? formatAuditJson(roster, nowSeconds, made) : formatAuditTable(made, isatty(1)));
  return ExitCode.ok;
}

const HTML_OPTION = {
  long: 'html',
  argument: 'FILE',
  help: 'write it as a page of HTML, too, with matrices of certifications and of access',
} as const;
const OPTIONS = [
  ROSTER_OPTION,
  SECRETS_OPTION,
  HTML_OPTION,
  JSON_OPTION,
  HELP_OPTION,
] as const satisfies readonly Option[];

function help(): string {
  return `spa-keys audit: who certified whom, when, and until when

Usage: spa-keys audit [options]

  spa-keys audit
  spa-keys audit --html audit.html
  spa-keys audit --json | jq -r '.certifications[] | select(.state != "valid")'

${formatOptions(OPTIONS)}

A line for each certification among the keys of the roster, by whoever made it, and whether the roster asks for it or not:
certifier, certified, day, last day, exportable or local, and its state: valid, expired, revoked, weak (SHA-1), unchecked,
certifier (that key is not valid), user-id (its owner took the name back). Signatures that do not verify are nobody's.

Exit status: 0, 64 the command line is wrong, 78 the roster is wrong.
`;
}
