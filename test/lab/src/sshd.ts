import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Namespace } from './hosts.ts';
import type { Scratch } from './scratch.ts';
import { until } from './until.ts';

/** A real sshd, and what a client needs to log in there. */
export interface Sshd {
  /** Options of ssh that name the key and trust the host: what stands before the destination. */
  readonly clientOptions: readonly string[];
  /** The same, and who logs in, as lines of a configuration file: ssh_config(5). */
  readonly clientConfig: readonly string[];
  /** The key that it shows, as it stands in a known_hosts file after the host's names. */
  readonly hostKey: string;
  /** Who logs in: `root`, or the person who runs an unprivileged lab. */
  readonly user: string;
}

/** Who runs the lab, if it runs in a user namespace: uid and name outside. Set by whoever enters it. */
const OUTSIDE_UID = 'SPA_LAB_UID';
const OUTSIDE_USER = 'SPA_LAB_USER';

/** The environment for a process that enters a user namespace in which the lab is to run. */
export function outsideIdentity(uid: number, user: string): Record<string, string> {
  return { [OUTSIDE_UID]: String(uid), [OUTSIDE_USER]: user };
}

/** How an sshd differs from the usual. */
export interface SshdOptions {
  /** Path of the secret key that may log in; left out: a new one. */
  readonly clientKey?: string;
  readonly port?: number;
}

/** Starts sshd on port 22 of `namespace`; it ends with the namespace. Its files are in `scratch`, one sshd a folder. */
export async function startSshd(
  namespace: Namespace,
  scratch: Pick<Scratch, 'path'>,
  { clientKey = newKey(scratch.path('ssh_client_key')), port = 22 }: SshdOptions = {},
): Promise<Sshd> {
  const hostKey = newKey(scratch.path('ssh_host_key'));
  copyFileSync(`${clientKey}.pub`, scratch.path('authorized_keys'));
  mkdirSync(scratch.path('login-home'));
  writeFileSync(scratch.path('known_hosts'), `* ${readFileSync(`${hostKey}.pub`, 'utf8')}`);
  writeFileSync(
    scratch.path('sshd_config'),
    [
      `Port ${port}`,
      `HostKey ${hostKey}`,
      `AuthorizedKeysFile ${scratch.path('authorized_keys')}`,
      'PidFile none',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin prohibit-password',
      'StrictModes no',
      // The shell's start-up files in the real home are somebody's own: slow, or harmed by a session that is killed.
      `SetEnv HOME=${scratch.path('login-home')} SHLVL=1`,
      'PermitUserRC no',
      'UseDNS no',
      'Subsystem sftp internal-sftp',
      `UsePAM ${isRootLocked() ? 'yes' : 'no'}`,
      '',
    ].join('\n'),
  );
  const uid = process.env[OUTSIDE_UID];
  const user = process.env[OUTSIDE_USER] ?? 'root';
  await makeStartable(namespace, uid);
  // An unprivileged sshd serves its own user only; below our uid 0 that user is one namespace further in.
  const asOutside =
    uid === undefined ? [] : ['unshare', '-U', `--map-user=${uid}`, `--map-group=${uid}`, '--'];
  const sshd = namespace.spawn(
    [...asOutside, '/usr/sbin/sshd', '-D', '-e', '-f', scratch.path('sshd_config')],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let said = '';
  sshd.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await until('sshd listens', () => {
    if (sshd.exitCode !== null) throw new Error(`sshd does not start: ${said}`);
    return said.includes('Server listening on ::');
  });
  return {
    clientOptions: [
      ...['-F', 'none', '-i', clientKey, '-o', `UserKnownHostsFile=${scratch.path('known_hosts')}`],
      ...['-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes', '-o', 'LogLevel=ERROR'],
    ],
    clientConfig: [
      ...[`User ${user}`, `IdentityFile ${clientKey}`, `UserKnownHostsFile ${scratch.path('known_hosts')}`],
      ...['IdentitiesOnly yes', 'BatchMode yes', 'LogLevel ERROR'],
    ],
    hostKey: readFileSync(`${hostKey}.pub`, 'utf8').trim(),
    user,
  };
}

/** Makes a key pair without passphrase; the path of its secret half. */
export function newKey(path: string): string {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'lab', '-f', path]);
  return path;
}

async function makeStartable(namespace: Namespace, uid: string | undefined): Promise<void> {
  if (uid === undefined) mkdirSync('/run/sshd', { recursive: true });
  else await namespace.must(['sysctl', '-qw', 'net.ipv4.ip_unprivileged_port_start=0']);
}

/** sshd without PAM refuses an account whose password is locked, even with a key. */
function isRootLocked(): boolean {
  try {
    return readFileSync('/etc/shadow', 'utf8').startsWith('root:!');
  } catch {
    return false;
  }
}
