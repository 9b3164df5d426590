import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants, userInfo } from 'node:os';
import { ExitCode } from 'spa-host';
import { lacking, outsideIdentity } from 'spa-lab';

/** The programs of Debian that the demo calls. */
const PROGRAMS = ['nft', 'sshd', 'ssh', 'ssh-keygen', 'gpg', 'gpgconf', 'setpriv', 'sysctl'] as const;

/** Signals that end a demo. */
export const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** What a shell says of a program that a signal ended. */
export function exitCodeOf(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/**
 * Sees to it that this process may make hosts of its own. Null: it may. A number: it may not, and that is the exit code;
 * either the program `script` has run to its end as root of a user namespace, or stderr has a line that says what is missing.
 */
export async function mayMakeHosts(script: string): Promise<number | null> {
  if (process.getuid?.() !== 0)
    return mayBecomeRoot() ? runAsOwnRoot(script) : refuse(whyNoUserNamespace(script));
  const reason = lacking(...PROGRAMS);
  if (reason === false) return null;
  return reason.startsWith('not installed')
    ? refuse(`${reason}; run: npm run demo`, ExitCode.unavailable)
    : refuse(NO_RIGHTS);
}

const NO_RIGHTS =
  'this root may not make network namespaces (a container?): run the demo on the host, or in a container with --privileged';

function refuse(reason: string, code: number = ExitCode.noPermission): number {
  process.stderr.write(`demo: ${reason}\n`);
  return code;
}

/** Some systems allow the namespace and then forbid what makes it useful: so an interface is brought up in it. */
function mayBecomeRoot(): boolean {
  const probe = ['-Urn', '--', 'ip', 'link', 'set', 'lo', 'up'];
  return spawnSync('unshare', probe, { stdio: 'ignore', env: withSystemPath() }).status === 0;
}

function withSystemPath(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin` };
}

function whyNoUserNamespace(script: string): string {
  const asRoot = `run it as root: sudo ${process.execPath} ${script}`;
  const switches = [
    { name: 'kernel.apparmor_restrict_unprivileged_userns', forbids: '1', allow: '0' },
    { name: 'kernel.unprivileged_userns_clone', forbids: '0', allow: '1' },
    { name: 'user.max_user_namespaces', forbids: '0', allow: '10000' },
  ];
  const found = switches.find(({ name, forbids }) => readSysctl(name) === forbids);
  if (found === undefined) return `this system lets no user make namespaces; ${asRoot}`;
  return `${found.name} = ${found.forbids} lets no user make namespaces; ${asRoot} (or: sudo sysctl ${found.name}=${found.allow})`;
}

function readSysctl(name: string): string | null {
  try {
    return readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'utf8').trim();
  } catch {
    return null;
  }
}

async function runAsOwnRoot(script: string): Promise<number> {
  const { uid, username } = userInfo();
  const child = spawn('unshare', ['-Urn', '--', process.execPath, script], {
    stdio: 'inherit',
    env: { ...withSystemPath(), ...outsideIdentity(uid, username) },
  });
  for (const signal of ENDING_SIGNALS) process.on(signal, () => child.kill(signal));
  return ended(child);
}

function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      resolve(code ?? (signal === null ? ExitCode.failure : exitCodeOf(signal))),
    );
  });
}
