import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/**
 * Why tests that need these programs and namespaces cannot run here, or false: what tap's `skip` takes.
 * @throws Error instead of a reason if the environment has CI: there nothing may be skipped.
 */
export function lacking(...programs: readonly string[]): string | false {
  const missing = lackingPrograms('unshare', 'nsenter', 'setpriv', 'ip', ...programs);
  if (missing !== false) return missing;
  const probe = spawnSync('unshare', ['-n', '--', 'true'], { env: environment() });
  if (probe.status === 0) return false;
  return refuseInCi('not permitted to make network namespaces: needs root or unshare -Urn');
}

/** The same for tests that need programs only. */
export function lackingPrograms(...programs: readonly string[]): string | false {
  const directories = environment().PATH?.split(':') ?? [];
  const missing = programs.filter(
    (program) => !directories.some((directory) => isExecutable(directory, program)),
  );
  return missing.length === 0 ? false : refuseInCi(`not installed: ${missing.join(', ')}`);
}

/** The same for a module of Perl's. */
export function lackingPerlModule(name: string): string | false {
  const missing = lackingPrograms('perl');
  if (missing !== false) return missing;
  const isThere = spawnSync('perl', [`-M${name}`, '-e', '1'], { env: environment() }).status === 0;
  return isThere ? false : refuseInCi(`not installed: Perl's ${name}`);
}

/** This process's environment, with the folders of firewall programs and daemons in its PATH. */
export function environment(): NodeJS.ProcessEnv {
  const path = `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`;
  return { ...process.env, LC_ALL: 'C', PATH: path };
}

function refuseInCi(reason: string): string {
  if (process.env.CI) throw new Error(`in CI nothing is skipped: ${reason}`);
  return reason;
}

function isExecutable(directory: string, program: string): boolean {
  try {
    accessSync(join(directory, program), constants.X_OK);
    return directory !== '';
  } catch {
    return false;
  }
}
