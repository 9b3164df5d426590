import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { PROGRAMS } from './daemons.ts';
import type { Hosts, Namespace } from './hosts.ts';
import { folderIn, type Scratch } from './scratch.ts';

/** A person's machine. */
export interface OperatorHost {
  /** Here `~` is {@link OperatorHost.home} for every program, and the programs of this repository are on PATH. */
  readonly host: Namespace;
  readonly home: Pick<Scratch, 'path'>;
}

/** Makes a person's machine; its files are in `scratch`, one machine a folder. It knows the addresses of `names`. */
export async function addOperatorHost(
  hosts: Hosts,
  scratch: Pick<Scratch, 'path'>,
  { device, names }: { device: string; names: Readonly<Record<string, readonly string[]>> },
): Promise<OperatorHost> {
  const home = folderIn(scratch, 'home');
  const host = await hosts.add({
    device,
    files: {
      '/etc/hosts': hostsFile(scratch.path('operator-hosts'), names),
      '/etc/passwd': passwordFile(scratch.path('passwd'), home.path()),
    },
    environment: operatorEnvironment(home, folderIn(scratch, 'bin')),
  });
  return { host, home };
}

/** Writes a hosts file with these names; its path. */
export function hostsFile(path: string, names: Readonly<Record<string, readonly string[]>>): string {
  const lines = Object.entries(names).flatMap(([name, all]) => all.map((address) => `${address} ${name}\n`));
  writeFileSync(path, `127.0.0.1 localhost\n${lines.join('')}`);
  return path;
}

/** Who we are, with another home: ssh asks this file, not HOME. */
function passwordFile(path: string, home: string): string {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  const moved = lines.map((line) => {
    const fields = line.split(':');
    return fields[2] === String(process.getuid?.())
      ? [...fields.slice(0, 5), home, '/bin/bash'].join(':')
      : line;
  });
  writeFileSync(path, moved.join('\n'));
  return path;
}

function operatorEnvironment(
  home: Pick<Scratch, 'path'>,
  bin: Pick<Scratch, 'path'>,
): Readonly<Record<string, string>> {
  for (const [name, program] of [
    ['sshbh', PROGRAMS.sshbh],
    ['spa-client', PROGRAMS.spaClient],
    ['spa-keys', PROGRAMS.spaKeys],
  ] as const) {
    writeFileSync(bin.path(name), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`);
    chmodSync(bin.path(name), 0o755);
  }
  return {
    HOME: home.path(),
    SHELL: '/bin/bash',
    XDG_STATE_HOME: home.path('.local', 'state'),
    XDG_CONFIG_HOME: home.path('.config'),
    XDG_CACHE_HOME: home.path('.cache'),
    // Nobody's agent.
    SSH_AUTH_SOCK: '',
    GIT_CONFIG_NOSYSTEM: '1',
    PATH: `${bin.path()}:${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`,
  };
}
