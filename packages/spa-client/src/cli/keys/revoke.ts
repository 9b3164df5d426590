import { readFileSync } from 'node:fs';
import { ConfigError, ExitCode, formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import { type RevocationResult, revokeOperator } from '../../roster/revoke-operator.ts';
import { readRosterFolder } from '../../roster/roster-folder.ts';
import { withRosterLock } from '../../roster/roster-lock.ts';
import { print, say } from '../program.ts';
import { HELP_OPTION, JSON_OPTION, ROSTER_OPTION, rosterPath, SECRETS_OPTIONS } from './common-options.ts';
import { FAR_OPTIONS } from './far-options.ts';
import { isShutOut, shutOut } from './shut-out.ts';
import { counted, nameOf, withSigning } from './signing.ts';

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { long: 'reason', argument: 'WHY', help: 'for people; it stands in the roster and in the revocations' },
  { long: 'revocation', argument: 'FILE', help: 'a revocation of his key that he made himself (gpg --gen-revoke)' },
  { long: 'no-push', help: 'only in the roster; the bastions learn of it by spa-keys push' },
  ...FAR_OPTIONS,
  ROSTER_OPTION,
  ...SECRETS_OPTIONS,
  JSON_OPTION,
  HELP_OPTION,
] as const satisfies readonly Option[];

/**
 * `spa-keys revoke`: shuts an operator out.
 * @throws ConfigError, UsageError, FolderBusyError
 */
export async function revokeVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(HELP);
  const [operator, ...others] = positionals;
  const { reason, revocation: file } = values;
  if (operator === undefined || others.length > 0)
    throw new UsageError('whom? spa-keys revoke OPERATOR --reason WHY');
  if (reason === undefined || reason.trim() === '') throw new UsageError('say why: --reason WHY');
  const ownRevocation = file === undefined ? null : { file, data: read(file) };
  const path = rosterPath(values);
  const result = await withRosterLock(path, async () => {
    const { roster } = await readRosterFolder(path);
    return withSigning(values, roster.name, (keys, options) =>
      revokeOperator(path, { operator, reason, ownRevocation }, keys, options),
    );
  });
  if (!values.json) report(operator, result);
  const isDone = result.lacking.length === 0 && result.roster !== 'lacking';
  // What nobody has signed goes to no bastion.
  const isPushed = values['no-push'] === undefined && result.roster !== 'lacking';
  const shut = isPushed ? await shutOut(operator, values) : null;
  if (!isPushed && result.roster !== 'lacking' && !values.json) say('next: spa-keys push');
  if (values.json) {
    print(
      `${JSON.stringify({ ...jsonOf(operator, result), bastions: shut === null ? null : Object.fromEntries(shut) }, null, 2)}\n`,
    );
  }
  return isDone && (shut === null || isShutOut(shut)) ? ExitCode.ok : ExitCode.failure;
}

const HELP = `spa-keys revoke: shut somebody out, now

Usage: spa-keys revoke OPERATOR --reason WHY [options]

  spa-keys revoke alice --reason 'left on November 22'
  spa-keys revoke alice --reason 'laptop lost' --revocation alice-revocation.asc

He is revoked in the roster, which is signed anew; each key that vouches for him and is here takes that back; and his own key
is revoked if it is here, or with a revocation that he made himself. Then all bastions that he could open get files without him,
and the doors that he holds open go, with spa-server his connections too.

${formatOptions(OPTIONS)}

If the authority's key is elsewhere he is revoked in the roster here, and bastions learn of it when that is signed: it says what is
to be carried. A second run does what is still missing.

Exit status: 0; 1 done, but keys that vouch for him, or the authority's, are elsewhere, or not all bastions know of it; 64 the command line is wrong, 78 the
roster or a key is wrong.
`;

function report(
  operator: string,
  { certifications, lacking, revokedKeys, roster, version }: RevocationResult,
): void {
  say(
    `${operator} is revoked in the roster${roster === 'signed' ? `, which is signed: version ${version}` : ''}`,
  );
  if (certifications > 0) say(`took back ${counted(certifications, 'certification')}`);
  for (const fingerprint of revokedKeys) say(`revoked his key ${fingerprint}`);
  for (const { party, fingerprint } of lacking) {
    say(
      `${nameOf(party)} still vouches for him with ${fingerprint}, which is not here; where it is: spa-keys revoke ${operator}`,
    );
  }
  if (roster === 'lacking') for (const line of UNSIGNED) say(line);
}

/** Where the authority's key is elsewhere. */
const UNSIGNED: readonly string[] = [
  'BASTIONS STILL LET HIM IN: what the authority has not signed goes to none, and its key is not here. Next:',
  '  spa-keys plan --export request.json                        here',
  '  spa-keys sign --import request.json --export answer.json   where its key is',
  '  spa-keys sign --import answer.json                         here',
  '  and the same spa-keys revoke again: it brings that to all bastions, and closes his doors',
];

function jsonOf(operator: string, { lacking, ...result }: RevocationResult): object {
  return {
    operator,
    ...result,
    lacking: lacking.map(({ party, fingerprint }) => ({ kind: party.kind, name: party.name, fingerprint })),
  };
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new ConfigError({ file }, `cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}
