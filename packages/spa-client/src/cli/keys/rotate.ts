import {
  type Bastion,
  certifiedUserId,
  type Fingerprint,
  KEY_USES,
  makeKey,
  type Party,
  type RawCertificate,
} from 'spa-core';
import { ConfigError, ExitCode, formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import { makeKeyOnBastion } from '../../roster/bastion-key.ts';
import { throughSsh, throughSshbh } from '../../roster/far-host.ts';
import { newHmacMaster } from '../../roster/hmac-masters.ts';
import { certificateIn, fullFingerprint, mustBeFit } from '../../roster/proven-key.ts';
import { ROSTER_FILE } from '../../roster/roster-file.ts';
import { partiesOf, type RosterFolder, readRosterFolder } from '../../roster/roster-folder.ts';
import { withRosterLock } from '../../roster/roster-lock.ts';
import { checkRotation, rotateKey } from '../../roster/rotate-key.ts';
import { changeSecrets, secretKeyFile } from '../../roster/secrets-folder.ts';
import { signRoster } from '../../roster/sign-roster.ts';
import { print, say } from '../program.ts';
import {
  HELP_OPTION,
  JSON_OPTION,
  ROSTER_OPTION,
  rosterPath,
  SECRETS_OPTIONS,
  secretsPath,
} from './common-options.ts';
import { endOfNewKey, inDays, readDays } from './days.ts';
import { farPlacesOf } from './far-options.ts';
import { newPassphrase } from './passphrase.ts';
import { nameOf, reportSigning, signingJson, withSigning } from './signing.ts';

// biome-ignore format: a table, one option a row
const OPTIONS = [
  { long: 'make', help: 'make the new secret key here: Ed25519 and Curve25519' },
  { long: 'rsa', help: 'with --make or --on: RSA of 3072 bits, for stock fwknop clients' },
  { long: 'days', argument: 'DAYS', help: 'with --make or --on: how long the key lasts (730, the authority 3650; 0: for ever)' },
  { long: 'passphrase', help: 'with --make: ask for a passphrase that protects the key' },
  { long: 'on', argument: 'HOST', help: "bastion: make its new key there by ssh; its own name: through sshbh. The secret key stays there" },
  { long: 'ssh', argument: 'PROGRAM', help: 'with --on: instead of ssh' },
  { long: 'rc-file', argument: 'FILE', help: "with --on NAME: sshbh's file (~/.fwknoprc)" },
  { long: 'sudo', help: 'with --on: whoever logs in there is not root' },
  { long: 'import', argument: 'FILE', help: 'take the new certificate from this file; with --fingerprint' },
  { long: 'fingerprint', argument: 'FULL', help: 'the 40 digits of the new key, as its owner said them' },
  { long: 'overlap', argument: 'DAYS', help: 'how long the old key still counts (30; 0: it is out at once)' },
  { long: 'hmac', help: "make a new HMAC secret for that bastion, and leave its key as it is" },
  ROSTER_OPTION,
  ...SECRETS_OPTIONS,
  JSON_OPTION,
  HELP_OPTION,
] as const satisfies readonly Option[];

type Values = ReturnType<typeof parseCommandLine<typeof OPTIONS>>['values'];

/**
 * `spa-keys rotate`: a new key for somebody, while the old one still counts for a while.
 * @throws ConfigError, UsageError, FolderBusyError
 */
export async function rotateVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(OPTIONS, argv);
  if (values.help) return print(HELP);
  const name = nameGiven(positionals);
  checkOptions(values);
  const path = rosterPath(values);
  return withRosterLock(path, async () => {
    const folder = await readRosterFolder(path);
    const party = partyOf(folder, name);
    return values.hmac ? rotateHmac(folder, party, values) : rotate(folder, party, values);
  });
}

const HELP = `spa-keys rotate: a new key, while the old one still counts for a while

Usage: spa-keys rotate NAME --make|--import FILE --fingerprint FULL [options]
       spa-keys rotate BASTION --on HOST [options]
       spa-keys rotate BASTION --hmac

  spa-keys rotate alice --import alice-2027.asc --fingerprint '0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567'
  spa-keys rotate us-east-1a --make --overlap 14
  spa-keys rotate us-east-1b --on us-east-1b      its new key is made there, reached through sshbh, and stays there
  spa-keys rotate authority --make

NAME is an operator or a bastion, or "authority". Who certified the old key certifies the new one, with the secret keys that
are here; spa-keys plan says what is missing. Until the overlap ends both keys are in what spa-keys bundle and push bring.
A key that may be in wrong hands has no overlap: --overlap 0; for an operator see also spa-keys revoke.

${formatOptions(OPTIONS)}

Exit status: 0; 1 done, but certifications wait for keys that are elsewhere; 64 the command line is wrong, 78 the roster or
the key is wrong.
`;

const DEFAULT_OVERLAP_DAYS = 30;

const OF_MADE_KEYS = ['rsa', 'days', 'passphrase'] as const;

/** `alice`, or `operator alice`. */
function nameGiven(positionals: readonly string[]): string {
  const [first, second, ...others] = positionals;
  const isKind = second !== undefined && ['operator', 'bastion', 'authority'].includes(first ?? '');
  const name = isKind ? (first === 'authority' ? first : second) : first;
  if (name === undefined || others.length > 0 || (second !== undefined && !isKind)) {
    throw new UsageError('whose key? spa-keys rotate NAME, or spa-keys rotate authority; --help says more');
  }
  return name;
}

function checkOptions(values: Values): void {
  const ways = [values.make, values.on, values.import, values.hmac].filter((way) => way !== undefined);
  if (ways.length !== 1) {
    throw new UsageError(
      'which key? give one of --make, --on HOST, --import FILE --fingerprint FULL, and --hmac',
    );
  }
  const far = (['ssh', 'rc-file', 'sudo'] as const).find((name) => values[name] !== undefined);
  if (far !== undefined && values.on === undefined) throw new UsageError(`--${far} goes with --on HOST`);
  if ((values.import === undefined) !== (values.fingerprint === undefined)) {
    throw new UsageError(
      '--import FILE and --fingerprint FULL, as the owner of the key said it, go together',
    );
  }
  if (values.make !== undefined) return;
  const elsewhere = values.on === undefined ? OF_MADE_KEYS : (['passphrase'] as const);
  const idle = elsewhere.find((name) => values[name] !== undefined);
  if (idle !== undefined) throw new UsageError(`--${idle} goes with --make`);
}

function partyOf({ roster }: RosterFolder, name: string): Party {
  const parties = partiesOf(roster);
  const found = parties.find((party) => (party.kind === 'authority' ? 'authority' : party.name) === name);
  if (found !== undefined) return found;
  throw new ConfigError({ file: ROSTER_FILE }, `there is nobody called "${name}"; spa-keys plan lists all`);
}

async function rotate(folder: RosterFolder, party: Party, values: Values): Promise<number> {
  const nowSeconds = Math.floor(Date.now() / 1000);
  const overlapDays =
    values.overlap === undefined ? DEFAULT_OVERLAP_DAYS : readDays('--overlap', values.overlap);
  const times = {
    nowSeconds,
    untilSeconds: overlapDays === 0 ? null : inDays(overlapDays, nowSeconds),
  };
  checkRotation(party, times);
  const next = await newCertificate(folder, party, values, nowSeconds);
  await rotateKey(folder, party, next, times);
  const changed = await readRosterFolder(folder.path);
  const result = await withSigning(values, folder.roster.name, (keys, options) =>
    signRoster(changed, keys, options),
  );
  if (values.json) {
    print(
      `${JSON.stringify({ name: nameOf(party), fingerprint: next.fingerprint, ...signingJson(result) }, null, 2)}\n`,
    );
  } else {
    print(`${nameOf(party)}: ${next.fingerprint}\n`);
    reportSigning(result);
    say('next: spa-keys bundle, spa-keys push');
  }
  return result.lacking.length === 0 && result.roster !== 'lacking' ? ExitCode.ok : ExitCode.failure;
}

async function newCertificate(
  folder: RosterFolder,
  party: Party,
  values: Values,
  nowSeconds: number,
): Promise<RawCertificate> {
  const { import: file, fingerprint } = values;
  if (file !== undefined) {
    const wanted: Fingerprint = fullFingerprint('--fingerprint', fingerprint ?? '');
    const certificate = certificateIn(file, wanted);
    mustBeFit(file, certificate, KEY_USES[party.kind], nowSeconds);
    return certificate;
  }
  const expiresAtSeconds = endOfNewKey(party.kind, values.days, nowSeconds);
  if (values.on !== undefined) return keyMadeThere(folder, party, values, expiresAtSeconds);
  const { certificate, secretKey } = await makeKey({
    userId: userIdFor(folder, party, nowSeconds),
    expiresAtSeconds,
    nowSeconds,
    passphrase: values.passphrase ? await newPassphrase(nameOf(party)) : null,
    algorithm: values.rsa ? 'rsa3072' : 'ecc',
  });
  const secrets = new Map([[secretKeyFile(certificate.fingerprint), secretKey]]);
  await changeSecrets(secretsPath(values, folder.roster.name), secrets);
  return certificate;
}

/** The secret key never leaves the bastion. */
async function keyMadeThere(
  folder: RosterFolder,
  party: Party,
  values: Values,
  expiresAtSeconds: number | null,
): Promise<RawCertificate> {
  const { on: host = '' } = values;
  if (party.kind !== 'bastion') throw new UsageError(`--on is for bastions, and ${nameOf(party)} is none`);
  const way = { user: null, sudo: values.sudo === true };
  const isByName = host === party.name && values.ssh === undefined;
  const certificate = await makeKeyOnBastion(
    { ...party, host },
    {
      userId: userIdFor(folder, party, Math.floor(Date.now() / 1000)),
      expiresAtSeconds,
      algorithm: values.rsa ? 'rsa3072' : 'ecc',
      known: [party.key, ...(party.retiring === null ? [] : [party.retiring])].map(
        ({ fingerprint }) => fingerprint,
      ),
    },
    {
      transport: isByName
        ? throughSshbh({ rcFile: values['rc-file'] ?? null, ...way })
        : throughSsh(values.ssh ?? 'ssh', way),
      places: farPlacesOf({}),
    },
  );
  // It was made after this run began.
  mustBeFit(party.name, certificate, KEY_USES.bastion, Math.floor(Date.now() / 1000));
  return certificate;
}

/** The old key's own, so that everybody knows it again. */
function userIdFor({ certificates }: RosterFolder, party: Party, nowSeconds: number): string {
  const old = certificates.get(party.key.fingerprint);
  const known = old === undefined ? null : certifiedUserId(party, old, nowSeconds, null);
  if (known !== null) return known;
  if (party.kind === 'bastion') return `SPA bastion ${party.name}`;
  return party.kind === 'operator' && party.email !== null
    ? `${party.fullName ?? party.name} <${party.email}>`
    : party.name;
}

async function rotateHmac(folder: RosterFolder, party: Party, values: Values): Promise<number> {
  const file = hmacFileOf(party);
  await changeSecrets(secretsPath(values, folder.roster.name), new Map([[file, newHmacMaster()]]));
  say(
    `made a new HMAC secret for ${party.name}; its operators need their new bundles when it gets its own: spa-keys bundle, spa-keys push`,
  );
  return ExitCode.ok;
}

function hmacFileOf(party: Party): string {
  if (party.kind !== 'bastion') throw new UsageError(`--hmac is for bastions, and ${nameOf(party)} is none`);
  const { hmac }: Bastion = party;
  if (hmac.kind === 'file') return hmac.file;
  throw new UsageError(
    `the HMAC secret of ${party.name} is in the environment, as ${hmac.variable}; change it there`,
  );
}
