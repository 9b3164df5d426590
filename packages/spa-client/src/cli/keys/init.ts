import { existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  armorCertificates,
  type Fingerprint,
  faultOf,
  KEY_USES,
  makeKey,
  type RawCertificate,
  type Roster,
  readRawCertificates,
} from 'spa-core';
import {
  ConfigError,
  ExitCode,
  exportCertificates,
  formatOptions,
  type GnupgHome,
  type Option,
  parseCommandLine,
  UsageError,
} from 'spa-host';
import { entryOf, type NewParty } from '../../roster/add-party.ts';
import { signText } from '../../roster/change-roster.ts';
import { changeFiles } from '../../roster/change-set.ts';
import { withFolderLock } from '../../roster/folder-lock.ts';
import { type FwknopHost, readFwknopHost } from '../../roster/fwknop-host.ts';
import { ownWordsOf } from '../../roster/names-for-keys.ts';
import { certificateIn, fullFingerprint, mustBeFit } from '../../roster/proven-key.ts';
import { editRoster, type RosterEdit } from '../../roster/roster-edit.ts';
import { certificateFile, parseRoster, ROSTER_FILE } from '../../roster/roster-file.ts';
import { formatRosterSchema, isRosterName, SCHEMA_FILE } from '../../roster/roster-schema.ts';
import { filesOfSignatures, NO_SIGNATURES } from '../../roster/roster-signatures.ts';
import { changeSecrets, secretKeyFile } from '../../roster/secrets-folder.ts';
import { startingRoster } from '../../roster/starting-roster.ts';
import { print, printable, say } from '../program.ts';
import {
  gnupgHomes,
  HELP_OPTION,
  ROSTER_OPTION,
  rosterPath,
  SECRETS_OPTIONS,
  secretsPath,
} from './common-options.ts';
import { endOfNewKey } from './days.ts';
import { newPassphrase } from './passphrase.ts';
import { withSecretKeys } from './secret-keys.ts';

/**
 * `spa-keys init`: starts a roster, from nothing, from a GnuPG home or from a host with fwknop.
 * @throws ConfigError, UsageError, FolderBusyError
 */
export async function initVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(help());
  if (positionals.length > 0)
    throw new UsageError(`what is "${positionals[0]}"? spa-keys init takes options only`);
  const nowSeconds = Math.floor(Date.now() / 1000);
  const source = await readSource(values);
  if (source !== null && values.operator === undefined && values.bastion === undefined) {
    return print(sourceTable(source, values, nowSeconds));
  }
  const path = rosterPath(values);
  const name = values.name ?? basename(path);
  if (!isRosterName(name)) {
    throw new UsageError(
      `"${name}" is no name for a roster; add --name and letters, digits, dots and hyphens`,
    );
  }
  const topology = topologyOf(values);
  const authority = await authorityOf(values, nowSeconds);
  if (topology === 'authority' && authority === null) {
    throw new UsageError(
      'whose key certifies all others? add --make-authority NAME, or --authority-fingerprint FULL with --authority-name NAME; or --topology mutual',
    );
  }
  const start = startingRoster({
    name,
    topology,
    authority: authority === null ? null : { name: authority.name, fingerprint: authority.fingerprint },
  });
  const empty = parseRoster(ROSTER_FILE, start);
  const parties = source === null ? [] : partiesIn(source, values, nowSeconds);
  const { edits, files } = entryOf(empty, parties);
  const text = editRoster(start, [...edits, ...rulesOf(source, parties)]);
  const roster = parseRoster(ROSTER_FILE, text);
  const secrets =
    authority?.secretKey == null
      ? []
      : [[secretKeyFile(authority.fingerprint), authority.secretKey] as const];
  mkdirSync(path, { recursive: true, mode: 0o700 });
  await withFolderLock(path, async () => {
    if (existsSync(join(path, ROSTER_FILE))) {
      throw new ConfigError(
        { file: join(path, ROSTER_FILE) },
        'is there already; spa-keys add enters more, or --roster names another folder',
      );
    }
    await changeSecrets(secretsPath(values, name), new Map(secrets));
    const certificate = authority?.certificate ?? null;
    const certificates = new Map(certificate === null ? [] : [[certificate.fingerprint, certificate]]);
    const { made } = await withSecretKeys(values, name, (keys) =>
      signText({ roster, text, certificates }, keys, nowSeconds),
    );
    const all: [string, string | Buffer | null][] = [
      ...files,
      [ROSTER_FILE, text],
      [SCHEMA_FILE, formatRosterSchema()],
      ...filesOfSignatures(made, NO_SIGNATURES),
    ];
    if (authority?.certificate != null)
      all.push([certificateFile('authority', ''), armorCertificates([authority.certificate])]);
    await changeFiles(path, new Map(all));
  });
  return tell(path, roster, authority, source?.fwknop ?? null);
}

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { long: 'name', argument: 'NAME', help: "the roster's name (its folder's)" },
  { long: 'topology', argument: 'WORD', help: 'authority: one key certifies all others (so without this option); mutual: fwknop\'s way' },
  { long: 'make-authority', argument: 'NAME', help: "make the organisation's key here, with this name in it" },
  { long: 'passphrase', help: 'with --make-authority: ask for a passphrase that protects the key' },
  { long: 'authority-fingerprint', argument: 'FULL', help: "the 40 digits of the organisation's key, which is elsewhere or in a GnuPG home" },
  { long: 'authority-name', argument: 'NAME', help: "the organisation's name (as in the key)" },
  { long: 'authority-import', argument: 'FILE', help: 'its certificate (from the GnuPG homes)' },
  { long: 'from-gnupg', argument: 'DIR', help: "take keys of this GnuPG home (default: gpg's own); without the next two it only shows them" },
  { long: 'operator', argument: 'NAME=FULL', many: true, help: 'take the key with this fingerprint for an operator' },
  { long: 'bastion', argument: 'NAME=FULL,REGION,HOST', many: true, help: 'take the key with this fingerprint for a bastion' },
  { long: 'from-fwknop', argument: 'DIR', help: 'the signers, ports and times of a host\'s access.conf; the keys are those of its GPG_HOME_DIR or --from-gnupg' },
  ROSTER_OPTION,
  ...SECRETS_OPTIONS,
  HELP_OPTION,
] as const satisfies readonly Option[];

type Values = ReturnType<typeof parseCommandLine<typeof OPTIONS>>['values'];

/** Keys that are there before a roster is. */
interface Source {
  readonly certificates: readonly RawCertificate[];
  readonly fwknop: FwknopHost | null;
}

interface AuthorityKey {
  readonly name: string;
  readonly fingerprint: Fingerprint;
  /** Null: it is not here. */
  readonly certificate: RawCertificate | null;
  /** Armored; null: it was not made here. */
  readonly secretKey: string | null;
}

async function readSource(values: Values): Promise<Source | null> {
  const { 'from-gnupg': gnupg, 'from-fwknop': folder } = values;
  if (gnupg === undefined && folder === undefined) {
    if (values.operator !== undefined || values.bastion !== undefined) {
      throw new UsageError('--operator and --bastion go with --from-gnupg or --from-fwknop');
    }
    return null;
  }
  const fwknop = folder === undefined ? null : readFwknopHost(folder);
  const directories = new Set(
    gnupg !== undefined ? [gnupg] : (fwknop?.stanzas ?? []).flatMap(({ gnupgHome }) => gnupgHome ?? []),
  );
  if (directories.size === 0) {
    throw new UsageError('where are the keys? access.conf names no GPG_HOME_DIR; add --from-gnupg DIR');
  }
  const certificates = new Map<Fingerprint, RawCertificate>();
  for (const directory of directories) {
    const home: GnupgHome = { directory: directory === 'default' ? null : directory, program: 'gpg' };
    if (home.directory !== null && !existsSync(home.directory)) {
      throw new ConfigError({ file: home.directory }, 'there is no such GnuPG home');
    }
    const data = await exportCertificates(home, 'all');
    for (const raw of data.length === 0 ? [] : readRawCertificates(data))
      certificates.set(raw.fingerprint, raw);
  }
  return { certificates: [...certificates.values()], fwknop };
}

function topologyOf({ topology }: Values): Roster['topology'] {
  if (topology === undefined || topology === 'authority') return 'authority';
  if (topology === 'mutual') return 'mutual';
  throw new UsageError(`--topology "${topology}" is not known; write authority or mutual`);
}

async function authorityOf(values: Values, nowSeconds: number): Promise<AuthorityKey | null> {
  const { 'make-authority': newName, 'authority-fingerprint': text } = values;
  if (newName !== undefined && text !== undefined) {
    throw new UsageError('--make-authority and --authority-fingerprint contradict each other; give one');
  }
  if (newName !== undefined) {
    const passphrase = values.passphrase ? await newPassphrase(newName) : null;
    const expiresAtSeconds = endOfNewKey('authority', undefined, nowSeconds);
    const made = await makeKey({
      userId: newName,
      expiresAtSeconds,
      nowSeconds,
      passphrase,
      algorithm: 'ecc',
    });
    const { certificate, secretKey } = made;
    const { fullName = newName } = ownWordsOf(certificate, new Set());
    return { name: fullName, fingerprint: certificate.fingerprint, certificate, secretKey };
  }
  if (text === undefined) return null;
  const fingerprint = fullFingerprint('--authority-fingerprint', text);
  const certificate = await authorityCertificate(values, fingerprint);
  if (certificate !== null)
    mustBeFit("the authority's certificate", certificate, KEY_USES.authority, nowSeconds);
  const name =
    values['authority-name'] ??
    (certificate === null ? undefined : ownWordsOf(certificate, new Set()).fullName);
  if (name === undefined) throw new UsageError('what is the organisation called? add --authority-name NAME');
  return { name, fingerprint, certificate, secretKey: null };
}

async function authorityCertificate(
  values: Values,
  fingerprint: Fingerprint,
): Promise<RawCertificate | null> {
  const file = values['authority-import'];
  if (file !== undefined) return certificateIn(file, fingerprint);
  for (const home of gnupgHomes(values)) {
    const data = await exportCertificates(home, 'all');
    const found =
      data.length === 0
        ? undefined
        : readRawCertificates(data).find((one) => one.fingerprint === fingerprint);
    if (found !== undefined) return found;
  }
  return null;
}

function partiesIn(source: Source, values: Values, nowSeconds: number): readonly NewParty[] {
  const find = (option: string, text: string): RawCertificate => {
    const fingerprint = fullFingerprint(option, text);
    const raw = source.certificates.find((one) => one.fingerprint === fingerprint);
    if (raw === undefined) throw new UsageError(`${option}: the GnuPG home has no key ${fingerprint}`);
    return raw;
  };
  const operators = (values.operator ?? []).map((text): NewParty => {
    const [name, fingerprint] = split(text, '--operator', 'NAME=FULL');
    const certificate = find(`--operator ${name}`, fingerprint);
    mustBeFit(`--operator ${name}`, certificate, KEY_USES.operator, nowSeconds);
    const { fullName, email } = ownWordsOf(certificate, new Set());
    return { kind: 'operator', name, certificate, settings: { name: fullName, email } };
  });
  const bastions = (values.bastion ?? []).map((text): NewParty => {
    const [name, rest] = split(text, '--bastion', 'NAME=FULL,REGION,HOST');
    const [fingerprint = '', region, host, ...more] = rest.split(',');
    if (region === undefined || host === undefined || more.length > 0) {
      throw new UsageError(`--bastion "${text}" lacks something; write NAME=FULL,REGION,HOST`);
    }
    const certificate = find(`--bastion ${name}`, fingerprint);
    mustBeFit(`--bastion ${name}`, certificate, KEY_USES.bastion, nowSeconds);
    const spaPort = source.fwknop?.spaPort ?? undefined;
    return {
      kind: 'bastion',
      name,
      certificate,
      settings: { region, host, 'spa-port': spaPort === 62_201 ? undefined : spaPort },
    };
  });
  return [...operators, ...bastions];
}

function split(text: string, option: string, form: string): readonly [name: string, rest: string] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`${option} "${text}" names nobody; write ${form}`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** What access.conf gives each of its signers, as rules; those that nobody confirmed by --operator are left out. */
function rulesOf(source: Source | null, parties: readonly NewParty[]): readonly RosterEdit[] {
  if (source?.fwknop == null) return [];
  const operators = new Map(
    parties.filter(({ kind }) => kind === 'operator').map((one) => [one.certificate.fingerprint, one.name]),
  );
  const bastions = parties.filter(({ kind }) => kind === 'bastion').map(({ name }) => name);
  const rules = source.fwknop.stanzas.flatMap(({ signers, ports, timeoutSeconds }) => {
    const who = new Set(
      signers.flatMap(({ text, fingerprint }) => operators.get(fingerprint ?? matching(source, text)) ?? []),
    );
    return who.size === 0
      ? []
      : [
          {
            who: [...who],
            where: bastions.length === 0 ? ['everywhere'] : bastions,
            ports,
            timeout: timeoutSeconds,
          },
        ];
  });
  return rules.length === 0 ? [] : [{ path: ['access'], value: rules }];
}

/** The one key that a key ID of access.conf fits: good enough to say which rule is meant by a key that was given in full. */
function matching({ certificates }: Source, text: string): Fingerprint {
  const hex = text.replace(/^0x/i, '').toUpperCase();
  const fits = certificates.filter(
    ({ primary, subkeys }) =>
      primary.fingerprint.endsWith(hex) || subkeys.some(({ key }) => key.fingerprint.endsWith(hex)),
  );
  const isKeyId = /^([0-9A-F]{8}|[0-9A-F]{16})$/.test(hex);
  return (isKeyId && fits.length === 1 ? fits[0]?.fingerprint : undefined) ?? ('' as Fingerprint);
}

/** Keys that access.conf lets in; none if there is no access.conf. */
function signersOf(source: Source): ReadonlySet<Fingerprint> {
  const signers = (source.fwknop?.stanzas ?? []).flatMap((stanza) => stanza.signers);
  return new Set(signers.map(({ text, fingerprint }) => fingerprint ?? matching(source, text)));
}

/** What could be taken, and how to say so: nothing is taken that nobody named in full. */
function sourceTable(source: Source, values: Values, nowSeconds: number): string {
  const taken = new Set<string>();
  const rows = source.certificates.map((raw) => {
    const { shortName } = ownWordsOf(raw, taken);
    taken.add(shortName);
    const fault = faultOf(raw, nowSeconds, { uses: ['certify', 'sign'] });
    const userId = raw.users.find((user) => user.userId !== null)?.userId ?? '';
    return {
      raw,
      shortName,
      fault,
      line: `  ${raw.fingerprint}  ${printable(userId)}${fault === null ? '' : `  (${fault.state}: ${fault.reason})`}`,
    };
  });
  const named = (source.fwknop?.stanzas ?? []).flatMap(({ signers }) =>
    signers.map(({ place, text, fingerprint }) =>
      fingerprint !== null
        ? `  ${place}: ${fingerprint}`
        : `  ${place}: "${printable(text)}" is no full fingerprint; ${hint(matching(source, text))}`,
    ),
  );
  const signers = signersOf(source);
  const isCandidate = ({ fingerprint }: RawCertificate): boolean =>
    signers.size === 0 || signers.has(fingerprint);
  const usable = rows.filter(({ raw, fault }) => fault === null && isCandidate(raw));
  const where = [
    ...(values['from-fwknop'] === undefined ? [] : [`--from-fwknop ${values['from-fwknop']}`]),
    ...(values['from-gnupg'] === undefined ? [] : [`--from-gnupg ${values['from-gnupg']}`]),
  ].join(' ');
  const orders = usable
    .map(({ raw, shortName }) => `    --operator ${shortName}=${raw.fingerprint}`)
    .join(' \\\n');
  return `Keys that are there:
${rows.map(({ line }) => line).join('\n') || '  none'}
${named.length === 0 ? '' : `\nWhom access.conf lets in:\n${named.join('\n')}\n`}${(source.fwknop?.remarks ?? []).map((line) => `${line}\n`).join('')}
Nothing was written. Ask the owners whether these fingerprints are theirs, and say who is who:

  spa-keys init ${where} \\
${orders || '    --operator NAME=FULL'}

A bastion among them: --bastion NAME=FULL,REGION,HOST. And how they are certified: --topology mutual, or --make-authority NAME.
`;
}

function hint(fingerprint: string): string {
  return fingerprint === ''
    ? 'no single key here fits it'
    : `the key here that fits it is ${fingerprint}: ask its owner`;
}

function tell(
  path: string,
  roster: Roster,
  authority: AuthorityKey | null,
  fwknop: FwknopHost | null,
): number {
  for (const remark of fwknop?.remarks ?? []) say(remark);
  print(`${join(path, ROSTER_FILE)}: ${roster.name}, topology ${roster.topology}\n`);
  if (authority?.secretKey != null) {
    say(
      `The authority's key is ${authority.fingerprint}. Its secret half is among the secrets, here only: keep a copy off line.`,
    );
  }
  if (authority !== null && authority.certificate === null) {
    say(`The authority's certificate is not here: put it into ${certificateFile('authority', '')}`);
  }
  say(
    'Next: spa-keys add operator NAME, spa-keys add bastion NAME; then spa-keys sign. Put the folder into git.',
  );
  return ExitCode.ok;
}

function help(): string {
  return `spa-keys init: start a roster

Usage: spa-keys init [options]

  spa-keys init --name example --make-authority 'Example Org'
  spa-keys init --name example --authority-fingerprint FULL --gnupg-home default     the key is in gpg's home, or on a card
  spa-keys init --name example --topology mutual
  spa-keys init --from-gnupg default                   which keys are there, and how to go on
  spa-keys init --from-fwknop /etc/fwknop --topology mutual --operator alice=FULL --bastion b1=FULL,us-east-1,HOST

It writes roster.yaml, which explains itself, roster.schema.json for editors, and certificates/. Secret keys stay where they are,
or are made in the folder of the secrets, mode 0600: never in the roster's folder, which is meant for git.

Of a GnuPG home and of access.conf it takes only keys that you name by their full fingerprint. Without --operator and --bastion
it shows what is there, and writes nothing.

${formatOptions(OPTIONS)}

Exit status: 0, 64 the command line is wrong, 78 there is a roster already, or a key is refused.
`;
}
