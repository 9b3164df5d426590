import { relative, resolve } from 'node:path';
import { isEnrolled, type Party } from 'spa-core';
import { ExitCode, formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import { DEFAULT_FOLDER } from '../../roster/bastion-bundle.ts';
import type { BundleFile } from '../../roster/bundle.ts';
import { operatorBundle } from '../../roster/operator-bundle.ts';
import { readSecret, secretKeyFile } from '../../roster/secrets-folder.ts';
import { writeBundles } from '../../roster/write-bundles.ts';
import { print } from '../program.ts';
import { HELP_OPTION, JSON_OPTION, ROSTER_OPTION, SECRETS_OPTION } from './common-options.ts';
import { bastionBundles, chosen, defaultBundlesPath, membersOf, readFleet, sayLeftOut } from './fleet.ts';

/** `spa-keys bundle`: the files of bastions and operators, each in a folder of its own. */
export async function bundleVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(BUNDLE_OPTIONS, argv);
  if (values.help) return print(help());
  const nowSeconds = Math.floor(Date.now() / 1000);
  const fleet = await readFleet(values, nowSeconds);
  const { folder, source, secretsFolder } = fleet;
  const { roster } = source;
  const out = resolve(values.out ?? defaultBundlesPath(secretsFolder));
  if (isWithin(out, folder.path)) {
    throw new UsageError(
      `${out} is in the folder of the roster, and bundles hold secrets; name another with --out`,
    );
  }
  const members = chosen(membersOf(roster), positionals);
  const bastions = members.filter((one) => one.kind === 'bastion');
  const operators = members.filter(
    (one) => one.kind === 'operator' && isEnrolled(one, nowSeconds),
  ) as typeof roster.operators;
  const secretsOf = (party: Party): readonly BundleFile[] =>
    values['with-secret-keys'] ? secretKeyOf(secretsFolder, party) : [];
  const bundles = await bastionBundles(fleet, bastions, values.folder ?? DEFAULT_FOLDER);
  const ofOperators = operators.map((operator) =>
    operatorBundle(source, operator, {
      allowIp: values['allow-ip'] ?? 'resolve',
      resolveUrls: values['resolve-url'] ?? [],
    }),
  );
  const folders = new Map<string, readonly BundleFile[]>([
    ...bundles.map(
      ({ bastion, files }) => [`bastions/${bastion.name}`, [...files, ...secretsOf(bastion)]] as const,
    ),
    ...ofOperators.map(
      ({ operator, files }) => [`operators/${operator.name}`, [...files, ...secretsOf(operator)]] as const,
    ),
  ]);
  await writeBundles(out, folders, positionals.length === 0);
  const leftOut = bundles.flatMap((bundle) => bundle.leftOut);
  sayLeftOut(leftOut);
  const result = {
    out,
    version: roster.version,
    bastions: bundles.map(({ bastion, release }) => ({ name: bastion.name, release })),
    operators: ofOperators.map(({ operator }) => ({ name: operator.name })),
    leftOut,
  };
  print(
    values.json
      ? `${JSON.stringify(result, null, 2)}\n`
      : `${out}: ${count(bundles.length, 'bastion')}, ${count(ofOperators.length, 'operator')}\n`,
  );
  return leftOut.length === 0 ? ExitCode.ok : ExitCode.failure;
}

// biome-ignore format: a table, one option a row
const BUNDLE_OPTIONS = [
  { long: 'out', argument: 'DIR', help: 'where to write them (bundles in the folder of the secrets)' },
  { long: 'folder', argument: 'DIR', help: `where the bundle of a bastion will lie there (${DEFAULT_FOLDER})` },
  { long: 'allow-ip', argument: 'WORD', help: 'ALLOW_IP for operators: an address, or how to learn it (resolve)' },
  { long: 'resolve-url', argument: 'URL', many: true, help: 'RESOLVE_URL for operators: who tells them their address' },
  { long: 'with-secret-keys', help: 'their secret keys too, as far as they are in the folder of the secrets' },
  ROSTER_OPTION,
  SECRETS_OPTION,
  JSON_OPTION,
  HELP_OPTION,
] as const satisfies readonly Option[];

function help(): string {
  return `spa-keys bundle: the files of each bastion and each operator

Usage: spa-keys bundle [options] [NAME...]

  spa-keys bundle                            all of them
  spa-keys bundle --out /tmp/alice alice     what alice gets: certificates, .fwknoprc with her regions
  spa-keys bundle us-east-1a                 what spa-keys push brings to that bastion

Bundles hold HMAC keys: files have mode 0600. Operators whose keys are not fit or not certified are left out, and named.

${formatOptions(BUNDLE_OPTIONS)}

Exit status: 0 all are in; 1 somebody is left out; 64 the command line is wrong, 78 the roster or a key is wrong.
`;
}

function secretKeyOf(secretsFolder: string, { key }: Party): readonly BundleFile[] {
  const secret = readSecret(secretsFolder, secretKeyFile(key.fingerprint));
  return secret === null ? [] : [{ path: 'secret-key.asc', content: secret.toString('utf8') }];
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || !(way === '..' || way.startsWith('../'));
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
