import { createInterface } from 'node:readline/promises';
import { ConfigError, ExitCode, formatOptions, parseCommandLine, UsageError } from 'spa-host';
import { readRosterFolder } from '../../roster/roster-folder.ts';
import { withRosterLock } from '../../roster/roster-lock.ts';
import { countBastionTexts } from '../../roster/roster-signatures.ts';
import { signRoster } from '../../roster/sign-roster.ts';
import {
  answerRequest,
  formatAnswer,
  importAnswer,
  kindOfDocument,
  parseAnswer,
  parseRequest,
  type SigningRequest,
  workOfRequest,
} from '../../roster/signing-request.ts';
import { print, printable, say } from '../program.ts';
import { readCarried, writeCarried } from './carried-file.ts';
import { HELP_OPTION, JSON_OPTION, ROSTER_OPTION, rosterPath, SECRETS_OPTIONS } from './common-options.ts';
import { FAR_OPTIONS } from './far-options.ts';
import { answersJson, signOnBastions } from './sign-on-bastions.ts';
import { counted, nameOf, reportSigning, signingJson, withSigning } from './signing.ts';

// biome-ignore format: a table, one option a row
const OPTIONS = [
  ROSTER_OPTION,
  ...SECRETS_OPTIONS,
  { long: 'import', argument: 'FILE', help: 'a file that was carried here: a request (with --export), or the answer to one' },
  { long: 'export', argument: 'FILE', help: 'where the answer to a request goes' },
  { long: 'on-bastions', help: 'let bastions whose keys were made there certify where they are' },
  ...FAR_OPTIONS,
  { long: 'yes', short: 'y', help: 'sign what a request asks for without a question' },
  JSON_OPTION,
  HELP_OPTION,
] as const;

type Values = ReturnType<typeof parseCommandLine<typeof OPTIONS>>['values'];

/** `spa-keys sign`: makes the certifications that are missing, and signs the roster with all that is read of it. */
export async function signVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(HELP);
  if (positionals[0] !== undefined)
    throw new UsageError(`"${positionals[0]}" is too much; spa-keys sign --help`);
  const file = values.import;
  if (values['on-bastions'] && file !== undefined) {
    throw new UsageError(
      '--on-bastions and --import are two ways to a key that is elsewhere; give one at a time',
    );
  }
  const far = values['on-bastions'] ? undefined : FAR_OPTIONS.find(({ long }) => values[long] !== undefined);
  if (far !== undefined) throw new UsageError(`--${far.long} goes with --on-bastions`);
  if (file === undefined) {
    if (values.export !== undefined) {
      throw new UsageError('--export goes with --import FILE; spa-keys plan --export FILE writes a request');
    }
    return signFolder(values);
  }
  const text = readCarried(file);
  switch (kindOfDocument(text)) {
    case 'request':
      if (values.export === undefined)
        throw new UsageError('a request is answered into a file: add --export FILE');
      return answer(file, parseRequest(file, text), values.export, values);
    case 'answer':
      return takeAnswer(file, text, values);
    case null:
      throw new ConfigError(
        { file },
        'is neither a signing request (spa-keys plan --export) nor an answer to one',
      );
  }
}

const HELP = `Usage: spa-keys sign [options]

Makes the certifications that the roster asks for and that are missing, expired or about to, with the secret keys that are
here, and signs the roster and what each bastion with spa-server reads of it. What is right stays as it is. It can be interrupted at any time, and goes on where it was.

  spa-keys sign                            with the keys in the folder of the secrets
  spa-keys sign --gnupg-home default       with those of gpg-agent, too: cards and passphrases work as they do for gpg

In the topology mutual each bastion certifies its operators. Its key was made there (spa-keys add bastion --on)?
  spa-keys sign --on-bastions              it certifies there, by its own gpg; through sshbh
  spa-keys sign --on-bastions --ssh ssh    while ssh still works without a packet

The authority's key is on a machine without a network? Carry two files by hand:
  spa-keys plan --export request.json      here
  spa-keys sign --import request.json --export answer.json --gnupg-home default       there; no roster is needed there
  spa-keys sign --import answer.json       here: every signature is checked against what was asked for

${formatOptions(OPTIONS)}

Exit status: 0 all is signed; 1 in part, because some keys are elsewhere or not fit, or a bastion did not answer; 75 another run is at it.
`;

async function signFolder(values: Values): Promise<number> {
  const path = rosterPath(values);
  const here = await withRosterLock(path, async () => {
    const folder = await readRosterFolder(path);
    return withSigning(values, folder.roster.name, (keys, options) => signRoster(folder, keys, options));
  });
  const there = values['on-bastions'] ? await signOnBastions(values, here) : null;
  const result = there?.result ?? here;
  if (values.json) {
    const bastions = there === null ? {} : { bastions: answersJson(there.answers) };
    print(`${JSON.stringify({ ...signingJson(result), ...bastions }, null, 2)}\n`);
  } else reportSigning(result);
  return result.lacking.length === 0 && result.unfit.length === 0 && result.roster !== 'lacking'
    ? ExitCode.ok
    : ExitCode.failure;
}

/** On the machine that has the key: it needs no roster but the one in the request. */
async function answer(file: string, request: SigningRequest, into: string, values: Values): Promise<number> {
  return withSigning(values, request.roster.name, async (keys, options) => {
    const { work, unfit } = await workOfRequest(request, options);
    const { roster, isRosterToSign, certificates } = request;
    say(`${file}: the roster "${roster.name}", version ${roster.version}, asks for`);
    if (isRosterToSign) {
      const count = countBastionTexts(roster);
      const more =
        count === 0
          ? ''
          : `, and of what ${counted(count, 'bastion')} ${count === 1 ? 'reads' : 'read'} of it`;
      say(`  a signature of the roster itself by ${nameOf(roster.authority)}${more}`);
    }
    for (const { party, fingerprint, standings } of work) {
      say(`  ${counted(standings.length, 'certification')} by ${nameOf(party)}, ${fingerprint}:`);
      for (const { subject } of standings) {
        const userId = certificates.get(subject.key.fingerprint)?.users[0]?.userId ?? '';
        say(
          `    ${subject.key.fingerprint}  ${subject.party.kind} ${subject.party.name}  ${printable(userId)}`,
        );
      }
    }
    if (unfit > 0)
      say(`  and for ${counted(unfit, 'certification')} of keys that are not fit, which are not made`);
    if (!values.yes && !(await isAgreedTo())) {
      say('nothing was signed');
      return ExitCode.failure;
    }
    const { answer: made, lacking } = await answerRequest(request, work, keys, options);
    for (const party of lacking)
      say(`the secret key of ${nameOf(party)} is not here; see --secrets and --gnupg-home`);
    if (made.certifications.length === 0 && made.roster === null) return ExitCode.failure;
    writeCarried(into, formatAnswer(made));
    say(
      `made ${counted(made.certifications.length, 'certification')}${made.roster === null ? '' : ' and signed the roster'}; carry ${into} back, and there: spa-keys sign --import ${into}`,
    );
    return lacking.length === 0 && unfit === 0 ? ExitCode.ok : ExitCode.failure;
  });
}

async function takeAnswer(file: string, text: string, values: Values): Promise<number> {
  const path = rosterPath(values);
  const taken = await withRosterLock(path, async () => {
    const folder = await readRosterFolder(path);
    const parsed = parseAnswer(file, text);
    return withSigning(values, folder.roster.name, (_, options) =>
      importAnswer(file, folder, parsed, options),
    );
  });
  if (values.json) return print(`${JSON.stringify(taken, null, 2)}\n`);
  say(`took ${counted(taken.certifications, 'certification')} from ${file}`);
  if (taken.skipped > 0)
    say(`left ${taken.skipped} out: they are here already, or the roster asks for them no more`);
  if (taken.roster === 'signed') say('the roster is signed');
  if (taken.roster === 'changed') {
    say(
      'the roster has changed since it was signed, and is not signed as it is now: spa-keys plan --export again',
    );
    return ExitCode.failure;
  }
  return ExitCode.ok;
}

async function isAgreedTo(): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new UsageError('nobody can be asked here whether to sign that; if it is right, add --yes');
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question('Sign that? [y/N] ')).trim());
  } finally {
    lines.close();
  }
}
