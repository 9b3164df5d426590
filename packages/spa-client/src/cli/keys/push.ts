import { type Bastion, keysOf } from 'spa-core';
import { ExitCode, formatOptions, type Option, parseCommandLine, UsageError } from 'spa-host';
import type { LeftOut } from '../../roster/bundle.ts';
import {
  comparePush,
  inParallel,
  type PushOptions,
  type PushResult,
  pushBundle,
  rollBack,
} from '../../roster/push.ts';
import { readSecret, secretKeyFile } from '../../roster/secrets-folder.ts';
import { print, printable, say } from '../program.ts';
import { startProgress } from '../progress.ts';
import { HELP_OPTION, JSON_OPTION, ROSTER_OPTION, SECRETS_OPTION } from './common-options.ts';
import { FAR_OPTIONS, type FarValues, farPlacesOf, readLimit, transportOf } from './far-options.ts';
import { bastionBundles, chosen, type Fleet, readFleet, sayLeftOut } from './fleet.ts';

/** `spa-keys push`: brings bastions their bundles. */
export async function pushVerb(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(PUSH_OPTIONS, argv);
  if (values.help) return print(help());
  if (values['dry-run'] && values.rollback) {
    throw new UsageError('--dry-run and --rollback contradict each other; give one');
  }
  const limit = readLimit(values.parallel);
  const fleet = await readFleet(values, Math.floor(Date.now() / 1000));
  const bastions = chosen(fleet.source.roster.bastions, positionals);
  const { results, leftOut } = await pushTo(fleet, bastions, values, limit);
  sayLeftOut(leftOut);
  if (values.json) {
    const entries = [...results].map(([bastion, result]) => ({ bastion, ...result }));
    print(
      `${JSON.stringify({ version: fleet.source.roster.version, bastions: entries, leftOut }, null, 2)}\n`,
    );
  }
  const states = [...results.values()].map(({ state }) => state);
  if (states.includes('failed')) return ExitCode.failure;
  if (states.includes('unreachable')) {
    if (values.ssh === undefined)
      say('no door there yet? while ssh works without a packet: spa-keys push --ssh ssh --first');
    return states.every((one) => one === 'unreachable') ? ExitCode.unavailable : ExitCode.failure;
  }
  return leftOut.length === 0 ? ExitCode.ok : ExitCode.failure;
}

/** What a push may be told besides. */
export type PushValues = FarValues & {
  readonly 'dry-run'?: true;
  readonly rollback?: true;
  readonly first?: true;
  readonly 'with-secret-keys'?: true;
  readonly json?: true;
  readonly secrets?: string;
};

/** Pushes to `bastions` and says how it goes, a line each. */
export async function pushTo(
  fleet: Fleet,
  bastions: readonly Bastion[],
  values: PushValues,
  limit: number,
): Promise<{ readonly results: ReadonlyMap<string, PushResult>; readonly leftOut: readonly LeftOut[] }> {
  const { source, secretsFolder } = fleet;
  const { roster } = source;
  const options: PushOptions = {
    transport: transportOf(values),
    places: farPlacesOf(values),
    first: values.first === true,
    authority: authorityKeys(fleet),
  };
  const results = new Map<string, PushResult>();
  const bundles = values.rollback ? [] : await bastionBundles(fleet, bastions, options.places.folder);
  const bundleOf = new Map(bundles.map((bundle) => [bundle.bastion.name, bundle]));
  const progress = startProgress();
  const tell = (): void => progress.update(`${results.size} of ${bastions.length} bastions`);
  tell();
  try {
    await inParallel(bastions, limit, async (bastion) => {
      const result = await pushOne(bastion);
      results.set(bastion.name, result);
      progress.update('');
      if (!values.json) for (const line of linesOf(bastion.name, result)) say(line);
      tell();
    });
  } finally {
    progress.stop();
  }
  return { results, leftOut: bundles.flatMap(({ leftOut }) => leftOut) };

  async function pushOne(bastion: Bastion): Promise<PushResult> {
    const bundle = bundleOf.get(bastion.name);
    if (bundle === undefined) return rollBack(bastion, options);
    if (values['dry-run']) return comparePush(bundle, options);
    const secrets = values['with-secret-keys']
      ? keysOf(bastion, source.plan.nowSeconds).flatMap(
          ({ fingerprint }) => readSecret(secretsFolder, secretKeyFile(fingerprint)) ?? [],
        )
      : [];
    const secretKeys = secrets.length === 0 ? null : Buffer.concat(secrets).toString('utf8');
    return pushBundle(bundle, roster.version, options, secretKeys);
  }
}

function authorityKeys({ source: { roster } }: Fleet): PushOptions['authority'] {
  const { authority } = roster;
  if (authority === null) return [];
  return [authority.key, ...(authority.retiring === null ? [] : [authority.retiring])].map(
    ({ fingerprint }) => fingerprint,
  );
}

// biome-ignore format: a table, one option a row
const PUSH_OPTIONS = [
  { long: 'dry-run', help: 'say who would get in and who would not any more, and change nothing' },
  { long: 'rollback', help: 'put the release before into force again' },
  { long: 'first', help: "write into the daemon's configuration there that it is to read the bundle" },
  { long: 'with-secret-keys', help: "a bastion's secret keys too, if they are in the folder of the secrets and the bastion has them not" },
  ...FAR_OPTIONS,
  ROSTER_OPTION,
  SECRETS_OPTION,
  JSON_OPTION,
  HELP_OPTION,
] as const satisfies readonly Option[];

function help(): string {
  return `spa-keys push: brings the bastions their files, all at once or not at all

Usage: spa-keys push [options] [BASTION...]

  spa-keys push --dry-run                   who would get in where, and who would not any more
  spa-keys push                             all bastions, through sshbh
  spa-keys push --ssh ssh --first us-east-1a
                                            the first time, while ssh still works without a packet
  spa-keys push --rollback us-east-1a       the release before, again

Each release is checked on the bastion before it is in force: by gpg, and by the daemon itself. A bastion keeps the release
before. Its own secret key stays there and is never replaced.

${formatOptions(PUSH_OPTIONS)}

Exit status: 0 all have it; 1 some have not; 69 none could be reached; 64 the command line is wrong, 78 the roster is wrong.
`;
}

function linesOf(name: string, result: PushResult): readonly string[] {
  switch (result.state) {
    case 'installed':
      return [`${name}: ${result.release} is in force`, ...result.notes.map((note) => `  ${note}`)];
    case 'unchanged':
      return [`${name}: has it already (${result.release})`, ...result.notes.map((note) => `  ${note}`)];
    case 'would-change': {
      const { added, removed, changed } = result.changes;
      const rows = [
        ...added.map((line) => `  + ${line}`),
        ...removed.map((line) => `  - ${line}`),
        ...changed.map((line) => `  ~ ${line}`),
      ];
      const rest =
        rows.length === 0 ? ['  the same people; keys, certifications or the roster differ'] : rows;
      return [`${name}: ${result.before ?? 'nothing'} would become ${result.release}`, ...rest];
    }
    case 'failed':
    case 'unreachable':
      return [
        `${name}: ${result.state === 'failed' ? 'failed' : 'cannot be reached'}: ${printable(result.reason.split('\n').join('; '))}`,
      ];
  }
}
