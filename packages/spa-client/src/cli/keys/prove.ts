import { readFileSync } from 'node:fs';
import { type Fingerprint, parseChallenge, signDetached } from 'spa-core';
import {
  ConfigError,
  ExitCode,
  formatOptions,
  type GnupgHome,
  listSigningKeys,
  type Option,
  parseCommandLine,
  UsageError,
} from 'spa-host';
import { openCertifyingKeys } from '../../roster/certifying-keys.ts';
import { fullFingerprint } from '../../roster/proven-key.ts';
import { print, say } from '../program.ts';
import { gnupgHomes, HELP_OPTION, SECRETS_OPTIONS } from './common-options.ts';
import { askPassphrase } from './passphrase.ts';

/**
 * `spa-keys prove`: signs a challenge with one's own key.
 * @throws ConfigError, UsageError
 */
export async function proveVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(help());
  const [file, ...others] = positionals;
  if (file === undefined || others.length > 0) {
    throw new UsageError('which challenge? spa-keys prove FILE; - reads it from standard input');
  }
  const text = readText(file);
  if (parseChallenge(text) === null) {
    throw new ConfigError({ file }, 'is no challenge of spa-keys, and nothing else is signed here');
  }
  const named = gnupgHomes(values);
  const homes = named.length > 0 || values.secrets !== undefined ? named : [DEFAULT_HOME];
  const fingerprint =
    values.fingerprint === undefined
      ? await onlyKey(homes)
      : fullFingerprint('--fingerprint', values.fingerprint);
  const keys = openCertifyingKeys({
    secretsFolder: values.secrets ?? null,
    homes,
    askPassphrase,
  });
  try {
    const nowSeconds = Math.floor(Date.now() / 1000);
    const found = await keys.findSigner(
      fingerprint,
      'spa-keys: to prove that the key is yours with',
      nowSeconds,
    );
    if (found === null) {
      throw new ConfigError(
        { file: 'secret keys' },
        `no secret key of ${fingerprint} that may sign is here; name its place with --secrets or --gnupg-home`,
      );
    }
    print(await signDetached(found.key, Buffer.from(text), nowSeconds));
    say(
      `Signed with ${fingerprint}. Send that back, and your certificate: gpg --armor --export ${fingerprint}`,
    );
    return ExitCode.ok;
  } finally {
    keys.close();
  }
}

const DEFAULT_HOME = { directory: null, program: 'gpg' };

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { long: 'fingerprint', argument: 'FULL', help: 'the 40 digits of your key (the only secret key of the GnuPG home)' },
  ...SECRETS_OPTIONS,
  HELP_OPTION,
] as const satisfies readonly Option[];

async function onlyKey(homes: readonly GnupgHome[]): Promise<Fingerprint> {
  const lists = await Promise.all(homes.map((home) => listSigningKeys(home)));
  const all = lists.flat().map(({ certificate }) => certificate);
  const [only, ...more] = all;
  if (only !== undefined && more.length === 0) return fullFingerprint('--fingerprint', only);
  throw new UsageError(
    all.length === 0
      ? 'with which key? add --fingerprint FULL, and where it is: --gnupg-home DIR or --secrets DIR'
      : `with which key? add --fingerprint and one of ${all.join(', ')}`,
  );
}

function readText(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new ConfigError({ file }, `cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

function help(): string {
  return `spa-keys prove: sign a challenge with your key, so that it is taken for yours

Usage: spa-keys prove FILE [options]

  spa-keys prove for-alice.txt > answer.asc
  spa-keys prove for-alice.txt --fingerprint '0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567' > answer.asc
  gpg --clearsign for-alice.txt                without spa-keys

It signs nothing but such a challenge (spa-keys challenge makes one). Without --gnupg-home and --secrets the key is looked for
in gpg's own home; gpg-agent asks for its passphrase, or for the card.

${formatOptions(OPTIONS)}

Exit status: 0, 64 the command line is wrong, 78 the challenge or the key cannot be used.
`;
}
