import { join, resolve } from 'node:path';
import type { GnupgHome, OptionValues } from 'spa-host';
import { homeDirectory } from '../../home.ts';

/** Where the roster is, for every verb. */
export const ROSTER_OPTION = {
  long: 'roster',
  argument: 'DIR',
  help: "the roster's folder (.)",
} as const;

/** Where the secrets are that spa-keys made, for verbs that need no secret key. */
export const SECRETS_OPTION = {
  long: 'secrets',
  argument: 'DIR',
  help: 'the folder of the secrets (~/.local/share/spa-keys/ROSTER)',
} as const;

/** Where else secret keys may be. */
export const GNUPG_HOME_OPTION = {
  long: 'gnupg-home',
  argument: 'DIR',
  many: true,
  help: "look for secret keys in this GnuPG home, too; default: gpg's own",
} as const;

/** Where secret keys are, for verbs that sign or make keys. */
export const SECRETS_OPTIONS: readonly [typeof SECRETS_OPTION, typeof GNUPG_HOME_OPTION] = [
  SECRETS_OPTION,
  GNUPG_HOME_OPTION,
];

/** For verbs that have something to tell to programs. */
export const JSON_OPTION = { long: 'json', help: 'the result as JSON, on stdout' } as const;

/** For every verb. */
export const HELP_OPTION = {
  long: 'help',
  short: 'h',
  help: 'print this and exit',
} as const;

/** Values of {@link ROSTER_OPTION} and {@link SECRETS_OPTIONS}, those that a verb has. */
export type PlaceValues = OptionValues<readonly [typeof ROSTER_OPTION, ...typeof SECRETS_OPTIONS]>;

/** The roster's folder, absolute. */
export function rosterPath({ roster }: Pick<PlaceValues, 'roster'>): string {
  return resolve(roster ?? '.');
}

/**
 * The folder of the secrets of the roster of that name, absolute: `--secrets`, or else `$XDG_DATA_HOME/spa-keys/NAME`.
 * It need not be there. @throws ConfigError if there is no home.
 */
export function secretsPath({ secrets }: Pick<PlaceValues, 'secrets'>, rosterName: string): string {
  if (secrets !== undefined) return resolve(secrets);
  const { XDG_DATA_HOME: data } = process.env;
  // An empty or relative value is to be ignored (XDG Base Directory Specification).
  const base = data?.startsWith('/') ? data : join(homeDirectory(), '.local', 'share');
  return join(base, 'spa-keys', rosterName);
}

/** The GnuPG homes that were named; `default` is gpg's own. */
export function gnupgHomes(values: Pick<PlaceValues, 'gnupg-home'>): readonly GnupgHome[] {
  return (values['gnupg-home'] ?? []).map((name) => ({
    directory: name === 'default' ? null : resolve(name),
    program: 'gpg',
  }));
}
