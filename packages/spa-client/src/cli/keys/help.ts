import { KEYS_VERBS } from './verbs.ts';

/** What `spa-keys --help` prints. */
export function spaKeysHelp(): string {
  return `spa-keys: the keys of a fleet of bastions, and who has certified whom, from one file in git

Usage: spa-keys VERB [options] ...

A fleet from nothing, with one key of the organisation that certifies all others:
  spa-keys init --name example --make-authority 'Example Org'
  spa-keys add operator alice --import alice.asc --fingerprint 0123456789ABCDEF0123456789ABCDEF01234567
  spa-keys add bastion us-east-1a --region us-east-1 --host bastion.us-east-1.example.org --make
  spa-keys plan                what is missing, expired, weak
  spa-keys sign                makes the certifications that are missing, and signs the roster
  spa-keys push --dry-run      what each bastion would get; without --dry-run it gets it

The roster is roster.yaml in the current folder (--roster DIR: another one); spa-keys init writes one that explains itself.
Secret keys are never in that folder: see --secrets and --gnupg-home.

Verbs (spa-keys VERB --help says more):
${formatVerbs()}

  -h, --help     print this and exit
  -V, --version  print the version and exit

Exit status: 0 done, or nothing to do; 1 something is not right yet (plan, verify), or was done in part;
64 the command line is wrong, 69 a bastion cannot be reached, 78 the roster or a key is wrong.
`;
}

function formatVerbs(): string {
  const left = KEYS_VERBS.map(({ name, usage }) => `  ${name} ${usage}`);
  const width = Math.max(...left.map((text) => text.length)) + 2;
  return KEYS_VERBS.map(({ help }, index) => `${left[index]?.padEnd(width)}${help}`).join('\n');
}
