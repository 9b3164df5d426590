import { readFileSync } from 'node:fs';
import {
  type Fingerprint,
  KEY_USES,
  type MadeKey,
  makeKey,
  type RawCertificate,
  type Roster,
  readRawCertificates,
} from 'spa-core';
import {
  ConfigError,
  ExitCode,
  exportOneCertificate,
  formatOptions,
  type Option,
  parseCommandLine,
  UsageError,
} from 'spa-host';
import { entryOf, type NewParty } from '../../roster/add-party.ts';
import { makeKeyOnBastion } from '../../roster/bastion-key.ts';
import { provenCertificate } from '../../roster/challenge-file.ts';
import { type ChangedRoster, changeRoster, type RosterChange } from '../../roster/change-roster.ts';
import { throughSsh } from '../../roster/far-host.ts';
import { ownWordsOf } from '../../roster/names-for-keys.ts';
import { certificateIn, certificatesIn, fullFingerprint, mustBeFit } from '../../roster/proven-key.ts';
import { editRoster, type RosterValue } from '../../roster/roster-edit.ts';
import { parseRoster, ROSTER_FILE } from '../../roster/roster-file.ts';
import { type RosterFolder, readRosterText } from '../../roster/roster-folder.ts';
import { changeSecrets, secretKeyFile } from '../../roster/secrets-folder.ts';
import { print, say } from '../program.ts';
import {
  gnupgHomes,
  HELP_OPTION,
  JSON_OPTION,
  ROSTER_OPTION,
  rosterPath,
  SECRETS_OPTIONS,
  secretsPath,
} from './common-options.ts';
import { endOfNewKey } from './days.ts';
import { farPlacesOf } from './far-options.ts';
import { newPassphrase } from './passphrase.ts';
import { withSecretKeys } from './secret-keys.ts';

/**
 * `spa-keys add`: enters an operator or a bastion.
 * @throws ConfigError, UsageError, FolderBusyError
 */
export async function addVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(help());
  const [kind, name, ...others] = positionals;
  if ((kind !== 'operator' && kind !== 'bastion') || name === undefined || others.length > 0) {
    throw new UsageError('whom? spa-keys add operator NAME, or spa-keys add bastion NAME; --help says more');
  }
  refuseForeignOptions(kind, values);
  const nowSeconds = Math.floor(Date.now() / 1000);
  const path = rosterPath(values);
  const { name: rosterName } = parseRoster(`${path}/${ROSTER_FILE}`, readRosterText(path));
  const secretsFolder = secretsPath(values, rosterName);
  const asked = kindOfKey(values);
  const made = asked === 'on' ? await keyMadeThere(name, values, nowSeconds) : null;
  const settings = kind === 'operator' ? operatorSettings(values) : bastionSettings(name, values);
  const party = (certificate: RawCertificate): NewParty => ({
    kind,
    name,
    certificate,
    settings: kind === 'operator' ? { ...ownWords(certificate), ...settings } : settings,
  });
  const changed = await withSecretKeys(values, rosterName, (keys) =>
    changeRoster(path, keys, nowSeconds, async (folder) => {
      if (asked === 'make') {
        const here = await makeKey(await keyToMake(kind, name, values, nowSeconds));
        const change = entryOf(folder.roster, [party(here.certificate)]);
        mustBeRoster(folder, change);
        await changeSecrets(secretsFolder, keyFile(here));
        return change;
      }
      const { certificate, usedRequest } =
        made ?? (await givenCertificate(kind, name, values, folder, nowSeconds));
      const change = entryOf(folder.roster, [party(certificate)]);
      mustBeRoster(folder, change);
      const { edits, files } = change;
      return {
        edits,
        files: new Map([...files, ...(usedRequest === null ? [] : [[usedRequest, null] as const])]),
      };
    }),
  );
  return tell(kind, name, changed, values.json === true);
}

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { long: 'make', help: 'make the secret key here: Ed25519 and Curve25519' },
  { long: 'rsa', help: 'with --make or --on: RSA of 3072 bits, for stock fwknop clients' },
  { long: 'days', argument: 'DAYS', help: 'with --make or --on: how long the key lasts (730; 0: for ever)' },
  { long: 'passphrase', help: 'with --make: ask for a passphrase that protects the key' },
  { long: 'on', argument: 'HOST', help: 'bastion: make its key there by ssh, with its own gpg; the secret key stays there' },
  { long: 'ssh', argument: 'PROGRAM', help: 'with --on: instead of ssh' },
  { long: 'sudo', help: 'with --on: whoever logs in there is not root' },
  { long: 'import', argument: 'FILE', help: 'take the certificate from this file; with --fingerprint or --answer' },
  { long: 'import-gnupg', help: 'take it from a GnuPG home (--gnupg-home); with --fingerprint' },
  { long: 'fingerprint', argument: 'FULL', help: 'the 40 digits of the key, as its owner said them' },
  { long: 'answer', argument: 'FILE', help: 'what its owner made of spa-keys challenge NAME' },
  { long: 'full-name', argument: 'TEXT', help: 'operator: the name in full (as in the key)' },
  { long: 'email', argument: 'ADDRESS', help: 'operator: (as in the key)' },
  { long: 'role', argument: 'ROLE', many: true, help: 'operator: may be repeated' },
  { long: 'region', argument: 'REGION', many: true, help: 'bastion: where it is; operator: nowhere else than there, may be repeated' },
  { long: 'not-after', argument: 'DATE', help: 'operator: the last day, as in 2027-01-31' },
  { long: 'host', argument: 'HOST', help: 'bastion: its name or address' },
  { long: 'ssh-port', argument: 'PORT', help: 'bastion: (22)' },
  { long: 'spa-port', argument: 'PORT', help: 'bastion: (62201)' },
  { long: 'hmac', argument: 'WHERE', help: 'bastion: its HMAC secret: file:PATH among the secrets, or env:SPA_NAME (file:hmac/NAME, made for its first bundle)' },
  { long: 'capability', argument: 'WORD', many: true, help: 'bastion: spa-server (this daemon runs there, not fwknopd), ipv6' },
  ROSTER_OPTION,
  ...SECRETS_OPTIONS,
  JSON_OPTION,
  HELP_OPTION,
] as const satisfies readonly Option[];

type Values = ReturnType<typeof parseCommandLine<typeof OPTIONS>>['values'];

const OF_OPERATORS = ['full-name', 'email', 'role', 'not-after'] as const;
const OF_BASTIONS = ['on', 'host', 'ssh-port', 'spa-port', 'hmac', 'capability'] as const;
const OF_MADE_KEYS = ['rsa', 'days', 'passphrase'] as const;

function refuseForeignOptions(kind: 'operator' | 'bastion', values: Values): void {
  const foreign = (kind === 'operator' ? OF_BASTIONS : OF_OPERATORS).find(
    (name) => values[name] !== undefined,
  );
  if (foreign !== undefined) throw new UsageError(`--${foreign} is not for ${kind}s`);
  const elsewhere = values.on === undefined ? OF_MADE_KEYS : (['passphrase'] as const);
  const idle = values.make ? undefined : elsewhere.find((name) => values[name] !== undefined);
  if (idle !== undefined) throw new UsageError(`--${idle} goes with --make`);
  if (kind !== 'bastion') return;
  if (values.region?.length !== 1 || values.host === undefined) {
    throw new UsageError('a bastion is somewhere; add --region REGION and --host HOST');
  }
}

/** Exactly one way to a key. */
function kindOfKey(values: Values): 'make' | 'on' | 'import' | 'import-gnupg' {
  const ways = (['make', 'on', 'import', 'import-gnupg'] as const).filter((way) => values[way] !== undefined);
  const [way] = ways;
  if (way === undefined || ways.length > 1) {
    throw new UsageError('which key? give one of --make, --on HOST, --import FILE and --import-gnupg');
  }
  const { fingerprint, answer } = values;
  if (way === 'make' || way === 'on') {
    if (fingerprint !== undefined || answer !== undefined) {
      throw new UsageError(`--${way} makes a new key; --fingerprint and --answer are for one that is there`);
    }
    return way;
  }
  if (fingerprint === undefined && (answer === undefined || way === 'import-gnupg')) {
    throw new UsageError(
      way === 'import'
        ? 'whose key is it? add --fingerprint FULL, as its owner said it, or --answer FILE to spa-keys challenge'
        : 'which key? add --fingerprint FULL, as its owner said it',
    );
  }
  return way;
}

async function keyToMake(
  kind: 'operator' | 'bastion',
  name: string,
  values: Values,
  nowSeconds: number,
): Promise<Parameters<typeof makeKey>[0]> {
  const email = values.email === undefined ? '' : ` <${values.email}>`;
  return {
    userId: kind === 'operator' ? `${values['full-name'] ?? name}${email}` : `SPA bastion ${name}`,
    expiresAtSeconds: endOfNewKey(kind, values.days, nowSeconds),
    nowSeconds,
    passphrase: values.passphrase ? await newPassphrase(name) : null,
    algorithm: values.rsa ? 'rsa3072' : 'ecc',
  };
}

/** The secret key never leaves the bastion. */
async function keyMadeThere(
  name: string,
  values: Values,
  nowSeconds: number,
): Promise<{ readonly certificate: RawCertificate; readonly usedRequest: null }> {
  const { userId, expiresAtSeconds, algorithm } = await keyToMake('bastion', name, values, nowSeconds);
  const host = { name, host: values.on ?? '', sshPort: Number(values['ssh-port'] ?? 22) };
  const capabilities = values.capability?.includes('spa-server') ? (['spa-server'] as const) : [];
  const certificate = await makeKeyOnBastion(
    { ...host, capabilities },
    { userId, expiresAtSeconds, algorithm, known: [] },
    {
      transport: throughSsh(values.ssh ?? 'ssh', { user: null, sudo: values.sudo === true }),
      places: farPlacesOf({}),
    },
  );
  // It was made after this run began.
  mustBeFit(name, certificate, KEY_USES.bastion, Math.floor(Date.now() / 1000));
  return { certificate, usedRequest: null };
}

/** A setting that is wrong must not leave secrets behind. @throws ConfigError */
function mustBeRoster({ path, text }: RosterFolder, { edits }: RosterChange): void {
  parseRoster(`${path}/${ROSTER_FILE}`, editRoster(text, edits));
}

function keyFile({ certificate, secretKey }: MadeKey): ReadonlyMap<string, string> {
  return new Map([[secretKeyFile(certificate.fingerprint), secretKey]]);
}

async function givenCertificate(
  kind: 'operator' | 'bastion',
  name: string,
  values: Values,
  folder: RosterFolder,
  nowSeconds: number,
): Promise<{ readonly certificate: RawCertificate; readonly usedRequest: string | null }> {
  const { import: file, fingerprint: text, answer } = values;
  const fingerprint = text === undefined ? null : fullFingerprint('--fingerprint', text);
  const where = file ?? 'the GnuPG home';
  const candidates =
    file === undefined
      ? fingerprint === null
        ? []
        : [await fromGnupg(values, fingerprint)]
      : fingerprint === null
        ? certificatesIn(file)
        : [certificateIn(file, fingerprint)];
  const proof =
    answer === undefined
      ? null
      : await provenCertificate(folder.path, name, readAnswer(answer), candidates, nowSeconds);
  const certificate = proof?.certificate ?? candidates[0];
  if (certificate === undefined) throw new TypeError('no certificate where one was found');
  mustBeFit(where, certificate, KEY_USES[kind], nowSeconds);
  return { certificate, usedRequest: proof?.request ?? null };
}

async function fromGnupg(values: Values, fingerprint: Fingerprint): Promise<RawCertificate> {
  const named = gnupgHomes(values);
  const homes = named.length > 0 ? named : [{ directory: null, program: 'gpg' }];
  let failure: unknown = null;
  for (const home of homes) {
    try {
      const [raw] = readRawCertificates(await exportOneCertificate(home, fingerprint));
      if (raw?.fingerprint === fingerprint) return raw;
    } catch (error) {
      failure = error;
    }
  }
  throw failure ?? new ConfigError({ file: 'the GnuPG home' }, `has no key ${fingerprint}`);
}

function readAnswer(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new ConfigError({ file }, `cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

type Settings = Readonly<Record<string, RosterValue | undefined>>;

function operatorSettings(values: Values): Settings {
  return withoutAbsent({
    name: values['full-name'],
    email: values.email,
    roles: values.role,
    regions: values.region,
    'not-after': values['not-after'],
  });
}

function bastionSettings(name: string, values: Values): Settings {
  return withoutAbsent({
    region: values.region?.[0],
    host: values.host,
    'ssh-port': portOf('--ssh-port', values['ssh-port']),
    'spa-port': portOf('--spa-port', values['spa-port']),
    hmac: values.hmac === `file:hmac/${name}` ? undefined : values.hmac,
    capabilities: values.capability,
  });
}

function portOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,4}$/.test(text))
    throw new UsageError(`${option} "${text}" is no port; write a number from 1 to 65535`);
  return Number(text);
}

/** What the owner calls himself in his key. */
function ownWords(certificate: RawCertificate): Settings {
  const { fullName, email } = ownWordsOf(certificate, new Set());
  return withoutAbsent({ name: fullName, email });
}

function withoutAbsent(settings: Settings): Settings {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

function tell(
  kind: 'operator' | 'bastion',
  name: string,
  { roster, signature }: ChangedRoster,
  asJson: boolean,
): number {
  const { fingerprint } = keyOf(roster, kind, name);
  if (asJson) {
    print(`${JSON.stringify({ kind, name, fingerprint, version: roster.version, signature })}\n`);
    return ExitCode.ok;
  }
  print(`${kind} ${name}: ${fingerprint}\n`);
  say(
    signature === 'lacking'
      ? `The roster is now version ${roster.version}, and nobody has signed it: the authority's secret key is not here. Next: spa-keys sign`
      : `The roster is now version ${roster.version}. Next: spa-keys sign`,
  );
  return ExitCode.ok;
}

function keyOf(
  { operators, bastions }: Roster,
  kind: 'operator' | 'bastion',
  name: string,
): { readonly fingerprint: string } {
  const party = [...(kind === 'operator' ? operators : bastions)].find((one) => one.name === name);
  if (party === undefined) throw new TypeError(`${name} was not entered`);
  return party.key;
}

function help(): string {
  return `spa-keys add: enter an operator or a bastion into the roster

Usage: spa-keys add operator NAME --import FILE --fingerprint FULL [options]
       spa-keys add operator NAME --import FILE --answer FILE [options]
       spa-keys add operator NAME --import-gnupg --fingerprint FULL [options]
       spa-keys add bastion NAME --region REGION --host HOST [the same ways to a key] [options]
       spa-keys add operator|bastion NAME --make [options]

  spa-keys add operator alice --import alice.asc --fingerprint '0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567'
  spa-keys add operator bob --import bob.asc --answer bob.sig --role oncall
  spa-keys add bastion us-east-1a --region us-east-1 --host bastion.us-east-1.example.org --capability spa-server --make
  spa-keys add bastion us-east-1b --region us-east-1 --host b.us-east-1.example.org --on root@b.us-east-1.example.org
                                   its key is made there, and the secret half stays there

A key that is there is taken by its full fingerprint, which its owner tells you, or with his answer to a challenge (spa-keys
challenge NAME). An e-mail address or a key ID is not enough: anybody can make a key that has it. Keys that are expired,
revoked, weak, signed with SHA-1 or stripped of something are refused.

Secret keys are best made where they are used, and only the certificate sent. --make is for those who rather have it made here:
it is then among the secrets, mode 0600, and goes nowhere unless spa-keys bundle is told so.

${formatOptions(OPTIONS)}

Exit status: 0, 64 the command line is wrong, 78 the roster or the key is wrong.
`;
}
