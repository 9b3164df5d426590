import { type OptionValues, UsageError } from 'spa-host';
import { DEFAULT_FOLDER } from '../../roster/bastion-bundle.ts';
import { type Transport, throughSsh, throughSshbh } from '../../roster/far-host.ts';
import type { FarPlaces } from '../../roster/push.ts';

/** Options that say how bastions are reached, and where things are there. */
// biome-ignore format: a table, one option a row
export const FAR_OPTIONS = [
  { long: 'ssh', argument: 'PROGRAM', help: 'reach them by this program, to their host, and not through sshbh: for the first time' },
  { long: 'rc-file', argument: 'FILE', help: "sshbh's file, with each bastion's name as a stanza (~/.fwknoprc)" },
  { long: 'user', argument: 'NAME', help: 'who logs in there (as in ~/.ssh/config)' },
  { long: 'sudo', help: 'he is not root: use sudo there' },
  { long: 'folder', argument: 'DIR', help: 'where the bundle lies there (/etc/fwknop/spa-keys)' },
  { long: 'config', argument: 'FILE', help: "the daemon's configuration there (/etc/fwknop/fwknopd.conf)" },
  { long: 'program', argument: 'FILE', help: "spa-server's path there, if it is not on PATH" },
  { long: 'parallel', argument: 'N', help: 'how many bastions at once (4)' },
] as const;

/** Values of {@link FAR_OPTIONS}. */
export type FarValues = OptionValues<typeof FAR_OPTIONS>;

/** How bastions are reached. */
export function transportOf(values: FarValues): Transport {
  const user = values.user ?? null;
  const sudo = values.sudo === true;
  if (values.ssh !== undefined) return throughSsh(values.ssh, { user, sudo });
  return throughSshbh({ rcFile: values['rc-file'] ?? null, user, sudo });
}

/** Where things are there. @throws UsageError for a path that the installer would refuse */
export function farPlacesOf(values: FarValues): FarPlaces {
  const places = {
    folder: values.folder ?? DEFAULT_FOLDER,
    config: values.config ?? '/etc/fwknop/fwknopd.conf',
    program: values.program ?? null,
  };
  for (const path of [places.folder, places.config, places.program ?? '/']) {
    if (/^\/[A-Za-z0-9/._-]*$/.test(path) && !path.includes('..')) continue;
    throw new UsageError(`"${path}" is no absolute path of letters, digits and . _ -`);
  }
  return places;
}

/** How many at once. @throws UsageError */
export function readLimit(text: string | undefined): number {
  const limit = Number(text ?? '4');
  if (Number.isInteger(limit) && limit >= 1 && limit <= 64) return limit;
  throw new UsageError(`--parallel ${text} is no number from 1 to 64`);
}
